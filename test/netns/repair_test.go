package netns

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRepair: what other programs take away of ours is put back, without a word of
// a person, and without touching what is theirs.
func TestRepair(t *testing.T) {
	l, s := ready(t)
	s.start().up()
	st, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	whole := func() string {
		return l.client.must("ip", "-4", "route", "show", "dev", "clat0") + l.client.must("ip", "-br", "-4", "addr", "show", "dev", "clat0") +
			l.client.must("ip", "-6", "addr", "show", "to", st.CLAT.IPv6) + l.client.must("cat", "/sys/class/net/clat0/mtu")
	}
	l.client.ip("route add 198.51.100.200/32 dev clat0") // not ours
	before := whole()
	for _, tt := range []struct{ name, taken, theirs string }{
		{"route", "route del " + documentation + "/32 dev clat0", ""},
		{"IPv4 address", "addr del " + st.CLAT.IPv4 + "/32 dev clat0", "route replace 198.51.100.200/32 dev clat0"},
		{"IPv6 address", "addr del " + st.CLAT.IPv6 + "/128 dev eth0", ""},
		{"MTU", "link set clat0 mtu 1300", ""},
		{"device", "link set clat0 down", "route replace 198.51.100.200/32 dev clat0"},
	} {
		l.client.ip(tt.taken)
		begin := time.Now()
		eventually(t, 10*time.Second, tt.name+" is put back", func() error {
			if tt.theirs != "" { // the kernel took it away with ours
				_, _ = l.client.try(time.Second, "ip", strings.Fields(tt.theirs)...)
			}
			if text := whole(); text != before {
				return fmt.Errorf("now:\n%s\nbefore:\n%s", text, before)
			}
			return nil
		})
		t.Logf("%s: put back after %v", tt.name, time.Since(begin).Round(time.Millisecond))
		s.waitStatus("path after loss of "+tt.name, 10*time.Second, carries)
		l.works()
	}
	if n := strings.Count(s.p.output(), "put back what another program took away"); n < 5 {
		t.Errorf("%d lines of log say that something was put back", n)
	}
}

// TestContested: somebody who undoes everything is yielded to, with the reason.
func TestContested(t *testing.T) {
	l, s := ready(t)
	s.start().up()
	s.waitStatus("yields", 20*time.Second, func(st status) bool {
		_, _ = l.client.try(time.Second, "ip", "route", "del", documentation+"/32", "dev", "clat0")
		return st.Reason == "changed-by-others" && st.CLAT == nil
	})
	s.p.waitFor("another program keeps taking away what the CLAT needs: add route to " + documentation)
	s.waitStatus("tried again", 45*time.Second, carries)
	l.works()
}
