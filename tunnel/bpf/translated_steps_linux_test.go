package bpf

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/reach64/reach64/resolver/nat64"
)

// The steps of TestTranslation.

func firstTranslated(t *testing.T, l *lab, s *Steering) {
	l.client.run(t, "ip -6 neigh flush dev up0")
	l.server.run(t, "ip -6 neigh flush dev srv0")
	c := l.dial4(t, "udp4", "4000")
	got := moved(t, s, func() {
		if err := back(c, "hello"); err != nil {
			t.Errorf("UDP over IPv4: %v", err)
		}
	})
	if got["4to6-translated"] != 1 || got["6to4-translated"] != 1 || got["4to6-bytes"] != 33 || got["6to4-bytes"] != 53 {
		t.Errorf("counters moved by %v, want one packet translated each way", got)
	}
	if got := l.drain(labServer); len(got) != 0 {
		t.Errorf("the reader got %d packets", len(got))
	}
}

func pinged(t *testing.T, l *lab, s *Steering) {
	got := moved(t, s, func() {
		l.client.run(t, "ping -c 3 -i 0.01 -W 1 -s 56 198.51.100.10")
		l.server.run(t, "ping -c 3 -i 0.01 -W 1 -I "+labServer.String()+" "+labCLAT.String())
	})
	if got["4to6-translated"] != 6 || got["6to4-translated"] != 6 {
		t.Errorf("counters moved by %v, want six echo messages each way", got)
	}
}

func leftToReader(t *testing.T, l *lab, s *Steering) {
	c := l.dial4(t, "udp4", "4000")
	got := moved(t, s, func() {
		c.Write([]byte(strings.Repeat("x", 4000)))
	})
	if got["4to6-left-fragment"] != 3 || got["4to6-translated"] != 0 {
		t.Errorf("counters moved by %v, want three fragments left to the reader", got)
	}
	read := 0
	for end := time.Now().Add(time.Second); read < 3 && time.Now().Before(end); {
		select {
		case p := <-l.read:
			if p.packet[0] == 0x45 {
				read++
			}
		case <-time.After(10 * time.Millisecond):
		}
	}
	if read != 3 {
		t.Errorf("the reader got %d packets, want the three fragments", read)
	}
}

// staysBehind comes after leftToReader: what follows in the flow must not overtake.
func staysBehind(t *testing.T, l *lab, s *Steering) {
	c := l.dial4(t, "udp4", "4000")
	c.Write([]byte(strings.Repeat("x", 4000)))
	got := moved(t, s, func() { c.Write([]byte("short")) })
	if got["4to6-left-to-keep-order"] != 1 || got["4to6-translated"] != 0 {
		t.Errorf("counters moved by %v, want the short packet kept behind the long one", got)
	}
	got = moved(t, s, func() { l.client.run(t, "ping -c 1 -W 1 198.51.100.10") })
	if got["4to6-translated"] != 1 || got["6to4-translated"] != 1 {
		t.Errorf("counters moved by %v, want another protocol to go its own way", got)
	}
	for end := time.Now().Add(10 * time.Second); ; <-time.After(3 * time.Second) { // 250 jiffies are 2.5 s at most
		if back(c, "after a pause") == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the flow does not come back")
		}
	}
}

// superBothWays compares bytes with packets.
func superBothWays(t *testing.T, l *lab, s *Steering) {
	l.client.checksumsBy(t, "up0", hardware)
	l.server.checksumsBy(t, "srv0", hardware)
	got := tcpSteps(t, l, s)
	for _, d := range []string{"4to6", "6to4"} {
		packets, bytes := got[d+"-translated"], got[d+"-bytes"]
		if bytes < tcpSize || bytes/packets < 3000 { // acknowledgements count too
			t.Errorf("%s: %d packets with %d bytes, want super-packets", d, packets, bytes)
		}
		t.Logf("%s: %d packets with %d bytes", d, packets, bytes)
	}
}

func tcpBothWays(t *testing.T, l *lab, s *Steering) { tcpSteps(t, l, s) }

// tcpSize is how many bytes tcpSteps sends each way.
const tcpSize = 8 << 20

// tcpSteps moves data up and down one connection, and returns by how much counters
// moved.
func tcpSteps(t *testing.T, l *lab, s *Steering) map[string]uint64 {
	t.Helper()
	var ln net.Listener
	var err error
	l.server.do(func() { ln, err = net.Listen("tcp6", netip.AddrPortFrom(labServer, 443).String()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if n, _ := io.Copy(io.Discard, c); n == tcpSize {
					c.Write(make([]byte, tcpSize))
				}
			}()
		}
	}()
	c := l.dial4(t, "tcp4", "443").(*net.TCPConn)
	got := moved(t, s, func() {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(make([]byte, tcpSize)); err != nil {
			t.Fatal(err)
		}
		c.CloseWrite()
		if n, err := io.Copy(io.Discard, c); n != tcpSize || err != nil {
			t.Fatalf("%d bytes came back, %v", n, err)
		}
	})
	for k := range got {
		if strings.Contains(k, "left") || strings.Contains(k, "fail") || k == "ingress-redirected" {
			t.Errorf("%s: %d", k, got[k])
		}
	}
	return got
}

// otherPrograms stand before ours on both devices and stay there.
func otherPrograms(t *testing.T, l *lab, s *Steering) {
	if s.mode != TCX {
		return // filters of others are looked at elsewhere
	}
	pass, err := ebpf.NewProgram(passSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Close()
	for _, h := range []hook{{l.uplink, false}, {l.uplink, true}, {l.tun.Index(), false}, {l.tun.Index(), true}} {
		where := ebpf.AttachTCXIngress
		if h.egress {
			where = ebpf.AttachTCXEgress
		}
		var other link.Link
		l.client.do(func() {
			other, err = link.AttachTCX(link.TCXOptions{Interface: h.index, Program: pass, Attach: where, Anchor: link.Head()})
		})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
	}
	c := l.dial4(t, "udp4", "4000")
	got := moved(t, s, func() {
		if err := back(c, "past others"); err != nil {
			t.Error(err)
		}
	})
	if got["4to6-translated"] != 1 || got["6to4-translated"] != 1 {
		t.Errorf("counters moved by %v, want one packet translated each way", got)
	}
	if n := tcxPrograms(t, l, hook{l.uplink, false}); n != 2 {
		t.Errorf("%d programs on the uplink's ingress, want ours and the other", n)
	}
}

// changed turns translation off and on while packets come.
func changed(t *testing.T, l *lab, s *Steering) {
	c := l.dial4(t, "udp4", "4000")
	steer, translate := l.config(s.conf.Mode), l.translating(s.conf.Mode)
	before := show(s)
	for i := range 6 {
		conf := translate
		if i%2 == 0 {
			conf = steer
		}
		l.client.do(func() {
			if err := s.Change(conf); err != nil {
				t.Fatalf("change %d: %v", i, err)
			}
		})
		err := back(c, "changed")
		if (err == nil) != (conf.Translate != nil) { // the lab's reader does not translate
			t.Errorf("change %d: %v", i, err)
		}
	}
	after := show(s)
	if n := after["4to6-translated"] - before["4to6-translated"]; n != 3 {
		t.Errorf("4to6-translated moved by %d, want 3: counters go on", n)
	}
	bad := translate
	bad.Uplink = l.tun.Index() + 1000
	l.client.do(func() {
		if err := s.Change(bad); !errors.Is(err, errConfig) {
			t.Errorf("change of the uplink: %v, want it refused", err)
		}
	})
	if err := back(c, "as before"); err != nil {
		t.Errorf("after a change that was refused: %v", err)
	}
	other := translate
	other.Prefixes = []nat64.Prefix{nat64.MustParse("2001:db8:64:1::/96")}
	conf := *other.Translate
	conf.Prefix = other.Prefixes[0]
	other.Translate = &conf
	l.client.do(func() {
		if err := s.Change(other); err != nil {
			t.Error(err)
		}
	})
	if err := back(c, "to another prefix"); !timedOut(err) {
		t.Errorf("with another prefix: %v, want nothing to come back", err)
	}
}
