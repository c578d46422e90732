package netns

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var hopLine = regexp.MustCompile(`(?m)^ *(\d+)  (\S+)`)

// hops runs traceroute and returns who answered at each distance.
func (l *lab) hops(args ...string) (list []string, out string) {
	l.t.Helper()
	out, err := l.client.try(20*time.Second, "traceroute", append(append([]string{"-n", "-4", "-q", "1", "-N", "1", "-w", "2", "-m", "12"}, args...), documentation)...)
	if err != nil {
		l.t.Errorf("traceroute %v: %v", args, err)
	}
	for _, m := range hopLine.FindAllStringSubmatch(out, -1) {
		list = append(list, m[2])
	}
	return list, out
}

// TestTraceroute: the CLAT, three IPv6 routers, the NAT64 and the server answer.
// Routers without IPv4 come from the dummy address of RFC 7600, and each is told
// apart by the IPv6 address in the extension of its error.
func TestTraceroute(t *testing.T) {
	need(t, "traceroute")
	l, _, _ := deepLab(t)
	l.service(documentation, "").start().up()
	for _, how := range [][]string{{"-U"}, {"-I"}, {"-T", "-p", "8443"}} {
		list, out := l.hops(append(how, "-e")...)
		// About one run in eight, traceroute -T passes over every SYN+ACK of the
		// server, though the capture has them in time and the kernel answers each.
		for again := 0; again < 3 && how[0] == "-T" && slices.Contains(list, "*"); again++ {
			t.Logf("again after traceroute %v:\n%s", how, out)
			list, out = l.hops(append(how, "-e")...)
		}
		t.Logf("traceroute %v:\n%s", how, out)
		if len(list) < 5 || slices.Contains(list, "*") || list[len(list)-1] != documentation || list[0] != "192.0.0.8" {
			t.Errorf("traceroute %v: %v", how, list)
		}
		// The addresses of the access router's, the core's and plat's links.
		for _, hex := range []string{"20010db8,00010000", "20010db8,00c10000", "20010db8,00c20000"} {
			if !strings.Contains(out, "<5/4:00020000,"+hex) {
				t.Errorf("traceroute %v does not name the router %s in an extension", how, hex)
			}
		}
	}
}

// TestTracerouteWithAddressesForHops: with a pool of addresses every hop shows
// another.
func TestTracerouteWithAddressesForHops(t *testing.T) {
	need(t, "traceroute")
	l, _, _ := deepLab(t)
	l.service(documentation, "[path]\nhop_addresses = \"203.0.113.0/24\"\n").start().up()
	list, out := l.hops("-U")
	t.Logf("traceroute:\n%s", out)
	want := []string{"192.0.0.8", "203.0.113.1", "203.0.113.2", "203.0.113.3"} // the CLAT itself, access, core, plat
	if len(list) < 5 {
		t.Fatalf("hops %v", list)
	}
	if d := cmp.Diff(want, list[:4]); d != "" || list[len(list)-1] != documentation {
		t.Errorf("hops %v, want %v and then the server", list, want)
	}
	sorted := slices.Sorted(slices.Values(list))
	if len(slices.Compact(sorted)) != len(list) {
		t.Errorf("hops are not distinct: %v", list)
	}
}
