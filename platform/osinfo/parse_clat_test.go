package osinfo

import (
	"errors"
	"strings"
	"testing"
)

func TestCLATOfWindows(t *testing.T) {
	type values = map[string]any
	wrong := errors.New("unexpected key value type")
	for name, tt := range map[string]struct {
		local, policy values
		want, problem string
	}{
		"Windows before it had one":       {nil, values{"PermitNonCellularCLAT": uint64(1)}, "has no CLAT", ""},
		"as it is delivered":              {values{"Start": uint64(3)}, nil, "permitted on mobile broadband alone", ""},
		"switched on by netsh":            {values{"Start": uint64(3), "PermitNonCellularCLAT": uint64(1)}, nil, "permitted on all links, with prefixes from router advertisements and DNS", ""},
		"names in another case":           {values{"permitnoncellularclat": uint64(1), "GETPREFIXINFOFROMRA": uint64(0)}, nil, "permitted on all links, with prefixes from DNS", ""},
		"policy forbids what netsh set":   {values{"PermitNonCellularCLAT": uint64(1)}, values{"PermitNonCellularCLAT": uint64(0)}, "permitted by policy on mobile broadband alone", ""},
		"policy permits":                  {values{"PermitNonCellularCLAT": uint64(0)}, values{"PermitNonCellularCLAT": uint64(1), "GetPrefixInfoFromDNS": uint64(0)}, "permitted by policy on all links, with prefixes from router advertisements", ""},
		"no source of prefixes":           {values{"PermitNonCellularCLAT": uint64(1), "GetPrefixInfoFromDNS": uint64(0), "GetPrefixInfoFromRA": uint64(0)}, nil, "told to find no prefix", ""},
		"by hand only":                    {values{"PermitNonCellularCLAT": uint64(1), "AutoEnable": uint64(0)}, nil, "not enabled by itself", ""},
		"its service is disabled":         {values{"Start": uint64(4), "PermitNonCellularCLAT": uint64(1)}, nil, "is disabled", ""},
		"a text where a number should be": {values{"PermitNonCellularCLAT": wrong}, nil, "on mobile broadband alone", "PermitNonCellularCLAT of the service IpxlatCfgSvc is of a wrong type"},
		"a text in the policy":            {values{"PermitNonCellularCLAT": uint64(1)}, values{"PermitNonCellularCLAT": wrong}, "permitted on all links", "PermitNonCellularCLAT of policy is of a wrong type"},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := windowsCLAT(tt.local, tt.policy)
			if !strings.Contains(got, tt.want) {
				t.Errorf("%q, want one with %q", got, tt.want)
			}
			err := errors.Join(problems...)
			if (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("problems %v, want %q", err, tt.problem)
			}
		})
	}
}
