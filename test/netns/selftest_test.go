package netns

import (
	"strings"
	"testing"
)

// TestSelftest tries the machine from inside a namespace, and leaves it as it was.
func TestSelftest(t *testing.T) {
	need(t)
	l := bareLab(t)
	machine := l.space("client")
	before := machine.must("ip", "-d", "address", "show") + machine.must("ip", "route", "show", "table", "all")
	said := machine.must("env", "REACH64_STATE_DIR="+l.tmp, "REACH64_RUN_DIR="+l.tmp, binary(t, "reach64"), "selftest")
	for _, want := range []string{"PASS  TUN device", "PASS  address, route, MTU", "PASS  changes are noticed", "PASS  packets both ways", "PASS  nothing is left", " 0 failed"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	if after := machine.must("ip", "-d", "address", "show") + machine.must("ip", "route", "show", "table", "all"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
