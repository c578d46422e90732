package netcfg

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/platform/netstate"
)

// machine is what the conformance suite runs against: an OS with an uplink and a device
// that are up, and what its monitor would say.
type machine struct {
	os      OS
	up, dev int
	look    func() netstate.Snapshot
	down    func(link int) // as another program would do it
}

// memory is an operating system in memory: the suite holds it to what the kernel does,
// so that tests above can rely on it.
type memory struct {
	links  map[int]*netstate.Link
	routes []netstate.Route
}

func newMemory(indexes ...int) *memory {
	m := &memory{links: map[int]*netstate.Link{}}
	for _, i := range indexes {
		m.links[i] = &netstate.Link{Index: i, Name: string(rune('a' + i)), Up: true, MTU: 1500}
	}
	return m
}

func (m *memory) snapshot() (s netstate.Snapshot) {
	for _, i := range slices.Sorted(maps.Keys(m.links)) {
		l := *m.links[i]
		l.Addrs = slices.Clone(l.Addrs)
		s.Links = append(s.Links, l)
	}
	s.Routes = slices.Clone(m.routes)
	return s
}

func (m *memory) SetDevice(d Device) error {
	l, ok := m.links[d.Link]
	if !ok {
		return fs.ErrNotExist
	}
	l.Up, l.MTU = true, d.MTU
	return nil
}

func (m *memory) AddAddr(a Addr) error {
	l, ok := m.links[a.Link]
	switch {
	case !ok:
		return fs.ErrNotExist
	case slices.ContainsFunc(l.Addrs, func(x netstate.Addr) bool { return x.Prefix == a.Prefix }):
		return fs.ErrExist
	}
	l.Addrs = append(l.Addrs, netstate.Addr{Prefix: a.Prefix, Deprecated: a.Deprecated})
	return nil
}

func (m *memory) DelAddr(a Addr) error {
	l, ok := m.links[a.Link]
	if !ok {
		return fs.ErrNotExist
	}
	n := len(l.Addrs)
	if l.Addrs = slices.DeleteFunc(l.Addrs, func(x netstate.Addr) bool { return x.Prefix == a.Prefix }); len(l.Addrs) == n {
		return fs.ErrNotExist
	}
	return nil
}

func (m *memory) at(r Route) int {
	return slices.IndexFunc(m.routes, func(x netstate.Route) bool { return x.Dst == r.Dst && x.Link == r.Link && x.Metric == r.Metric })
}

func (m *memory) AddRoute(r Route) error {
	if _, ok := m.links[r.Link]; !ok {
		return fs.ErrNotExist
	}
	if m.at(r) >= 0 {
		return fs.ErrExist
	}
	m.routes = append(m.routes, netstate.Route{Dst: r.Dst, Link: r.Link, Metric: r.Metric, MTU: r.MTU})
	return nil
}

func (m *memory) DelRoute(r Route) error {
	i := m.at(r)
	if i < 0 {
		return fs.ErrNotExist
	}
	m.routes = slices.Delete(m.routes, i, i+1)
	return nil
}

// down takes the routes along, as the kernel does.
func (m *memory) down(link int) {
	m.links[link].Up = false
	m.routes = slices.DeleteFunc(m.routes, func(r netstate.Route) bool { return r.Link == link })
}

func TestMemoryConforms(t *testing.T) {
	conform(t, func(*testing.T) machine {
		m := newMemory(2, 9)
		return machine{m, 2, 9, m.snapshot, m.down}
	})
}

// whole of a CLAT on this machine, with both routes.
func (m machine) want() Want {
	w := Want{Devices: []Device{{Link: m.dev, MTU: 1400}}, Addrs: []Addr{addr6, addr4}, Routes: []Route{routeA, routeB}}
	w.Addrs[0].Link, w.Addrs[1].Link, w.Routes[0].Link, w.Routes[1].Link = m.up, m.dev, m.dev, m.dev
	w.Routes[0].MTU = 1380
	return w
}

// ours is what of a snapshot concerns us, without what comes and goes by itself.
func (m machine) ours() (out []string) {
	s := m.look()
	for _, l := range s.Links {
		for _, a := range l.Addrs {
			if a.Prefix == addr6.Prefix || a.Prefix == addr4.Prefix {
				out = append(out, Step{Addr: Addr{Link: l.Index, Prefix: a.Prefix}}.key())
			}
		}
	}
	for _, r := range s.Routes {
		if r.Dst == routeA.Dst || r.Dst == routeB.Dst {
			out = append(out, Step{Route: Route{Link: r.Link, Dst: r.Dst, Metric: r.Metric}}.key())
		}
	}
	slices.Sort(out)
	return out
}

// conform is the suite: what every OS has to do, seen through a Configurator and by
// itself.
func conform(t *testing.T, make func(t *testing.T) machine) {
	run := func(name string, test func(t *testing.T, m machine, c *Configurator)) {
		t.Run(name, func(t *testing.T) {
			m := make(t)
			j, _ := openJournal(t)
			test(t, m, NewOn(m.os, j, quiet()))
			if left := j.Entries(); len(left) > 0 && !t.Failed() {
				t.Errorf("journal still holds %v", left)
			}
		})
	}
	apply := func(t *testing.T, m machine, c *Configurator, w Want) {
		t.Helper()
		if err := c.Apply(t.Context(), m.look(), w); err != nil {
			t.Fatal(err)
		}
	}
	all := func(w Want) (out []string) {
		for _, s := range Plan(netstate.Snapshot{}, Want{}, w) {
			if s.Device == (Device{}) {
				out = append(out, s.key())
			}
		}
		slices.Sort(out)
		return out
	}
	run("the whole state comes, once, and goes", func(t *testing.T, m machine, c *Configurator) {
		for range 3 {
			apply(t, m, c, m.want())
			if d := cmp.Diff(all(m.want()), m.ours()); d != "" {
				t.Fatal(d)
			}
			if drift := Drift(m.look(), m.want()); len(drift) > 0 {
				t.Fatalf("at once others have changed %v", drift)
			}
		}
		l, _ := m.look().Link(m.dev)
		if l.MTU != 1400 || !l.Up {
			t.Errorf("device %+v", l)
		}
		up, _ := m.look().Link(m.up)
		if !slices.ContainsFunc(up.Addrs, func(a netstate.Addr) bool { return a.Prefix == addr6.Prefix && a.Deprecated }) {
			t.Errorf("addresses of the uplink %+v, want that of the CLAT deprecated", up.Addrs)
		}
		apply(t, m, c, Want{})
		apply(t, m, c, Want{})
		if left := m.ours(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	run("only the difference is made", func(t *testing.T, m machine, c *Configurator) {
		w := m.want()
		apply(t, m, c, w)
		less := w
		less.Routes, less.Devices = w.Routes[:1], []Device{{Link: m.dev, MTU: 1300}}
		apply(t, m, c, less)
		if d := cmp.Diff(all(less), m.ours()); d != "" {
			t.Error(d)
		}
		if l, _ := m.look().Link(m.dev); l.MTU != 1300 {
			t.Errorf("MTU %d, want 1300", l.MTU)
		}
		apply(t, m, c, Want{})
	})
	for name, taken := range map[string]func(m machine) error{
		"the IPv6 address": func(m machine) error { return m.os.DelAddr(m.want().Addrs[0]) },
		"a route":          func(m machine) error { return m.os.DelRoute(m.want().Routes[1]) },
		"the device":       func(m machine) error { m.down(m.dev); return nil },
		"the MTU":          func(m machine) error { return m.os.SetDevice(Device{Link: m.dev, MTU: 1290}) },
	} {
		run("others take away "+name+": told, and put back", func(t *testing.T, m machine, c *Configurator) {
			apply(t, m, c, m.want())
			if err := taken(m); err != nil {
				t.Fatal(err)
			}
			if len(Drift(m.look(), m.want())) == 0 {
				t.Error("not noticed")
			}
			apply(t, m, c, m.want())
			for try := 0; len(Drift(m.look(), m.want())) > 0 && try < 250; try++ {
				<-time.After(20 * time.Millisecond) // the kernel tells of a carrier in its own time
			}
			if d := cmp.Diff(all(m.want()), m.ours()); d != "" || len(Drift(m.look(), m.want())) > 0 {
				t.Errorf("%s%v", d, Drift(m.look(), m.want()))
			}
			apply(t, m, c, Want{})
		})
	}
	run("what others have made is theirs", func(t *testing.T, m machine, c *Configurator) {
		theirs := m.want().Addrs[0]
		if err := m.os.AddAddr(theirs); err != nil {
			t.Fatal(err)
		}
		if err := c.Apply(t.Context(), m.look(), m.want()); !errors.Is(err, fs.ErrExist) {
			t.Errorf("err = %v, want fs.ErrExist", err)
		}
		apply(t, m, c, Want{})
		if got := m.ours(); len(got) != 1 || got[0] != (Step{Addr: theirs}).key() {
			t.Errorf("left: %v, want theirs alone", got)
		}
	})
	run("twice is told", func(t *testing.T, m machine, _ *Configurator) {
		w := m.want()
		for _, s := range []struct {
			what string
			do   func() error
			want error
		}{
			{"address", func() error { return m.os.AddAddr(w.Addrs[1]) }, nil},
			{"address again", func() error { return m.os.AddAddr(w.Addrs[1]) }, fs.ErrExist},
			{"device", func() error { return m.os.SetDevice(w.Devices[0]) }, nil},
			{"device again", func() error { return m.os.SetDevice(w.Devices[0]) }, nil},
			{"route", func() error { return m.os.AddRoute(w.Routes[0]) }, nil},
			{"route again", func() error { return m.os.AddRoute(w.Routes[0]) }, fs.ErrExist},
			{"no route", func() error { return m.os.DelRoute(w.Routes[0]) }, nil},
			{"no route again", func() error { return m.os.DelRoute(w.Routes[0]) }, fs.ErrNotExist},
			{"no address", func() error { return m.os.DelAddr(w.Addrs[1]) }, nil},
			{"no address again", func() error { return m.os.DelAddr(w.Addrs[1]) }, fs.ErrNotExist},
			{"address of no link", func() error { return m.os.AddAddr(Addr{Link: 4711, Prefix: addr4.Prefix}) }, fs.ErrNotExist},
			{"no address of no link", func() error { return m.os.DelAddr(Addr{Link: 4711, Prefix: addr4.Prefix}) }, fs.ErrNotExist},
			{"device that is gone", func() error { return m.os.SetDevice(Device{Link: 4711, MTU: 1400}) }, fs.ErrNotExist},
			{"route over no link", func() error { return m.os.AddRoute(Route{Link: 4711, Dst: routeA.Dst, Metric: 2048}) }, fs.ErrNotExist},
		} {
			if err := s.do(); !errors.Is(err, s.want) || (s.want == nil) != (err == nil) {
				t.Errorf("%s: %v, want %v", s.what, err, s.want)
			}
		}
	})
}
