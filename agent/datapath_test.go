package agent

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
)

// kernel is a machine that refuses some datapaths.
type kernel struct {
	refuse map[bool]error // by whether translation was asked for
	has    *Steer         // what is attached
	opened int
}

func (k *kernel) Mode() string                         { return "test" }
func (k *kernel) Counters() (map[string]uint64, error) { return nil, nil }
func (k *kernel) Close() error                         { k.has = nil; return nil }

func (k *kernel) Change(s Steer) error {
	if err := k.refuse[s.Translate != nil]; err != nil {
		return err
	}
	k.has = &s
	return nil
}

func (k *kernel) steer(s Steer) (Steering, error) {
	k.opened++
	return k, k.Change(s)
}

// numbered is a device of which only the index matters.
type numbered struct{ Device }

func (numbered) Index() int { return 7 }

func TestFastestDatapathThatCanBeHad(t *testing.T) {
	denied := &platform.PermissionError{Doing: "load BPF programs", Need: "CAP_BPF", Err: os.ErrPermission}
	old := platform.Unsupported("translation by BPF with this kernel")
	broken := errors.New("no memory")
	for _, tt := range []struct {
		name, wanted string
		bpf, tun     error
		datapath     string   // "": none
		says         []string // in the note, or in the error
	}{
		{"all can be had", "auto", nil, nil, "bpf", nil},
		{"no translation in the kernel", "auto", old, nil, "tun", []string{"not bpf", "this kernel", "it needs Linux 5.10"}},
		{"not permitted", "auto", denied, nil, "tun", []string{"not bpf", "it needs CAP_BPF"}},
		{"another failure", "auto", broken, nil, "tun", []string{"not bpf: no memory", "tried again"}},
		{"nothing can be had", "auto", old, denied, "", []string{"bpf:", "this kernel", "tun:", "CAP_BPF"}},
		{"bpf wanted", "bpf", nil, nil, "bpf", nil},
		{"bpf wanted and not to be had", "bpf", old, nil, "", []string{"bpf:", "this kernel"}},
		{"tun wanted", "tun", nil, nil, "tun", []string{`path.datapath is "tun"`, "bpf first"}},
		{"tun wanted and not to be had", "tun", nil, broken, "", []string{"tun: no memory"}},
	} {
		k := &kernel{refuse: map[bool]error{true: tt.bpf, false: tt.tun}}
		a := &Agent{edges: Edges{Steer: k.steer}, conf: config.Config{Path: config.Path{Datapath: tt.wanted}}}
		in := instanceForTest()
		err := a.carry(netstate.Snapshot{}, in)
		text := in.note
		if err != nil {
			text = err.Error()
		}
		if in.datapath != tt.datapath || (err != nil) != (tt.datapath == "") || tt.says == nil && text != "" {
			t.Errorf("%s: datapath %q, note %q, error %v; want %q", tt.name, in.datapath, in.note, err, tt.datapath)
		}
		for _, s := range tt.says {
			if !strings.Contains(text, s) {
				t.Errorf("%s: it says %q, want %q in it", tt.name, text, s)
			}
		}
		if err == nil && (k.has.Translate != nil) != (tt.datapath == "bpf") {
			t.Errorf("%s: attached %+v", tt.name, *k.has)
		}
		if errors.Is(tt.tun, os.ErrPermission) && failure(err, reach.CLAT{}).Reason != reach.ReasonNotPermitted {
			t.Errorf("%s: reason %v, want that it is not permitted", tt.name, failure(err, reach.CLAT{}).Reason)
		}
	}
}

func instanceForTest() *instance {
	return &instance{dev: numbered{}, addr6: netip.MustParseAddr("2001:db8:1::c1a7"), want: reach.CLAT{Uplink: 3, Ethernet: true, MTU6: 1500,
		Prefix: nat64.WellKnown(), IPv4: netip.MustParseAddr("192.0.0.3")}}
}

// TestDatapathIsSwitched: what is attached is changed, not taken down, and what was
// refused is tried again.
func TestDatapathIsSwitched(t *testing.T) {
	k := &kernel{refuse: map[bool]error{true: errors.New("no memory")}}
	log, hook := logtest.NewNullLogger()
	a := &Agent{log: log, edges: Edges{Steer: k.steer}, conf: config.Config{
		Path:    config.Path{Datapath: config.DatapathAuto},
		Servers: []config.Server{{Name: "198.51.100.11", IPv4: []netip.Addr{netip.MustParseAddr("198.51.100.11"), netip.MustParseAddr("198.51.100.10")}}},
	}}
	a.names = newLookup(log, nil, nil, nil)
	in := instanceForTest()
	for _, step := range []struct {
		wanted, datapath string
		logged           int
	}{{"auto", "tun", 0}, {"tun", "tun", 1}, {"bpf", "bpf", 2}, {"bpf", "bpf", 2}, {"auto", "bpf", 2}, {"tun", "tun", 3}} {
		a.conf.Path.Datapath = step.wanted
		if err := a.carry(netstate.Snapshot{}, in); err != nil {
			t.Fatal(err)
		}
		if in.datapath != step.datapath || len(hook.AllEntries()) != step.logged {
			t.Errorf("%s: datapath %s, %d entries logged; want %s and %d", step.wanted, in.datapath, len(hook.AllEntries()), step.datapath, step.logged)
		}
		k.refuse = nil
		if c := k.has.Translate; c != nil && (c.MTU4 != 1480 || c.MTU6 != 1500 || c.CLAT6 != in.addr6 || len(c.AlwaysAllow) != 2 || c.AlwaysAllow[0].Compare(c.AlwaysAllow[1]) > 0) {
			t.Errorf("%s: translation of %+v", step.wanted, *c)
		}
	}
	if k.opened != 2 || k.has.Device != 7 || k.has.Uplink != 3 {
		t.Errorf("steering was set up %d times, at last for %+v; want once in vain and once", k.opened, *k.has)
	}
	if e := hook.LastEntry(); e.Level != logrus.InfoLevel || e.Data["datapath"] != "tun" {
		t.Errorf("last entry %+v", e)
	}
}
