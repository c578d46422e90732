package netns

import (
	"strings"
	"testing"

	"github.com/reach64/reach64/test/scenario"
)

// TestPlacesAndFaultsAreScenarios: each network of TestRoaming and each fault of the
// doctor's is on the list of package scenario, or has a reason there, and the other way
// round.
func TestPlacesAndFaultsAreScenarios(t *testing.T) {
	const roaming, doctor = "TestRoaming/", "TestDoctorFindsTheBrokenStep/"
	have := map[string]bool{}
	for _, p := range places() {
		have[roaming+p.name] = true
		if _, ok := scenario.Named(p.name); !ok {
			t.Errorf("no scenario %q", p.name)
		}
	}
	for name := range evidence {
		if !have[roaming+name] {
			t.Errorf("evidence for %q, which is no place", name)
		}
	}
	for _, f := range faults {
		have[doctor+f.name] = true
	}
	listed := map[string]bool{}
	for name := range scenario.Elsewhere {
		listed[name] = true
	}
	for _, s := range scenario.List {
		for _, l := range s.Labs {
			listed[l] = true
		}
	}
	for name := range have {
		if !listed[name] {
			t.Errorf("%s is in no scenario, and has no reason", name)
		}
	}
	for name := range listed {
		if (strings.HasPrefix(name, roaming) || strings.HasPrefix(name, doctor)) && !have[name] {
			t.Errorf("there is no %s", name)
		}
	}
}
