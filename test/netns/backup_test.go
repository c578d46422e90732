package netns

import (
	"slices"
	"testing"
	"time"
)

// network is one kind of network that a laptop may join.
type network struct {
	name     string
	server   string // the server's IPv4 address
	prefix   string
	class    string // as status names it
	source   string // where the prefix has to be found
	programs []string
	router   func(l *lab, prefix string)
	datapath string // path.datapath; "" is auto
}

// networks differ in who translates, who synthesizes, and how the prefix is
// announced.
var networks = []network{
	{"tayga and unbound", documentation, ownPrefix, "v6-only-nat64-dns64", "dns", []string{"tayga", "radvd", "unbound"}, taygaUnbound, ""},
	// tayga refuses addresses that are not global under 64:ff9b::/96 (RFC 6052
	// section 3.1, spec R6052-9), hence another server address.
	{"tayga and bind9", "203.0.114.10", wellKnown, "v6-only-nat64-dns64", "dns", []string{"tayga", "radvd", "named"}, taygaNamed, ""},
	{"tayga and unbound, translation in user space", documentation, ownPrefix, "v6-only-nat64-dns64", "dns", []string{"tayga", "radvd", "unbound"}, taygaUnbound, "tun"},
	{"embedded router, PREF64 only", documentation, ownPrefix, "v6-only-nat64", "ra", nil, func(l *lab, prefix string) {
		l.embedded("--prefix", prefix, "--dns64=false")
	}, ""},
	// wkp_nonglobal = "private" is the default: a private server address is
	// translated with the well-known prefix all the same.
	{"embedded router, well-known prefix, private server", "10.64.0.10", wellKnown, "v6-only-nat64-dns64", "ra", nil, func(l *lab, prefix string) {
		l.embedded("--prefix", prefix)
	}, ""},
}

// TestBackupThrough is what reach64 is for: a backup client that knows only the
// IPv4 address of its server fails, and works as soon as reach64 runs.
func TestBackupThrough(t *testing.T) {
	for _, n := range networks {
		t.Run(n.name, func(t *testing.T) {
			need(t, append([]string{"restic", "rclone", "iperf3"}, n.programs...)...)
			l := newLab(t, n.server)
			n.router(l, n.prefix)
			l.backupServer()
			l.server.start("iperf3", "iperf3", "-s", "-4")
			l.online()

			l.fails()
			if out, err := l.restic(3*time.Second, "init"); err == nil {
				t.Fatalf("restic reached the server without reach64: %s", out)
			}
			before := l.client.sysctls()

			settings, datapath := "", "bpf" // auto takes it
			if n.datapath != "" {
				settings, datapath = useDatapath(n.datapath), n.datapath
			}
			s := l.service(n.server, settings).start()
			st := s.up()
			if deref(st.Datapath) != datapath {
				t.Errorf("datapath %s (%s), want %s", deref(st.Datapath), deref(st.DatapathNote), datapath)
			}
			if st.Class != n.class || deref(st.Prefix) != n.prefix || deref(st.Source) != n.source || deref(st.Uplink) != "eth0" || st.code != 0 {
				t.Errorf("status: class %s, prefix %s from %s, uplink %s, exit code %d; want %s, %s from %s, eth0, 0",
					st.Class, deref(st.Prefix), deref(st.Source), deref(st.Uplink), st.code, n.class, n.prefix, n.source)
			}
			// Spec CLAT-24: 20 bytes less than the uplink; RFC 7335's addresses.
			if st.CLAT.MTU != 1480 || !slices.Contains([]string{"192.0.0.1", "192.0.0.2", "192.0.0.3", "192.0.0.4", "192.0.0.5", "192.0.0.6"}, st.CLAT.IPv4) {
				t.Errorf("CLAT: %+v, want MTU 1480 and an address of 192.0.0.0/29", *st.CLAT)
			}
			s.discovered(n.prefix, n.source)

			l.works()
			l.backUp(100 << 20)
			for _, direction := range [][]string{nil, {"-R"}} {
				rate, err := l.iperf(append([]string{"-4", "-c", n.server}, direction...)...)
				if err != nil || rate < 1e6 {
					t.Errorf("iperf3 %v: %.0f bit/s, %v", direction, rate, err)
				}
				t.Logf("iperf3 %v through this NAT64: %.2f Gbit/s", direction, rate/1e9)
			}
			if diff := changed(before, l.client.sysctls()); len(diff) > 0 {
				t.Errorf("sysctls changed while reach64 runs: %q", diff)
			}
			s.stop()
			l.fails()
			if diff := changed(before, l.client.sysctls()); len(diff) > 0 {
				t.Errorf("sysctls changed: %q", diff)
			}
		})
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
