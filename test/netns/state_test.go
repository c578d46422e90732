package netns

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// state is everything that a stop has to leave as it was, by the command that
// shows it.
type state map[string]string

// state reads the namespace's state, without what runs on by itself (lifetimes).
// BPF programs attached by tcx are not in it: iproute2 of Debian 12 does not
// show them. They hang on a process and go with it, see tunnel/bpf.
func (s *space) state() state {
	s.l.t.Helper()
	st := state{}
	for _, line := range []string{"ip -j -d link", "ip -j addr", "ip -j rule", "ip -j -6 rule", "ip -j maddr",
		"ip -j -4 route show table all", "ip -j -6 route show table all", "tc -j qdisc show"} {
		words := strings.Fields(line)
		st[line] = plain(s.l.t, s.must(words[0], words[1:]...))
	}
	for _, line := range []string{"nft list ruleset", "cat /etc/resolv.conf", "ip tuntap"} {
		words := strings.Fields(line)
		st[line] = s.must(words[0], words[1:]...)
	}
	for _, hook := range []string{"ingress", "egress"} {
		line := "tc filter show dev eth0 " + hook
		words := strings.Fields(line)
		st[line], _ = s.try(5*time.Second, words[0], words[1:]...) // an error when there is no such hook, which is a state too
	}
	return st
}

// plain makes JSON comparable: sorted keys, one value a line, no lifetimes.
func plain(t *testing.T, text string) string {
	t.Helper()
	if strings.TrimSpace(text) == "" {
		return ""
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("read what ip printed: %v: %s", err, text)
	}
	b, err := json.MarshalIndent(timeless(v), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func timeless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range []string{"valid_life_time", "preferred_life_time", "expires"} {
			delete(v, k)
		}
		for k := range v {
			v[k] = timeless(v[k])
		}
	case []any:
		v = slices.DeleteFunc(v, func(e any) bool { m, ok := e.(map[string]any); return ok && len(m) == 0 })
		for i := range v {
			v[i] = timeless(v[i])
		}
		return v
	}
	return v
}

// unchanged wants the namespace's state to be what it was.
func (s *space) unchanged(before state) {
	s.l.t.Helper()
	if diff := cmp.Diff(before, s.state()); diff != "" {
		s.l.t.Errorf("left behind (-before +after):\n%s", diff)
	}
}

// sysctls reads everything below /proc/sys/net of the namespace that can be
// read.
func (s *space) sysctls() map[string]string {
	s.l.t.Helper()
	out, err := s.try(20*time.Second, "sh", "-c", "grep -rs '' /proc/sys/net; true") // some are for writing only
	if err != nil {
		s.l.t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(out) {
		path, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok {
			values[path] += value + "\n"
		}
	}
	for _, known := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/lo/accept_ra", "ipv4/conf/all/rp_filter"} {
		if values["/proc/sys/net/"+known] == "" {
			s.l.t.Fatalf("%s was not read; got %d values", known, len(values))
		}
	}
	return values
}

// changed lists the values of before that are different now. Interfaces that
// are new have values of their own.
func changed(before, now map[string]string) []string {
	var list []string
	for path, value := range before {
		if now[path] != value {
			list = append(list, fmt.Sprintf("%s: before %q, now %q", path, value, now[path]))
		}
	}
	slices.Sort(list)
	return list
}

func TestStateLooksPastLifetimesOnly(t *testing.T) {
	got := plain(t, `[{"local":"2001:db8::1","valid_life_time":17,"metrics":[{"mtu":1400}]},{}]`)
	if same := plain(t, `[{"metrics":[{"mtu":1400}],"valid_life_time":3,"local":"2001:db8::1"}]`); got != same {
		t.Errorf("a lifetime makes a difference:\n%s\n%s", got, same)
	}
	if other := plain(t, `[{"local":"2001:db8::1","metrics":[{"mtu":1500}]}]`); got == other {
		t.Error("another MTU makes no difference")
	}
}
