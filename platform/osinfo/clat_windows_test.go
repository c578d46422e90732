package osinfo

import (
	"testing"

	"golang.org/x/sys/windows/registry"
)

// TestRegistryOfTheCLAT reads real keys, below the user's own.
func TestRegistryOfTheCLAT(t *testing.T) {
	const path = `Software\reach64 CLAT test`
	if got, err := numbers(registry.CURRENT_USER, path); got != nil || err != nil {
		t.Errorf("without a key: %v, %v", got, err)
	}
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
	for _, err := range []error{k.SetDWordValue("Start", 3), k.SetDWordValue("PermitNonCellularCLAT", 1), k.SetStringValue("AutoEnable", "1")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := numbers(registry.CURRENT_USER, path)
	if err != nil || got["Start"] != uint64(3) || got["PermitNonCellularCLAT"] != uint64(1) {
		t.Errorf("got %v, %v", got, err)
	}
	if text, problems := windowsCLAT(got, nil); text != "Windows' own CLAT is permitted on all links, with prefixes from router advertisements and DNS" || len(problems) != 1 {
		t.Errorf("%q, %v, want one problem", text, problems)
	}
}
