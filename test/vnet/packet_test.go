package vnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/mdlayher/ndp"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

func TestPref64Encoding(t *testing.T) {
	for _, c := range []struct {
		prefix         string
		lifetime, want time.Duration // on the wire: units of 8 s, 65528 s at most
	}{
		{"64:ff9b::/96", 600 * time.Second, 600 * time.Second},
		{"2001:db8:122:344::/64", 9 * time.Second, 16 * time.Second},
		{"2001:db8:122:300::/56", time.Second, 8 * time.Second},
		{"2001:db8:122::/48", 0, 0},
		{"2001:db8:100::/40", 65528 * time.Second, 65528 * time.Second},
		{"2001:db8::/32", 30 * time.Hour, 65528 * time.Second},
	} {
		o := Options{Prefix: nat64.MustParse(c.prefix), Pref64Lifetime: c.lifetime}
		if err := o.setDefaults(); err != nil {
			t.Fatal(err)
		}
		o.Pref64Lifetime = c.lifetime // zero is a lifetime here
		m, err := ndp.ParseMessage(advertisement(o, true))
		if err != nil {
			t.Fatalf("%s: %v", c.prefix, err)
		}
		var got *ndp.PREF64
		for _, opt := range m.(*ndp.RouterAdvertisement).Options {
			if p, ok := opt.(*ndp.PREF64); ok {
				got = p
			}
		}
		if got == nil || got.Prefix != netip.MustParsePrefix(c.prefix) || got.Lifetime != c.want {
			t.Errorf("%s for %v: got %+v, want %v", c.prefix, c.lifetime, got, c.want)
		}
	}
}

func TestFragments(t *testing.T) {
	src, dst := netip.MustParseAddr("64:ff9b::1"), netip.MustParseAddr("2001:db8::1")
	for _, size := range []int{0, 1240, 1241, 4000, 65000} {
		payload := bytes.Repeat([]byte("01234567"), size/8+1)[:size]
		pkt := append(header6(src, dst, protoUDP, 61, size), payload...)
		var got []byte
		all := fragment6(pkt, 1280, 0xabcdef01)
		for i, f := range all {
			if len(f) > 1280 {
				t.Errorf("%d: fragment of %d bytes", size, len(f))
			}
			p := gopacket.NewPacket(f, layers.LayerTypeIPv6, gopacket.Default)
			h, ok := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
			if !ok {
				if len(all) != 1 || !bytes.Equal(f, pkt) {
					t.Errorf("%d: no fragment header, want the packet itself", size)
				}
				got = payload
				continue
			}
			if h.NextHeader != layers.IPProtocolUDP || h.Identification != 0xabcdef01 || int(h.FragmentOffset)*8 != len(got) || h.MoreFragments != (i < len(all)-1) {
				t.Errorf("%d: fragment %d is %+v", size, i, h)
			}
			got = append(got, f[ip6Len+8:]...)
		}
		if !bytes.Equal(got, payload) {
			t.Errorf("%d: the fragments hold %d bytes", size, len(got))
		}
	}
}

// TestSplitUDP: a kernel may hand over a UDP super-frame; each datagram counts.
func TestSplitUDP(t *testing.T) {
	payload := bytes.Repeat([]byte("abcdefghij"), 25)
	for _, v6 := range []bool{true, false} {
		eth := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}
		var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, Protocol: layers.IPProtocolUDP, TTL: 64, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}}
		start := uint16(etherLen + 20)
		if v6 {
			eth.EthernetType = layers.EthernetTypeIPv6
			ip = &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolUDP, HopLimit: 64, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
			start = etherLen + ip6Len
		}
		udp := &layers.UDP{SrcPort: 1, DstPort: 2}
		buf := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, eth, ip, udp, gopacket.Payload(payload)); err != nil {
			t.Fatal(err)
		}
		h := vnethdr.Header{GSOType: vnethdr.GSOUDPL4, GSOSize: 100, CsumStart: start, CsumOffset: 6}
		var got []byte
		var sizes []int
		splitUDP(h, buf.Bytes(), func(f []byte) {
			p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
			u, ok := p.TransportLayer().(*layers.UDP)
			if p.ErrorLayer() != nil || !ok || int(u.Length) != udpLen+len(u.Payload) {
				t.Fatalf("IPv6 %v: %v", v6, p)
			}
			sizes = append(sizes, len(u.Payload))
			got = append(got, u.Payload...)
		})
		if !bytes.Equal(got, payload) || len(sizes) != 3 || sizes[2] != 50 {
			t.Errorf("IPv6 %v: datagrams of %v bytes, want 100, 100, 50", v6, sizes)
		}
	}
}

func TestPipe(t *testing.T) {
	a, b := Pipe()
	if err := a.WriteFrame([]byte("to b")); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteFrame([]byte("to a")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	for want, p := range map[string]FramePort{"to a": a, "to b": b} {
		if n, err := p.ReadFrame(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("read %q, %v, want %q", buf[:n], err, want)
		}
	}
	for range pipeQueue + 10 { // a full cable loses frames and never blocks
		if err := a.WriteFrame(buf); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	b.Close()
	if err := a.WriteFrame(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: error %v, want net.ErrClosed", err)
	}
	if _, err := a.ReadFrame(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: error %v, want net.ErrClosed", err)
	}
}

// FuzzFrames feeds frames to a router and a host: neither may panic.
func FuzzFrames(f *testing.F) {
	frame := func(pkt []byte) []byte {
		return append([]byte{0x33, 0x33, 0, 0, 0, 1, 2, 0, 0x5e, 0, 0x64, 2, 0x86, 0xdd}, pkt...)
	}
	solicit := []byte{icmpRS, 0, 0, 0, 0, 0, 0, 0}
	f.Add(frame(icmp6(netip.IPv6Unspecified(), allRouters, 255, solicit)), uint16(0), uint16(0))
	f.Add(frame(icmp6(clat6, server6, 64, []byte{icmpEcho, 0, 0, 0, 0, 1, 0, 1})), uint16(0), uint16(0))
	f.Add(frame(append(header6(clat6, server6, protoUDP, 64, 12), 0, 9, 0, 9, 0, 12, 0, 1, 'a', 'b', 'c', 'd')), uint16(2), uint16(54))
	f.Add(frame(append(header6(clat6, server6, protoTCP, 64, 20), 0, 9, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0)), uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, frame []byte, size, start uint16) {
		h := vnethdr.Header{GSOType: vnethdr.GSOUDPL4, GSOSize: size, CsumStart: start}
		splitUDP(h, frame, func([]byte) {})
		finishChecksum(vnethdr.Header{Flags: vnethdr.NeedsCsum, CsumStart: start, CsumOffset: size}, bytes.Clone(frame))
		if len(frame) < etherLen {
			return
		}
		etherType, pkt := binary.BigEndian.Uint16(frame[12:]), frame[etherLen:]
		var r Router
		var host Host
		r.now.Store(&plan{prefix: nat64.WellKnown()})
		host.ras = make(chan receivedRA, 1)
		host.steers.Store(&[]*steering{{tun: &TUN{queue: make(chan []byte, 1)}, clat6: clat6, prefixes: []nat64.Prefix{nat64.WellKnown()}}})
		r.take(etherType, pkt)
		host.take(Uplink, etherType, pkt)
		if p, ok := parse6(pkt); ok {
			fragment6(pkt[:ip6Len+len(p.payload)], 1280, 1)
		}
	})
}
