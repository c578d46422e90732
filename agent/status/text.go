package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// headlines are the words that come first, by exit code, and their colours.
var headlines = map[int]struct{ word, color string }{
	ExitOK:           {"OK", "32"},
	ExitDegraded:     {"DEGRADED", "33"},
	ExitPathBroken:   {"NOT REACHED", "1;31"},
	ExitInconclusive: {"NOT KNOWN YET", "33"},
	ExitStoodDown:    {"STANDS DOWN", "33"},
}

// Text writes the status for a person, what matters first: how it is, why, and what
// to do; then the servers; then how it works. One screen, unless all is wanted. now
// is when it is shown.
func (s Status) Text(w io.Writer, now time.Time, version string, style Style) error {
	var b strings.Builder
	code := s.Exit()
	word := headlines[code].word
	if style.Color {
		word = "\x1b[" + headlines[code].color + "m" + word + "\x1b[0m"
	}
	head := len(headlines[code].word) + 2
	for i, l := range Fold(s.Sentence, Columns-head) {
		if i > 0 {
			word = strings.Repeat(" ", head-2)
		}
		fmt.Fprintf(&b, "%s  %s\n", word, l)
	}
	row(&b, "Because", deref(s.Detail))
	row(&b, "To do", deref(s.Advice))
	if code == ExitPathBroken || code == ExitDegraded {
		row(&b, "Find out", "reach64 doctor")
	}
	b.WriteByte('\n')
	s.textServers(&b, now)
	s.textNetwork(&b, now, version)
	if style.Verbose {
		s.textSources(&b)
		s.textCounters(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// row writes a key and its value, folded; nothing for an empty value.
func row(b *strings.Builder, key, value string) {
	if value == "" {
		return
	}
	for _, l := range Fold(value, Columns-11) {
		fmt.Fprintf(b, "%-9s  %s\n", key, l)
		key = ""
	}
}

func (s Status) textServers(b *strings.Builder, now time.Time) {
	for _, v := range s.Servers {
		line := fmt.Sprintf("%s:%d  %s", v.Name, v.Port, v.result(now))
		if v.Address != nil && *v.Address != v.Name {
			line += " (" + *v.Address + ")"
		}
		row(b, "Server", line)
		for _, o := range v.Others {
			row(b, "", fmt.Sprintf("  also %s by %s: %s", o.Address, o.Path, verdict(o.Reachable, o.Reason)))
		}
	}
}

func (s Status) textNetwork(b *strings.Builder, now time.Time, version string) {
	row(b, "Network", fmt.Sprintf("%s%s, for %s", s.Class, prefixed(" on ", s.Uplink), ago(now, s.Since)))
	row(b, "Path", fmt.Sprintf("%s (%s)", s.Path, s.Reason))
	if len(s.Uplinks) > 1 {
		row(b, "Uplinks", s.textUplinks())
	}
	if s.Prefix != nil {
		row(b, "Prefix", *s.Prefix+prefixed(", from ", s.Source))
	}
	if c := s.CLAT; c != nil {
		row(b, "CLAT", fmt.Sprintf("%s%s on %s, MTU %d", c.IPv4, prefixed(" <-> ", c.IPv6), c.Device, c.MTU))
		row(b, "Datapath", deref(s.Datapath)+nonEmpty(", steered by ", c.Steered))
		row(b, "", deref(s.DatapathNote))
		row(b, "Routes", strings.Join(c.Routes, ", "))
		row(b, "Restart", map[string]string{FlowsResume: "connections stall while the service is started anew, and go on",
			FlowsEnd: "connections end when the service is started anew"}[c.Restart])
	}
	row(b, "Flows", s.Flows())
	row(b, "Packets", s.packets())
	row(b, "Service", fmt.Sprintf("reach64 %s, pid %d, running for %s", version, s.PID, ago(now, s.Started)))
}

// textUplinks tells of each uplink what it is alone.
func (s Status) textUplinks() string {
	var out []string
	for _, u := range s.Uplinks {
		text := u.Name + " " + u.Class + prefixed(" ", u.Prefix)
		if u.CLAT {
			text += " (CLAT)"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// Flows sums the counters of a relay up, "" with another datapath.
func (s Status) Flows() string {
	if deref(s.Datapath) != "relay" {
		return ""
	}
	opened, ended := uint64(0), uint64(0)
	for _, p := range []string{"tcp", "udp", "echo"} {
		opened, ended = opened+s.Counters[p+"-opened"], ended+s.Counters[p+"-ended"]
	}
	return fmt.Sprintf("%d, of which %d are open; %d bytes out, %d in", opened, opened-min(ended, opened), s.Counters["4to6-bytes"], s.Counters["6to4-bytes"])
}

// packets sums the counters up.
func (s Status) packets() string {
	dropped := uint64(0)
	for n, v := range s.Counters {
		if strings.Contains(n, "-dropped-") && !strings.HasPrefix(n, "steer-") {
			dropped += v
		}
	}
	out, in := s.Counters["4to6-translated"], s.Counters["6to4-translated"]
	switch {
	case s.CLAT == nil && out+in+dropped == 0, deref(s.Datapath) == "relay" && dropped == 0:
		return ""
	case deref(s.Datapath) == "relay":
		return fmt.Sprintf("%d dropped (reach64 status -v says why)", dropped)
	case dropped > 0:
		return fmt.Sprintf("%d out, %d in, %d dropped (reach64 status -v says why)", out, in, dropped)
	}
	return fmt.Sprintf("%d out, %d in, none dropped", out, in)
}

// result is what the last probe of the server said.
func (v Server) result(now time.Time) string {
	out := verdict(v.Reachable, v.Reason)
	if v.Reachable != nil && *v.Reachable {
		out += " by " + v.Path
	}
	if v.RTT != nil {
		out += fmt.Sprintf(", TCP in %s", millis(*v.RTT))
	}
	if v.Handshake != nil {
		out += fmt.Sprintf(", TLS in %s", millis(*v.Handshake))
	}
	if v.Checked != nil {
		if at, err := time.Parse(time.RFC3339Nano, *v.Checked); err == nil {
			out += fmt.Sprintf(", %s ago", ago(now, at))
		}
	}
	if v.Error != nil {
		out += ": " + *v.Error
	}
	return out
}

func verdict(reachable *bool, reason string) string {
	switch {
	case reachable == nil && reason == "not-yet-probed":
		return "not probed yet"
	case reachable == nil:
		return "not probed (" + reason + ")"
	case *reachable:
		return "reachable"
	}
	return "NOT reachable (" + reason + ")"
}

func (s Status) textSources(b *strings.Builder) {
	if len(s.Sources) == 0 {
		return
	}
	fmt.Fprintln(b, "\nWhere a prefix was looked for")
	for _, v := range s.Sources {
		where := deref(v.Link)
		if v.Server != nil {
			where = *v.Server
		}
		next := ""
		if v.NextIn != nil && *v.NextIn > 0 {
			next = fmt.Sprintf(" (again in %s)", (time.Duration(*v.NextIn) * time.Second).String())
		}
		line := fmt.Sprintf("%s%s: %s%s", v.Verdict, nonEmpty(", ", where), strings.TrimSpace(strings.Join(v.Prefixes, ", ")+" "+v.Reason), next)
		row(b, "  "+v.Source, line)
	}
}

func (s Status) textCounters(b *strings.Builder) {
	if len(s.Counters) == 0 {
		return
	}
	fmt.Fprintln(b, "\nCounters")
	names := make([]string, 0, len(s.Counters))
	for n := range s.Counters {
		names = append(names, n)
	}
	slices.Sort(names)
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, n := range names {
		fmt.Fprintf(t, "  %s\t%d\t\n", n, s.Counters[n])
	}
	_ = t.Flush() // b takes everything
}

func ago(now, then time.Time) string {
	return max(0, now.Sub(then)).Truncate(time.Second).String()
}

func millis(seconds float64) string { return fmt.Sprintf("%.1f ms", seconds*1000) }

func prefixed(before string, s *string) string { return nonEmpty(before, deref(s)) }

func nonEmpty(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
