package endpoint

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/pref64"
	"github.com/reach64/reach64/test/vnet"
)

// TestPrefixByPCP asks a router over a whole network: its advertisements and its
// DNS server say nothing of the prefix.
func TestPrefixByPCP(t *testing.T) {
	t.Parallel()
	var server vnet.PCP
	server.Restart(time.Now())
	server.Set(vnet.PCPSettings{OptionLen: 14, NoAnnounce: true, // the longest way to an answer
		Prefixes: []vnet.PCPPrefix{{Prefix: netip.MustParsePrefix("64:ff9b::/96")}}})
	w, err := NewWorld(vnet.Options{PCP: &server, NoPref64: true, NoDNS64: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	links := []discover.Link{{Index: vnet.Uplink, Name: "eth0"}}
	d := discover.New(discover.Config{Sources: []pref64.Source{pref64.PCP, pref64.RA, pref64.DNS}}, w.Host,
		func(link string) dnsq.Dialer { return linkDialer{w.Host, link} }, nil)
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	d.SetLinks(1, links)
	for got := []pref64.Candidate(nil); len(got) < 2; got = d.Report().Candidates {
		select {
		case <-d.Changed():
		case <-ctx.Done():
			t.Fatalf("no prefix from router and anycast address within the time: %+v", d.Report())
		}
	}
	for i, c := range d.Report().Candidates {
		trust := []pref64.Trust{pref64.LinkTrusted, pref64.AfterProbe}[i]
		if c.Source != pref64.PCP || !c.Prefix.IsWellKnown() || c.Trust != trust {
			t.Errorf("candidate %+v", c)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
