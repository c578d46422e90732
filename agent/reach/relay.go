package reach

import (
	"net/netip"
	"strings"
)

// RelayUse says when the flows of a CLAT end on this machine and go on from sockets
// of its own IPv6 address (tunnel/relay), instead of each packet being translated.
type RelayUse uint8

// The zero value is 'where packets cannot be translated'.
const (
	RelayFallback RelayUse = iota
	RelayNever
	RelayAlways
)

// Path is the path of what goes through this CLAT.
func (c CLAT) Path() Path {
	if c.Relay {
		return PathRelay
	}
	return PathCLAT
}

// relays are the failures of a translating CLAT in the place of which a relay may
// work: it needs neither a second address nor steering.
var relays = map[Reason]bool{ReasonNo64: true, ReasonOneAddress: true, ReasonNotPermitted: true, ReasonDatapath: true, ReasonDuplicate: true}

// carry decides how the CLAT c carries flows. second and detail say why it can have no
// second address, see noSecond; where a relay is not allowed either, want has refused
// before. What is returned says what keeps c from working at all, as far as that is
// known; note says why it does not translate. A failure counts until the network or
// the settings change: going back breaks every flow.
func (m *Machine) carry(c CLAT, second Reason, detail string, w World) (_ CLAT, why Reason, _, note string) {
	why = second
	switch {
	case second != "":
	case w.Failed.Reason != "" && w.Failed.For == c:
		m.refused = w.Failed
		fallthrough
	case m.set.Relay != RelayNever && relays[m.refused.Reason] && m.refused.For == c:
		why, detail = m.refused.Reason, m.refused.Detail
	}
	switch {
	case m.set.Relay == RelayAlways:
		note = "path.datapath is relay"
	case why == "":
		return c, "", "", ""
	case m.set.Relay == RelayNever || !relays[why]:
		return c, why, detail, ""
	default:
		note = "packets are not translated: " + strings.ReplaceAll(detail, "\n", "; ") + " (" + string(why) + ")"
	}
	c.Relay, c.Net64 = true, netip.Prefix{}
	if w.Failed.Reason != "" && w.Failed.For == c {
		return c, w.Failed.Reason, w.Failed.Detail, note
	}
	return c, "", "", note
}
