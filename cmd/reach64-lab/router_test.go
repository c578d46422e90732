package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/test/vnet"
)

func TestRouterFlags(t *testing.T) {
	c, err := parseRouter(strings.Fields("--link lan --prefix 2001:db8:64::/96 --pio 2001:db8:7::/64 --pref64=false --dns64=false --nat64=false"+
		" --ra-interval 1s --dns-ttl 2s --control /run/lab.sock --zone a.example=192.0.2.1 --zone a.example=192.0.2.2 --zone b.example=2001:db8::1"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o := c.opts
	if c.link != "lan" || c.control != "/run/lab.sock" || o.Prefix.String() != "2001:db8:64::/96" || o.PIO.String() != "2001:db8:7::/64" ||
		!o.NoPref64 || !o.NoDNS64 || !o.NoNAT64 || o.RAInterval != time.Second || o.TTL != 2*time.Second || o.Dial6 != nil {
		t.Errorf("got %+v", c)
	}
	want := map[string][]netip.Addr{
		"a.example": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
		"b.example": {netip.MustParseAddr("2001:db8::1")},
	}
	if diff := cmp.Diff(want, o.Zone, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("zone (-want +got):\n%s", diff)
	}
}

func TestWrongFlags(t *testing.T) {
	for name, c := range map[string]struct{ args, says string }{
		"no link":            {"--prefix 64:ff9b::/96", "--link"},
		"prefix of no NAT64": {"--link lan --prefix 2001:db8::/97", "--prefix"},
		"PIO":                {"--link lan --pio lan", "--pio"},
		"zone":               {"--link lan --zone example", "name=address"},
		"interval":           {"--link lan --ra-interval 0s", "--ra-interval"},
		"rest":               {"--link lan more", "more"},
	} {
		if _, err := parseRouter(strings.Fields(c.args), io.Discard); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.says)
		}
		if code := run(t.Context(), strings.Fields("router "+c.args), io.Discard); code != exitUsage {
			t.Errorf("%s: exit code %d, want %d", name, code, exitUsage)
		}
	}
	if _, err := parseRouter([]string{"--help"}, io.Discard); err != flag.ErrHelp {
		t.Errorf("--help: %v", err)
	}
	if code := run(t.Context(), []string{"frobnicate"}, io.Discard); code != exitUsage {
		t.Errorf("unknown verb: exit code %d, want %d", code, exitUsage)
	}
	if code := run(t.Context(), []string{"--link", "no-such-link0"}, io.Discard); code != exitFailed {
		t.Errorf("missing interface: exit code %d, want %d", code, exitFailed)
	}
}

// TestControl covers the line protocol on a router without a real link.
func TestControl(t *testing.T) {
	internet, err := vnet.NewInternet()
	if err != nil {
		t.Fatal(err)
	}
	defer internet.Close()
	link, _ := vnet.Pipe()
	r, err := vnet.New(vnet.Options{}, link, internet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "s")
	ready, ended := make(chan struct{}), make(chan error, 2)
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- serveControl(ctx, path, r, func() { close(ready) }) }()
	<-ready
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 1024)
	for _, l := range []struct{ say, want string }{
		{"nat64 off", "ok"}, {"dns64 on", "ok"}, {"dns off", "ok"}, {"pref64 off", "ok"}, {"ra off", "ok"},
		{"counters", "rs=0 "}, {"name x.test 192.0.2.1 2001:db8::7", "ok"}, {"name x.test", "ok"}, {"name x.test y", "error: "}, {"nat64", "error: "}, {"nat64 maybe", "error: "}, {"power off", "error: "}, {"", "error: "},
	} {
		io.WriteString(c, l.say+"\n")
		n, err := c.Read(buf)
		if err != nil || !bytes.HasPrefix(buf[:n], []byte(l.want)) || bytes.Count(buf[:n], []byte("\n")) != 1 {
			t.Errorf("%q: %q, %v, want one line that begins with %q", l.say, buf[:n], err, l.want)
		}
	}
	cancel()
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
