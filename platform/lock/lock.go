// Package lock lets only one reach64 at a time change the network of this
// machine: a lock on a file, which holds the owner's process id.
//
// The operating system gives the lock back when the process ends, however that
// happens. It does not protect the file's text against others.
package lock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// HeldError says that another process holds the lock.
type HeldError struct {
	PID  int // 0 when the file does not tell
	Path string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("lock %s: pid %d holds it", e.Path, e.PID)
}

// Lock is a held lock.
type Lock struct{ f *os.File }

// errHeld is what the operating system's part returns when another holds it.
var errHeld = errors.New("held by another process")

// Acquire takes the lock at path, making its folder when missing, or returns a
// *HeldError at once.
func Acquire(path string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make folder of lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := tryLock(f); err != nil {
		defer f.Close()
		if errors.Is(err, errHeld) {
			return nil, &HeldError{PID: owner(f), Path: path}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := write(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("write process id to lock: %w", err)
	}
	return &Lock{f}, nil
}

func write(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// owner reads the process id of the holder, 0 when it is not there.
func owner(f *os.File) int {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return pid
}

// Close gives the lock back.
func (l *Lock) Close() error {
	if err := l.f.Close(); err != nil {
		return fmt.Errorf("give back lock: %w", err)
	}
	return nil
}
