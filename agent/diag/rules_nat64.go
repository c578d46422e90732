package diag

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/dial"
)

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

func judgePrefix(e *Evidence) finding {
	var have, refused []string
	for _, k := range e.Prefixes() {
		have = append(have, fmt.Sprintf("%s from %s", k.Prefix, and(k.Who)))
	}
	for _, s := range e.Sources {
		for _, p := range s.Refused {
			refused = append(refused, fmt.Sprintf("%s from %s is not inside discovery.allow, which %s sets", p, s.label(), e.Config.Origin("discovery.allow")))
		}
	}
	st := e.Service.Status
	switch {
	case e.Service.Running && st.Reason == "prefix-not-validated":
		return fail("The NAT64 needs a name in a trusted domain whose AAAA record is signed with DNSSEC (RFC 7050 section 3.1); discovery.trusted_domains and nat64_names say what is trusted.",
			"a proof is required and missing: %s", text(st.Detail))
	case len(have) > 0:
		return pass("%s", have[0]).with(append(have[1:], refused...)...)
	case len(refused) > 0 && e.needs64():
		return fail("If the prefix is the right one, add it to discovery.allow; if not, something on this network announces a NAT64 that is not yours.", "%s", refused[0]).with(refused[1:]...)
	case !e.needs64():
		return skip("a NAT64 is not needed here, and none was found")
	}
	f := fail("Ask the network's operator for NAT64 with PREF64 in router advertisements (RFC 8781) or DNS64; or set discovery.prefixes.", "no source tells a NAT64 prefix")
	for _, s := range e.Sources {
		f = f.with(s.label() + ": " + s.Reason)
	}
	return f
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// through tells what is known of a prefix: whether something answered behind it,
// and whether anything was tried at all.
func (e *Evidence) through(p nat64.Prefix) (alive, tried bool) {
	for _, s := range e.Servers {
		for _, path := range s.Paths {
			if path.Prefix == p && path.Kind != dial.CLAT {
				tried = true
				alive = alive || path.answers()
			}
		}
		for _, x := range s.Echo {
			if x.Prefix == p && x.Err == "" {
				tried = true
				alive = alive || x.alive()
			}
		}
	}
	return alive, tried
}

func judgeSources(e *Evidence) finding {
	known := e.Prefixes()
	switch len(known) {
	case 0:
		return skip("no prefix is known")
	case 1:
		who := known[0].Who
		if len(who) == 1 {
			return pass("only %s tells one", who[0])
		}
		return pass("%s say the same", and(who))
	}
	var dead, alive, open []string
	for _, k := range known {
		line := fmt.Sprintf("%s from %s", k.Prefix, and(k.Who))
		switch works, tried := e.through(k.Prefix); {
		case works:
			alive = append(alive, line+" leads to the server")
		case tried:
			dead = append(dead, line+" leads nowhere")
		default:
			open = append(open, line+" was not tried")
		}
	}
	switch {
	case len(dead) > 0 && len(alive) > 0:
		return fail("Whoever announces the first prefix has to correct it. Until then discovery.prefixes, or discovery.sources without that source, keeps reach64 to the right one.",
			"%s", dead[0]).with(append(dead[1:], append(alive, open...)...)...)
	case len(dead) > 0:
		return warn("Ask the network's operator which prefix is right.", "%s", dead[0]).with(append(dead[1:], open...)...)
	}
	return pass("%d prefixes are known", len(known)).with(append(alive, open...)...)
}

func judgeNAT64(e *Evidence) finding {
	known := e.Prefixes()
	if len(known) == 0 {
		return skip("no prefix is known")
	}
	var good, bad, blind []string
	for _, k := range known {
		alive, tried := e.through(k.Prefix)
		lines := e.told(k.Prefix)
		switch {
		case alive:
			good = append(good, lines...)
		case tried && e.looked(k.Prefix):
			bad = append(bad, lines...)
		default:
			blind = append(blind, lines...)
		}
	}
	switch {
	case len(good) > 0:
		return pass("%s", good[0]).with(good[1:]...)
	case len(bad) > 0:
		return fail("The NAT64, or the way to it, is down: the network's operator has to look at the NAT64 and at the route to its prefix.", "%s", bad[0]).with(append(bad[1:], blind...)...)
	case len(blind) == 0:
		return unknown("there is no IPv4 address to try: name a server")
	}
	return unknown("%s", blind[0]).with(blind[1:]...)
}

// looked tells whether it was looked for routers behind the prefix, so that a silent
// server can be told from a dead NAT64.
func (e *Evidence) looked(p nat64.Prefix) bool {
	return slices.ContainsFunc(e.Servers, func(s Server) bool {
		return slices.ContainsFunc(s.Echo, func(x Echo) bool { return x.Prefix == p && x.Err == "" })
	})
}

// told is what was heard through a prefix.
func (e *Evidence) told(p nat64.Prefix) (out []string) {
	for _, s := range e.Servers {
		for _, path := range s.Paths {
			switch {
			case path.Prefix != p || path.Kind == dial.CLAT:
			case path.Result.Connect > 0:
				out = append(out, fmt.Sprintf("TCP to %s through %s stands in %s", path.Addr.Addr(), p, millis(path.Result.Connect)))
			case path.answers():
				out = append(out, fmt.Sprintf("TCP to %s through %s is answered: %s", path.Addr.Addr(), p, path.Result.Reason))
			default:
				out = append(out, fmt.Sprintf("TCP to %s through %s: %s", path.Addr, p, path.Result.Reason))
			}
		}
		for _, x := range s.Echo {
			if x.Prefix == p {
				out = append(out, x.told()...)
			}
		}
	}
	return out
}

func (x Echo) told() (out []string) {
	if x.Err != "" {
		return []string{"no echo request could be sent: " + x.Err}
	}
	if x.Reply > 0 {
		return []string{fmt.Sprintf("echo from %s in %s", x.To, millis(x.Reply))}
	}
	out = append(out, fmt.Sprintf("no echo from %s", x.To))
	far := Heard{}
	for _, h := range x.Heard {
		if x.Prefix.Contains(h.From) {
			return append(out, fmt.Sprintf("behind the NAT64 %s answers: %s", h.From, h.What))
		}
		if h.Hops > far.Hops {
			far = h
		}
	}
	if far.Hops > 0 {
		return append(out, fmt.Sprintf("the last router that answers is %s, hop %d: %s", far.From, far.Hops, far.What))
	}
	return append(out, "no router on the way answers either")
}

func judgeMTU(_ *Evidence, s *Server) finding {
	if p, ok := s.any(func(p Path) bool { return stalls(p) && p.Small != nil && p.Small.Answered }); ok {
		return fail("Something between drops big packets and says nothing. Have its operator let ICMPv6 Packet Too Big pass and correct the MTU; until then a smaller MTU on the uplink helps (ip link set dev IF mtu 1280).",
			"%s: TCP opens and TLS stalls; with segments of %d bytes TLS works", p.Addr, SmallSegment).with(s.sizes()...)
	}
	full, ok := s.any(func(p Path) bool { return p.Result.Handshake > 0 })
	switch sizes := s.sizes(); {
	case ok && full.MTU > 0:
		return pass("TLS's full-sized packets pass to %s, path MTU %d", full.Addr.Addr(), full.MTU).with(sizes...)
	case ok:
		return pass("TLS's full-sized packets pass to %s", full.Addr.Addr()).with(sizes...)
	case len(sizes) > 0:
		return unknown("no TLS handshake to tell by").with(sizes...)
	}
	return unknown("neither TLS nor echo requests tell")
}

// stalls: TCP opened, and TLS was silent.
func stalls(p Path) bool { return p.Result.Connect > 0 && p.Result.Reason == "tls-timeout" }

// sizes is what echo requests of growing size say.
func (s *Server) sizes() (out []string) {
	for _, x := range s.Echo {
		if len(x.Asked) == 0 || x.Reply == 0 {
			continue
		}
		line := "echoes: "
		if len(x.Sizes) > 0 {
			line += fmt.Sprintf("packets of %d bytes are answered", slices.Max(x.Sizes))
		} else {
			line += "no big packet is answered"
		}
		var lost []string
		for _, n := range x.Asked {
			if len(x.Sizes) == 0 || n > slices.Max(x.Sizes) {
				lost = append(lost, fmt.Sprint(n))
			}
		}
		switch {
		case x.TooBig > 0:
			line += fmt.Sprintf("; a router says that %d bytes pass", x.TooBig)
		case len(lost) > 0:
			line += ", of " + strings.Join(lost, ", ") + " not, without a word"
		}
		out = append(out, line)
	}
	return out
}
