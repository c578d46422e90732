package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"howett.net/plist"
)

// maxPlist bounds a file of managed preferences, bytes.
const maxPlist = 1 << 20

// parsePlist reads managed preferences, as XML or in the binary form.
func parsePlist(r io.Reader) (values map[string]any, err error) {
	// The library is not free of panics over damaged binary files.
	defer func() {
		if p := recover(); p != nil {
			values, err = nil, fmt.Errorf("read property list: it is damaged (%v)", p)
		}
	}()
	b, err := io.ReadAll(io.LimitReader(r, maxPlist+1))
	if err != nil {
		return nil, fmt.Errorf("read property list: %w", err)
	}
	if len(b) > maxPlist {
		return nil, fmt.Errorf("read property list: it is longer than %d bytes", maxPlist)
	}
	dec := plist.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&values); err != nil {
		return nil, fmt.Errorf("read property list: %w", err)
	}
	if dec.Format != plist.XMLFormat && dec.Format != plist.BinaryFormat {
		return nil, errors.New("read property list: it is neither XML nor binary")
	}
	return values, nil
}

// Preferences reads a file of managed preferences into assignments, as Assignments
// does. What a profile says of itself (PayloadUUID and its kin) is no setting, where
// a management service has left it in.
func Preferences(r io.Reader) ([]string, error) {
	values, err := parsePlist(r)
	if err != nil {
		return nil, err
	}
	for name := range values {
		if strings.HasPrefix(name, "Payload") {
			delete(values, name)
		}
	}
	return Assignments(values)
}
