package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// managed is where a management service's profile for us ends up.
const managed = "/Library/Managed Preferences/com.github.reach64.plist"

func read() (Policy, error) {
	f, err := os.Open(managed)
	if errors.Is(err, fs.ErrNotExist) {
		return Policy{}, nil
	}
	if err != nil {
		return Policy{}, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	values, err := parsePlist(f)
	if err != nil {
		return Policy{}, fmt.Errorf("read policy %s: %w", managed, err)
	}
	list, err := assignments(values)
	if err != nil {
		err = fmt.Errorf("read policy %s: %w", managed, err)
	}
	return Policy{managed, list}, err
}

// readInstalled finds none: installers of this system write files.
func readInstalled() (Policy, error) { return Policy{}, nil }
