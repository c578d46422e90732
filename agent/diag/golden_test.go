package diag

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/agent/status"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDocumentsKeepTheirShape: programs read the JSON, so fields are only added.
func TestDocumentsKeepTheirShape(t *testing.T) {
	for name, fault := range map[string]string{"well": "all is well", "nat64-down": "NAT64 down", "black-hole": "black hole"} {
		t.Run(name, func(t *testing.T) {
			e := well()
			brokenNetworks[fault].change(e)
			r := Make(e, nil)
			b, err := json.MarshalIndent(status.Wrap(now, "1.2.3", r), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", append(b, '\n'))
			golden(t, name+".txt", []byte(show(t, r)))
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// The fields that programs rely on must be there, whatever the golden files say.
func TestPromisedFields(t *testing.T) {
	b, err := json.Marshal(Make(well(), nil))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"checks", "first_failure", "summary"} {
		if _, ok := doc[k]; !ok {
			t.Errorf("the result has no %s", k)
		}
	}
	if doc["first_failure"] != nil {
		t.Error("a failure where all is well")
	}
	for _, k := range []string{"code", "title", "verdict", "evidence", "depends_on", "remedy", "took"} {
		if _, ok := doc["checks"].([]any)[0].(map[string]any)[k]; !ok {
			t.Errorf("a check has no %s", k)
		}
	}
}
