//go:build !linux

package footprint

// dropPages does nothing: this system trims programs by itself.
func dropPages() {}
