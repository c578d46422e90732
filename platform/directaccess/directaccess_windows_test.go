package directaccess

import (
	"testing"

	"golang.org/x/sys/windows/registry"
)

// TestTypesOfTheRegistry reads real values, below the user's own keys.
func TestTypesOfTheRegistry(t *testing.T) {
	const path = `Software\reach64 DirectAccess test`
	k, _, err := registry.CreateKey(registry.CURRENT_USER, path, registry.ALL_ACCESS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = k.Close()
		if err := registry.DeleteKey(registry.CURRENT_USER, path); err != nil {
			t.Error(err)
		}
	})
	for name, tt := range map[string]struct {
		err  error
		want Kind
	}{
		"text":    {k.SetStringValue("text", "x"), Text},
		"texts":   {k.SetStringsValue("texts", []string{"x", "y"}), Texts},
		"number":  {k.SetDWordValue("number", 7), Number},
		"fits":    {k.SetQWordValue("fits", 7), Number},
		"too big": {k.SetQWordValue("too big", 1<<32), Other},
		"bytes":   {k.SetBinaryValue("bytes", []byte{1, 2}), Other},
	} {
		if tt.err != nil {
			t.Fatal(tt.err)
		}
		if v, ok := readValue(k, name); !ok || v.Kind != tt.want {
			t.Errorf("%s: %+v, %v, want kind %d", name, v, ok, tt.want)
		}
	}
	if v, ok := readValue(k, "nothing"); ok {
		t.Errorf("a value that is not there: %+v", v)
	}
}
