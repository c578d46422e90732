// Package platform holds the errors that every edge to the operating system
// shares: what is not supported here, and what is not permitted.
//
// It does no I/O. The edges themselves are the packages below it.
package platform

import (
	"errors"
	"fmt"
	"runtime"
)

// Unsupported returns an error that says that this operating system cannot do
// feature. errors.Is(err, errors.ErrUnsupported) holds.
func Unsupported(feature string) error {
	return fmt.Errorf("%s on %s: %w", feature, runtime.GOOS, errors.ErrUnsupported)
}

// Name is the operating system and architecture, such as "linux/amd64".
func Name() string { return runtime.GOOS + "/" + runtime.GOARCH }

// PermissionError says what the process lacks to do something. The CLI turns it
// into exit code 4.
type PermissionError struct {
	Doing string // verb noun, such as "attach tcx program"
	Need  string // the capability or device that is missing, such as "CAP_BPF"
	Err   error  // what the operating system said
}

func (e *PermissionError) Error() string {
	return fmt.Sprintf("%s: not permitted without %s: %v", e.Doing, e.Need, e.Err)
}

func (e *PermissionError) Unwrap() error { return e.Err }
