package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// outFile is a file being written. One that is not there, or is a regular file,
// appears whole by Commit or not at all; a device or pipe is written to as it is.
type outFile struct {
	*os.File
	target string // what Commit renames the file to, "" to leave it
}

// createOut begins to write name, "-" for standard output.
func createOut(name string) (*outFile, error) {
	if name == "-" {
		return &outFile{File: os.Stdout}, nil
	}
	mode := fs.FileMode(0o666)
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("write %s: it is a folder", name)
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		return &outFile{File: f}, err
	case err == nil:
		mode = info.Mode().Perm() // no more readable than the one before
		// Through a symbolic link, not over it.
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	f, err := os.OpenFile(fmt.Sprintf("%s.%d.part", name, os.Getpid()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return nil, err
	}
	return &outFile{File: f, target: name}, nil
}

// Commit puts the file in its place. It is the last use.
func (o *outFile) Commit() error {
	if err := o.Close(); err != nil {
		o.Discard()
		return err
	}
	if o.target == "" {
		return nil
	}
	if err := os.Rename(o.Name(), o.target); err != nil {
		o.Discard()
		return err
	}
	return nil
}

// Discard removes what was written. It is the last use.
func (o *outFile) Discard() {
	_ = o.Close()
	if o.target != "" {
		_ = os.Remove(o.Name())
	}
}

// openIn opens name for reading, "-" for standard input.
func openIn(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(name)
}

// interruptible is a reader that gives up when ctx ends, even while a pipe has
// nothing to give.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

// Read reads in a goroutine of its own, which outlives it only when ctx ended:
// then b is not to be used any more.
func (i interruptible) Read(b []byte) (int, error) {
	done := make(chan struct{}) // closed when got and gotErr are there
	var got int
	var gotErr error
	go func() {
		defer close(done)
		got, gotErr = i.r.Read(b)
	}()
	select {
	case <-done:
		return got, gotErr
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	}
}

// sameFile tells whether two names stand for one regular file, by links too.
func sameFile(a, b string) bool {
	if a == "-" || b == "-" {
		return false
	}
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && x.Mode().IsRegular() && os.SameFile(x, y)
}
