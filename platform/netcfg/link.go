package netcfg

import (
	"fmt"
	"io/fs"
	"net"
)

// linkIndex returns the index of the link called name, or fs.ErrNotExist.
func linkIndex(name string) (int, error) {
	all, err := net.Interfaces()
	if err != nil {
		return 0, fmt.Errorf("list links: %w", err)
	}
	for _, l := range all {
		if l.Name == name {
			return l.Index, nil
		}
	}
	return 0, fs.ErrNotExist
}
