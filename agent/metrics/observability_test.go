package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

const folder = "../../installer/observability/"

var metricName = regexp.MustCompile(`reach64_[a-z0-9_]+`)

// TestRulesAndDashboardNameWhatThereIs: a renamed metric must not leave an alert that
// never fires.
func TestRulesAndDashboardNameWhatThereIs(t *testing.T) {
	families, err := whole().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, f := range families {
		known[f.GetName()] = true
		if f.GetType().String() == "HISTOGRAM" {
			known[f.GetName()+"_bucket"] = true
		}
	}
	for _, file := range []string{"rules.yml", "dashboard.json"} {
		text, err := os.ReadFile(folder + file)
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(text), -1)
		if len(names) < 5 {
			t.Errorf("%s names only %d metrics", file, len(names))
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s names %s, which there is not", file, name)
			}
		}
	}
	text, _ := os.ReadFile(folder + "dashboard.json")
	if !json.Valid(text) {
		t.Error("dashboard.json is no JSON")
	}
}

// TestPrometheusReadsTheRules where its tool is installed.
func TestPrometheusReadsTheRules(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed")
	}
	if out, err := exec.Command(tool, "check", "rules", folder+"rules.yml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
