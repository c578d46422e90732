package packet

import (
	"errors"
	"testing"
)

func TestMissingInterface(t *testing.T) {
	p, err := Open("no-such-link0")
	if err == nil {
		p.Close()
		t.Fatal("opened an interface that does not exist")
	}
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("raw frames are not supported here: ", err)
	}
}
