package agent

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/platform/directaccess"
	"github.com/reach64/reach64/platform/icmp6"
	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netcfg"
	"github.com/reach64/reach64/platform/netmon"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/osinfo"
	"github.com/reach64/reach64/platform/sock"
	"github.com/reach64/reach64/platform/tun"
	"github.com/reach64/reach64/tunnel/bpf"
	"github.com/reach64/reach64/tunnel/clat"
	"github.com/reach64/reach64/tunnel/relay"
)

// SystemEdges returns the edges of the operating system that this program runs
// on. Changes are journalled in j. The returned function closes what was opened.
//
// It lets Go use one core more than there are, since the workers of the tun datapath
// may hold all of them while they wait for packets.
func SystemEdges(log logrus.FieldLogger, j *journal.Journal) (Edges, func(), error) {
	monitor, err := netmon.New(log)
	if err != nil {
		return Edges{}, nil, fmt.Errorf("watch network: %w", err)
	}
	conn, err := icmp6.Open()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return Edges{}, nil, fmt.Errorf("listen for router advertisements: %w", err)
	}
	cores := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(cores + 1)
	e := Edges{
		Monitor:   monitor,
		Queues:    cores,
		Configure: netcfg.New(j, log),
		OpenDevice: func(name string, queues int) (Device, error) {
			d, err := tun.OpenQueues(name, queues)
			if err != nil {
				return nil, err
			}
			return device{d}, nil
		},
		Steer:    attach,
		DialLink: func(link string) Dialer { return sock.Dialer(link) },
		Dial:     sock.Dialer(""),
		DialFlows: func(link string) relay.Dialer {
			return sock.Flows{Bound: sock.Dialer(link)}
		},
		Foreign: func(s netstate.Snapshot, ownDevice int) (evidence, link string) {
			f, ok := osinfo.ForeignCLAT(s, osinfo.Own{Device: ownDevice})
			if !ok {
				return "", ""
			}
			return fmt.Sprintf("%s: %s", f.Name, f.Evidence), f.Link
		},
		Mostly: func(s netstate.Snapshot) string {
			if _, ok := s.Default(false); ok {
				return "" // IPv4 is done with
			}
			for _, l := range s.Links {
				if l.Up && !l.Loopback && !l.Tunnel {
					if text := osinfo.IPv6Mostly("/", l.Name, l.Index, time.Now()); text != "" {
						return text
					}
				}
			}
			return ""
		},
		Portal: func(l netstate.Link) string { return osinfo.Portal("/", l.Name, l.Index, time.Now()) },
		Echo:   icmp6.Echo,
	}
	UseDirectAccess(&e, log, directaccess.System)
	if conn == nil {
		return e, func() {}, nil // a system that does not tell what routers advertise
	}
	e.RA = conn
	return e, func() { _ = conn.Close() }, nil
}

// device is a TUN whose queues are the CLAT's.
type device struct{ *tun.Device }

// Queues implements clat.Queued.
func (d device) Queues() []clat.Queue {
	var list []clat.Queue
	for _, q := range d.Device.Queues() {
		list = append(list, q)
	}
	return list
}

// kernelSteering is the kernel's BPF programs.
type kernelSteering struct{ *bpf.Steering }

func (k kernelSteering) Change(s Steer) error { return k.Steering.Change(bpfConfig(s)) }

func attach(s Steer) (Steering, error) {
	st, err := bpf.Attach(bpfConfig(s))
	if err != nil {
		return nil, err
	}
	return kernelSteering{st}, nil
}

func bpfConfig(s Steer) bpf.Config {
	return bpf.Config{TUN: s.Device, Uplink: s.Uplink, Ethernet: s.Ethernet, CLAT6: s.CLAT6, Prefixes: s.Prefixes, NextHop: s.NextHop, Translate: s.Translate}
}
