package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/windows/registry"
)

// TestRegistry reads real keys, below the user's own.
func TestRegistry(t *testing.T) {
	const path = `Software\reach64 test`
	if p, err := readKey(registry.CURRENT_USER, path, "HKCU"); err != nil || len(p.Assignments) != 0 {
		t.Errorf("without a key: %+v, %v", p, err)
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
	for name, set := range map[string]error{
		"text":    k.SetStringValue("path.mode", "off"),
		"list":    k.SetStringsValue("server", []string{"backup.example.com:443", "198.51.100.10"}),
		"truth":   k.SetDWordValue("discovery.require_validation", 1),
		"bytes":   k.SetBinaryValue("dns.listen", []byte{1, 2}),
		"numbers": k.SetQWordValue("probe.interval", 60),
	} {
		if set != nil {
			t.Fatalf("%s: %v", name, set)
		}
	}
	p, err := readKey(registry.CURRENT_USER, path, "HKCU")
	if d := cmp.Diff([]string{"discovery.require_validation=1", "path.mode=off", "server=backup.example.com:443,198.51.100.10"}, p.Assignments); d != "" {
		t.Error(d)
	}
	for _, want := range []string{"HKCU: dns.listen: is of type 3", "HKCU: probe.interval: is of type 11"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want one with %q", err, want)
		}
	}
}
