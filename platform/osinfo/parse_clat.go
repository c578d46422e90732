package osinfo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// windowsCLAT says in words how the CLAT of Windows is set up, from the registry, so that
// no language matters: `netsh interface clat show global` speaks the user's. local are
// the values of its service's key, nil where there is no such service; policy those of
// group policy, which win one by one. Numbers are uint64, all else is of a wrong type.
//
// That it is at work is seen by its address (ForeignCLAT).
func windowsCLAT(local, policy map[string]any) (text string, problems []error) {
	if local == nil {
		return "this Windows has no CLAT of its own", nil
	}
	set := func(name string, otherwise bool) (on, byPolicy bool) {
		for i, values := range []map[string]any{policy, local} {
			v, ok := lookup(values, name)
			if !ok {
				continue
			}
			n, ok := v.(uint64)
			if !ok {
				problems = append(problems, fmt.Errorf("%s of %s is of a wrong type, want REG_DWORD", name, [2]string{"policy", "the service IpxlatCfgSvc"}[i]))
				continue
			}
			return n != 0, i == 0
		}
		return otherwise, false
	}
	if n, ok := local["Start"].(uint64); ok && n == serviceDisabled {
		return "Windows' own CLAT is off: its service IpxlatCfgSvc is disabled", problems
	}
	permit, byPolicy := set("PermitNonCellularCLAT", false)
	by := ""
	if byPolicy {
		by = " by policy"
	}
	if !permit {
		return "Windows' own CLAT is permitted" + by + " on mobile broadband alone", problems
	}
	var from []string
	for _, source := range []struct{ value, name string }{{"GetPrefixInfoFromRA", "router advertisements"}, {"GetPrefixInfoFromDNS", "DNS"}} {
		if on, _ := set(source.value, true); on {
			from = append(from, source.name)
		}
	}
	if len(from) == 0 {
		return "Windows' own CLAT is permitted" + by + ", and told to find no prefix", problems
	}
	text = fmt.Sprintf("Windows' own CLAT is permitted%s on all links, with prefixes from %s", by, strings.Join(from, " and "))
	if auto, _ := set("AutoEnable", true); !auto {
		text += ", and not enabled by itself"
	}
	return text, problems
}

// serviceDisabled is the Start value of a service that may not start (SERVICE_DISABLED
// of winnt.h).
const serviceDisabled = 4

// lookup finds a value as the registry does: whatever the case of its name.
func lookup(values map[string]any, name string) (any, bool) {
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if strings.EqualFold(k, name) {
			return values[k], true
		}
	}
	return nil, false
}
