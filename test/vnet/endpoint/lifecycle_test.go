package endpoint

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/netcfg"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/test/vnet"
)

// changes is how many changes a start makes: the device, two addresses, two routes.
const changes = 5

const byRelay = "[path]\ndatapath = \"relay\"\n"

// lifecyclePlays are of what is done to the service and to what it has set up.
var lifecyclePlays = map[string]play{
	"paused":        {servers: byName, enter: (*game).pause, leave: (*game).resume, also: noCLAT},
	byAddressPaused: {enter: (*game).pause, leave: (*game).resume, also: noCLAT},
	"paused for a time": {
		enter: func(g *game) {
			g.must(g.s.Agent.Pause(g.Context(), time.Second))
			g.wait(orBase(byAddressPaused), noCLAT)
		}},
	"a flow lives over reloads":    {after: (*game).flowOverReloads},
	"reload to the relay and back": {after: (*game).relayAndBack},
	"relay by configuration":       {conf: byRelay, also: note("path.datapath")},
	"stopped while it starts": {after: func(g *game) {
		g.stop()
		g.start()
		waitFor(g.T, g.s, "has a device", func(st status.Status) bool { return st.CLAT != nil && !st.CLAT.Ready })
	}},
	"killed, then cleanup": {dead: true, after: func(g *game) {
		undone, err := g.killed()
		g.must(err)
		if len(undone) == 0 {
			g.Error("cleanup had nothing to undo: the kill left nothing behind")
		}
	}},
	"killed, then started anew":       {after: (*game).again},
	"relay killed, then started anew": {conf: byRelay, after: (*game).again},
	"killed after each of its changes": {after: func(g *game) {
		g.stop() // the rest is in worlds of their own
		for n := 1; n <= changes; n++ {
			for _, before := range []bool{false, true} {
				d := Death{At: n, Before: before}
				g.Run(fmt.Sprintf("%+v", d), func(t *testing.T) {
					t.Parallel()
					dieAt(t, d)
				})
			}
		}
	}},
	"others take away what is ours":        {after: (*game).taken},
	"others keep taking away what is ours": {enter: (*game).contest, also: noCLAT},
	"not permitted": {
		before: func(g *game) {
			g.w.NoDevice = &platform.PermissionError{Doing: "open device", Need: "CAP_NET_ADMIN", Err: errors.New("operation not permitted")}
		},
		also: all(noCLAT, detail("CAP_NET_ADMIN"))},
	"steering that fails": {
		before: func(g *game) { g.w.NoSteering = errors.New("steering is not to be had") },
		also:   note("steering is not to be had (datapath-failed)"),
		after: func(g *game) { // where nothing else is allowed
			g.reload("[path]\ndatapath = \"tun\"\n")
			waitFor(g.T, g.s, "down", func(st status.Status) bool { return st.Reason == "datapath-failed" && st.CLAT == nil })
		}},
}

const byAddressPaused = "paused, with a server known by its address alone"

func (g *game) pause()  { g.must(g.s.Agent.Pause(g.Context(), 0)) }
func (g *game) resume() { g.must(g.s.Agent.Resume(g.Context())) }

// reload goes over to a configuration with conf in the place of the play's, and more
// servers.
func (g *game) reload(conf string, servers ...string) {
	g.Helper()
	g.p.conf = conf
	c, err := config.Parse("memory", []byte(strings.Replace(g.conf(), byAddress, byAddress+strings.Join(servers, ""), 1)), nil)
	g.must(err)
	_, err = g.s.Agent.Reload(g.Context(), c)
	g.must(err)
}

// flow is a connection of a client's that lasts. It returns a function that uses it.
func (g *game) flow() (use func()) {
	c, err := g.w.Host.DialContext(g.Context(), "tcp4", ServerAddr.String())
	g.must(err)
	g.Cleanup(func() { _ = c.Close() })
	return func() { g.Helper(); echo(g.T, c, 64<<10) }
}

func (g *game) flowOverReloads() {
	use := g.flow()
	use()
	clat := *g.first().CLAT
	g.s.Agent.Refresh()
	use()
	g.reload("[discovery]\nsources = [\"ra\"]\nwkp_nonglobal = \"never\"\n[path]\nhop_addresses = \"203.0.113.0/24\"\n", "[[server]]\nname = \"198.51.100.77\"\n")
	waitFor(g.T, g.s, "another server and one source", func(st status.Status) bool {
		used := 0
		for _, v := range st.Sources {
			if v.Verdict != "skipped" {
				used++
			}
		}
		return len(st.Servers) == 2 && used == 1 && st.CLAT != nil && len(st.CLAT.Routes) == 2
	})
	use()
	g.reload("")
	g.wait(orBase(base), nil)
	use()
	if now := *g.first().CLAT; now.IPv4 != clat.IPv4 || *now.IPv6 != *clat.IPv6 || now.Device != clat.Device {
		g.Errorf("CLAT %+v, before %+v", now, clat)
	}
}

func (g *game) relayAndBack() {
	g.reload(byRelay)
	g.wait(orBase("relay by configuration"), nil)
	g.client(true)
	g.reload("[path]\ndatapath = \"tun\"\n")
	g.wait(orBase(base), nil)
	g.client(true)
}

// killed kills the service, and cleans up after it.
func (g *game) killed() (undone []string, err error) {
	s := g.s
	g.s = nil
	g.must(s.Kill())
	return g.w.Cleanup(g.state, newLog(g.T))
}

// again kills the service and starts it anew: the addresses are the same ones.
func (g *game) again() {
	first := *g.first().CLAT
	s := g.s
	g.s = nil
	g.must(s.Kill())
	g.start()
	name := base
	if first.IPv6 == nil {
		name = "relay by configuration"
	}
	st := g.wait(orBase(name), nil)
	if st.CLAT.IPv4 != first.IPv4 || deref(st.CLAT.IPv6) != deref(first.IPv6) {
		g.Errorf("CLAT %+v, before the kill %+v", st.CLAT, first)
	}
	var found []string
	l, _ := g.w.Host.Snapshot().Link(vnet.Uplink)
	for _, a := range l.Addrs {
		if a.Prefix.Bits() == 128 {
			found = append(found, a.Prefix.Addr().String())
		}
	}
	if got := strings.Join(found, " "); got != deref(st.CLAT.IPv6) {
		g.Errorf("addresses of a CLAT on eth0: %q, want %q", got, deref(st.CLAT.IPv6))
	}
	g.client(true)
}

// dieAt kills a service at one of the changes that it makes to the system. The next
// start works, and leaves nothing when it is stopped.
func dieAt(t *testing.T, d Death) {
	g := build(t, play{})
	g.settle()
	before := state(g.w.Host)
	g.w.Death = d
	g.start()
	select {
	case <-g.s.Died():
	case <-time.After(patience):
		t.Fatal("it does not make so many changes")
	}
	g.must(g.s.Stop())
	g.w.Death = Death{}
	g.start()
	defer g.stop()
	g.wait(orBase(base), nil)
	g.client(true)
	g.stop()
	g.unchanged(before, true)
}

// taken takes away one thing after another, and wants each put back; what is others'
// stays.
func (g *game) taken() {
	h, st := g.w.Host, g.first()
	tun := g.w.Link(st.CLAT.Device)
	g.must(h.AddRoute(netstate.Route{Dst: netip.MustParsePrefix("198.51.100.200/32"), Link: tun}))
	before := state(h)
	for _, tt := range []struct {
		name string
		take func() error
	}{
		{"route", func() error {
			return system{h, immortal()}.DelRoute(netcfg.Route{Dst: netip.PrefixFrom(ServerAddr.Addr(), 32), Link: tun, Metric: 2048})
		}},
		{"IPv4 address", func() error { return h.RemoveAddr(tun, netip.PrefixFrom(netip.MustParseAddr(st.CLAT.IPv4), 32)) }},
		{"IPv6 address", func() error {
			return h.RemoveAddr(vnet.Uplink, netip.PrefixFrom(netip.MustParseAddr(*st.CLAT.IPv6), 128))
		}},
		{"MTU", func() error { return h.SetMTU(tun, 1300) }},
		{"device", func() error { return h.SetLink(tun, false) }},
	} {
		g.must(tt.take())
		for end := time.After(patience); state(h) != before; {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-end:
				g.Fatalf("%s: now\n%s\nbefore\n%s", tt.name, state(h), before)
			}
		}
		g.wait(orBase(base), nil)
		g.client(true)
	}
}

// contest takes the server's route away as often as it is put back.
func (g *game) contest() {
	tun := g.w.Link(g.first().CLAT.Device)
	waitFor(g.T, g.s, "yields", func(st status.Status) bool {
		_ = system{g.w.Host, immortal()}.DelRoute(netcfg.Route{Dst: netip.PrefixFrom(ServerAddr.Addr(), 32), Link: tun, Metric: 2048})
		return st.Reason == "changed-by-others"
	})
}
