package osinfo

import (
	"slices"
	"strings"
	"testing"
)

// status is the part of a /proc/self/status around the line, as Linux 6.1 has it.
func status(capEff string) string {
	return "Name:\tcat\nUmask:\t0022\nState:\tR (running)\nUid:\t1000\t1000\t1000\t1000\n" +
		"CapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\n" + capEff + "CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n"
}

func TestParseCapabilities(t *testing.T) {
	all := []string{"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_BPF"}
	tests := map[string]struct {
		line             string
		present, missing []string
	}{
		"root":                        {"CapEff:\t000001ffffffffff\n", all, nil},
		"ordinary user":               {"CapEff:\t0000000000000000\n", nil, all},
		"the service's unit":          {"CapEff:\t0000008000003000\n", []string{"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF"}, []string{"CAP_SYS_ADMIN"}},
		"a container of Docker":       {"CapEff:\t00000000a80425fb\n", []string{"CAP_NET_RAW"}, []string{"CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_BPF"}},
		"root of a kernel before 5.8": {"CapEff:\t0000003fffffffff\n", all[:3], all[3:]},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := parseCapabilities([]byte(status(tt.line)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(c.Present, tt.present) || !slices.Equal(c.Missing, tt.missing) {
				t.Errorf("got %+v, want present %v, missing %v", c, tt.present, tt.missing)
			}
			if c.Has("CAP_NET_ADMIN") != slices.Contains(tt.present, "CAP_NET_ADMIN") {
				t.Errorf("Has(CAP_NET_ADMIN) = %v", c.Has("CAP_NET_ADMIN"))
			}
		})
	}
}

func TestCapabilitiesThatCannotBeRead(t *testing.T) {
	for name, tt := range map[string]struct{ text, says string }{
		"no line":      {status(""), "no line CapEff"},
		"empty":        {"", "no line CapEff"},
		"no number":    {status("CapEff:\txyz\n"), `"xyz"`},
		"nothing":      {status("CapEff:\n"), `""`},
		"too long":     {status("CapEff:\t11111111111111111\n"), "out of range"},
		"torn at once": {"CapEff", "no line CapEff"},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := parseCapabilities([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %+v, %v, want an error that says %s", c, err, tt.says)
			}
		})
	}
}

// Each capability is either there or missing, or the text is refused.
func FuzzParseCapabilities(f *testing.F) {
	f.Add(status("CapEff:\t000001ffffffffff\n"))
	f.Add("CapEff:-1")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCapabilities([]byte(text))
		if n := len(c.Present) + len(c.Missing); err == nil && n != len(used) || err != nil && n != 0 {
			t.Errorf("%q gives %+v, %v", text, c, err)
		}
	})
}
