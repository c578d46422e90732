package tun

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/windows"
)

// WintunSHA256 is the SHA-256 of the wintun.dll that this program works with, in hex,
// stamped by the build of a release:
//
//	-ldflags "-X github.com/reach64/reach64/platform/tun.WintunSHA256=..."
//
// Without it no library is loaded: one from who knows where would run with the
// rights of the system.
var WintunSHA256 = ""

// loaded is the library, once it was: it stays till the process ends.
var loaded struct {
	sync.Mutex
	library windows.Handle
}

// load loads wintun.dll from beside the program, and from nowhere else, if it is the
// one that the build knows. After that, package wintun finds it by its name.
func load() error {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.library != 0 {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the folder of this program: %w", err)
	}
	path := filepath.Join(filepath.Dir(program), "wintun.dll")
	loaded.library, err = loadFrom(path, WintunSHA256)
	return err
}

// loadFrom loads the library at an absolute path if its hash is the wanted one. The
// file is open for all that time so that nobody can change or replace it in between.
func loadFrom(path, want string) (windows.Handle, error) {
	if want == "" {
		return 0, errors.New("this program was built without the hash of a wintun.dll, so it loads none")
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, fmt.Errorf("load %s: %w", path, err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("the driver's library %s is missing: install reach64 again", path)
	}
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(h), path)
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return 0, fmt.Errorf("%s is not the library that this program was built for: its SHA-256 is %s, want %s", path, got, want)
	}
	library, err := windows.LoadLibraryEx(path, 0, windows.LOAD_LIBRARY_SEARCH_SYSTEM32)
	if err != nil {
		return 0, fmt.Errorf("load %s: %w", path, err)
	}
	return library, nil
}
