package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Place is where this system's policy is for us: there a management service's profile
// ends up.
const Place = "/Library/Managed Preferences/com.github.reach64.plist"

func read() (Policy, error) {
	f, err := os.Open(Place)
	if errors.Is(err, fs.ErrNotExist) {
		return Policy{}, nil
	}
	if err != nil {
		return Policy{}, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	list, err := Preferences(f)
	if err != nil {
		err = fmt.Errorf("read policy %s: %w", Place, err)
	}
	return Policy{Place, list}, err
}

// readInstalled finds none: installers of this system write files.
func readInstalled() (Policy, error) { return Policy{}, nil }
