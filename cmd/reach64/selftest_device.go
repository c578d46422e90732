package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netcfg"
	"github.com/reach64/reach64/platform/netmon"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/tun"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// trialDestination is an address for documentation (RFC 5737), which leads nowhere.
var trialDestination = netip.MustParseAddrPort("203.0.113.77:7")

const (
	trialMTU    = 1480
	trialMetric = 2048
	trialWait   = 5 * time.Second // for what the system does in its own time
)

// device tries a TUN device and what belongs to it, and takes it away again.
func (s *selftest) device(ctx context.Context, m *netmon.Monitor) {
	var dev *tun.Device
	if !s.try("TUN device", func() (seen string, err error) {
		if !s.free {
			return "", fmt.Errorf("%w: it needs the rights of an administrator", errSkip)
		}
		dev, err = tun.Open("clat%d")
		var denied *platform.PermissionError
		if errors.As(err, &denied) {
			return "", fmt.Errorf("%w: %w", errSkip, err)
		}
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, offloads %v", dev.Name(), offloads(dev)), nil
	}) {
		return
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1) // one value, from the goroutine below
	go func() { watched <- m.Run(watching) }()
	select {
	case <-m.Changed(): // the watch has begun
	case <-time.After(trialWait):
	}
	want := netcfg.Want{
		Devices: []netcfg.Device{{Link: dev.Index(), MTU: trialMTU}},
		Addrs:   []netcfg.Addr{{Link: dev.Index(), Prefix: netip.PrefixFrom(reach.FreeIPv4(s.before), 32)}},
	}
	want.Routes = []netcfg.Route{{Link: dev.Index(), Dst: netip.PrefixFrom(trialDestination.Addr(), 32), Src: want.Addrs[0].Prefix.Addr(), Metric: trialMetric}}
	s.configured(ctx, m, dev, want)
	stop()
	s.try("notifications end", func() (string, error) { return "", <-watched })
	s.try("nothing is left", func() (string, error) {
		return s.settles(ctx, m, "the device is gone", func(now netstate.Snapshot) bool {
			_, there := now.Link(dev.Index())
			return !there
		})
	})
}

// configured tries addresses, routes and packets, and undoes all of it.
func (s *selftest) configured(ctx context.Context, m *netmon.Monitor, dev *tun.Device, want netcfg.Want) {
	var c *netcfg.Configurator
	var j *journal.Journal
	if !s.try("address, route, MTU", func() (seen string, err error) {
		if j, err = journal.Open(filepath.Join(filepath.Dir(journalFile()), "selftest")); err != nil {
			return "", err
		}
		c = netcfg.New(j, s.log)
		if err := c.Apply(ctx, s.before, want); err != nil {
			return "", err
		}
		return s.settles(ctx, m, "the system shows them", func(now netstate.Snapshot) bool {
			l, ok := now.Link(dev.Index())
			return ok && l.Up && len(netcfg.Drift(now, want)) == 0
		})
	}) {
		if c != nil {
			_ = c.Apply(ctx, s.before, netcfg.Want{})
		}
		_ = dev.Close()
		return
	}
	s.try("changes are noticed", func() (string, error) {
		select {
		case <-m.Changed():
			return "notified", nil
		case <-time.After(trialWait):
			return "", errors.New("no notification came")
		}
	})
	s.try("packets both ways", func() (string, error) { return packets(ctx, dev) })
	s.try("undone", func() (string, error) {
		err := errors.Join(c.Apply(ctx, s.before, netcfg.Want{}), dev.Close())
		if left := len(j.Entries()); left > 0 {
			err = errors.Join(err, fmt.Errorf("%d entries are left in the journal", left))
		}
		return "", errors.Join(err, j.Close())
	})
}

// settles waits until the network's state is right.
func (s *selftest) settles(ctx context.Context, m *netmon.Monitor, what string, ok func(netstate.Snapshot) bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, trialWait)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		now, err := m.Snapshot()
		if err != nil {
			return "", err
		}
		if ok(now) {
			return what, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("not so after %v: %s", trialWait, what)
		case <-look.C:
		}
	}
}

func offloads(dev any) bool {
	o, ok := dev.(interface{ Offloads() bool })
	return ok && o.Offloads()
}

// packets sends a datagram into the device, reads it there, and answers it.
func packets(ctx context.Context, dev *tun.Device) (string, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "udp4", trialDestination.String())
	if err != nil {
		return "", fmt.Errorf("open socket: %w", err)
	}
	defer c.Close()
	const text = "reach64 selftest"
	if _, err := c.Write([]byte(text)); err != nil {
		return "", fmt.Errorf("send datagram: %w", err)
	}
	answered := make(chan error, 1) // one value, from the goroutine below, which ends with the device at the latest
	go func() { answered <- answer(dev, text) }()
	select {
	case err := <-answered:
		if err != nil {
			return "", err
		}
	case <-time.After(trialWait):
		return "", errors.New("the datagram does not come out of the device: does a firewall keep it back?")
	}
	_ = c.SetReadDeadline(time.Now().Add(trialWait))
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != text {
		return "", fmt.Errorf("the answer does not come back: %q, %w", buf[:n], err)
	}
	return "a datagram went out and its answer came back", nil
}

// answer waits for the datagram and sends it back. Other packets of the system are
// let pass.
func answer(dev *tun.Device, text string) error {
	buf := make([]byte, tun.MaxPacket)
	for {
		_, n, err := dev.ReadPacket(buf)
		if err != nil {
			return err
		}
		p := buf[:n]
		if len(p) < 28+len(text) || p[0] != 0x45 || p[9] != 17 || string(p[28:]) != text {
			continue
		}
		return dev.WritePacket(vnethdr.Header{}, turned(p), nil)
	}
}

// turned is an IPv4 datagram without options sent back: addresses and ports change
// places, and UDP's checksum is left out, as IPv4 allows (RFC 768).
func turned(p []byte) []byte {
	out := append([]byte{}, p...)
	copy(out[12:16], p[16:20])
	copy(out[16:20], p[12:16])
	copy(out[20:22], p[22:24])
	copy(out[22:24], p[20:22])
	out[26], out[27] = 0, 0
	out[10], out[11] = 0, 0
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(out[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(out[10:], ^uint16(sum>>16+sum))
	return out
}
