package osinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/reach64/reach64/platform"
)

// DeviceUsable tells whether this process may open a device such as
// /dev/net/tun: nil, or a *platform.PermissionError that names it.
func DeviceUsable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		return f.Close()
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return &platform.PermissionError{Doing: "open device", Need: path, Err: err}
	}
	return fmt.Errorf("open device: %w", err)
}
