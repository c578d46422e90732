package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Text writes the status for a person. now is when it is shown.
func (s Status) Text(w io.Writer, now time.Time, version string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(key, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", key, fmt.Sprintf(format, args...)) }
	row("reach64", "%s, pid %d, running for %s", version, s.PID, ago(now, s.Started))
	row("Network", "%s%s", s.Class, prefixed(" on ", s.Uplink))
	row("Path", "%s: %s", s.Path, s.Sentence)
	if len(s.Uplinks) > 1 {
		row("Uplinks", "%s", s.textUplinks())
	}
	if s.Detail != nil {
		row("Detail", "%s (%s)", *s.Detail, s.Reason)
	}
	if s.Advice != nil {
		row("To do", "%s", *s.Advice)
	}
	if s.Prefix != nil {
		row("Prefix", "%s%s", *s.Prefix, prefixed(", from ", s.Source))
	}
	if c := s.CLAT; c != nil {
		row("CLAT", "%s%s on %s, MTU %d", c.IPv4, prefixed(" <-> ", c.IPv6), c.Device, c.MTU)
		row("Datapath", "%s%s", deref(s.Datapath), nonEmpty(", steered by ", c.Steered))
		if s.DatapathNote != nil {
			row("", "%s", *s.DatapathNote)
		}
		row("Routes", "%s", orDash(strings.Join(c.Routes, ", ")))
		row("Restart", "%s", map[string]string{FlowsResume: "connections stall while the service is started anew, and go on",
			FlowsEnd: "connections end when the service is started anew"}[c.Restart])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	s.textServers(w, now)
	s.textSources(w)
	return s.textCounters(w)
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

func (s Status) textServers(w io.Writer, now time.Time) {
	fmt.Fprintln(w, "\nServers")
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, v := range s.Servers {
		fmt.Fprintf(t, "  %s:%d\t%s\t%s\t%s\n", v.Name, v.Port, orDash(deref(v.Address)), v.Path, v.result(now))
		for _, o := range v.Others {
			fmt.Fprintf(t, "  \t%s\t%s\t%s\n", o.Address, o.Path, verdict(o.Reachable, o.Reason))
		}
	}
	t.Flush()
}

// result is what the last probe of the server said.
func (v Server) result(now time.Time) string {
	out := verdict(v.Reachable, v.Reason)
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

func (s Status) textSources(w io.Writer) {
	fmt.Fprintln(w, "\nWhere a prefix was looked for")
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, v := range s.Sources {
		where := deref(v.Link)
		if v.Server != nil {
			where = *v.Server
		}
		next := ""
		if v.NextIn != nil && *v.NextIn > 0 {
			next = fmt.Sprintf(" (again in %s)", (time.Duration(*v.NextIn) * time.Second).String())
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s%s\n", v.Source, v.Verdict, orDash(where), orDash(strings.TrimSpace(strings.Join(v.Prefixes, ", ")+" "+v.Reason)), next)
	}
	t.Flush()
}

func (s Status) textCounters(w io.Writer) error {
	if len(s.Counters) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nCounters")
	names := make([]string, 0, len(s.Counters))
	for n := range s.Counters {
		names = append(names, n)
	}
	slices.Sort(names)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, n := range names {
		fmt.Fprintf(t, "  %s\t%d\t\n", n, s.Counters[n])
	}
	return t.Flush()
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

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
