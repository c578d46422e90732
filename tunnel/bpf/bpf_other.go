//go:build !linux

package bpf

import "github.com/reach64/reach64/platform"

// Steering has no content: attach never gives one here.
type Steering struct{ mode Mode }

func errHere() error { return platform.Unsupported("steering by BPF") }

func attach(Config) (*Steering, error) { return nil, errHere() }

func (*Steering) change(Config) error { return errHere() }

func (*Steering) counters() (map[string]uint64, error) { return nil, errHere() }

func (*Steering) close() error { return errHere() }

func cleanClsact(string) error { return errHere() }

func check() error { return errHere() }
