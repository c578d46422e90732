package clat

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakePort gives the packets of in, then blocks until it is closed or fails.
type fakePort struct {
	in     chan []byte
	closed chan struct{}
	once   sync.Once
	fail   error // of reads after the last packet, instead of blocking
	refuse error // of writes

	mu  sync.Mutex
	out [][]byte
}

func newPort(packets ...[]byte) *fakePort {
	p := &fakePort{in: make(chan []byte, len(packets)), closed: make(chan struct{})}
	for _, b := range packets {
		p.in <- b
	}
	return p
}

func (p *fakePort) ReadPacket(buf []byte) (vnethdr.Header, int, error) {
	select {
	case b := <-p.in:
		return vnethdr.Header{}, copy(buf, b), nil
	default:
	}
	if p.fail != nil {
		return vnethdr.Header{}, 0, p.fail
	}
	<-p.closed
	return vnethdr.Header{}, 0, net.ErrClosed
}

func (p *fakePort) WritePacket(_ vnethdr.Header, head, tail []byte) error {
	if p.refuse != nil {
		return p.refuse
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = append(p.out, append(bytes.Clone(head), tail...))
	return nil
}

func (p *fakePort) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Vectors V1 and V5 of the spec, section 2.10.
var (
	udp4 = unhex("45000020 12344000 4011a676 c0000001 c0000221 13880035 000ccb58 68693634")
	udp6 = unhex("60000000 000c113f 20010db8 00010002 c1a70000 00000001 0064ff9b 00000000 00000000 c0000221 13880035 000c9bf5 68693634")
	ping = unhex("60000000 000c3a32 0064ff9b 00000000 00000000 c0000221 20010db8 00010002 c1a70000 00000001 81004293 abcd0001 70696e67")
	// lost6 is a router's word that udp6 cannot be delivered: no route.
	lost6 = unhex("60000000003c3a4020010db800010002000000000000000120010db800010002c1a7000000000001010070390000000060000000000c113f20010db800010002c1a70000000000010064ff9b0000000000000000c000022113880035000c9bf568693634")
	ttl1  = unhex("45000020 12344000 0111e576 c0000001 c0000221 13880035 000ccb58 68693634")
)

func translator(t testing.TB) *siit.Translator {
	t.Helper()
	tr, err := siit.New(siit.Config{Prefix: nat64.WellKnown(), CLAT4: netip.MustParseAddr("192.0.0.1"),
		CLAT6: netip.MustParseAddr("2001:db8:1:2:c1a7:0:0:1"), MTU4: 1480, MTU6: 1500, NonGlobal: nat64.NonGlobalAlways})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func newCLAT(t *testing.T, p Port) *CLAT {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	return New(log, p, translator(t))
}

// play runs a CLAT until it has read everything, then ends it.
func play(t *testing.T, p *fakePort) *CLAT {
	t.Helper()
	c := newCLAT(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	return c
}

func TestPacketsOfBothFamiliesComeOutAsTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPort(udp4, ping)
		c := play(t, p)
		if len(p.out) != 2 || !bytes.Equal(p.out[0], udp6) || p.out[1][0] != 0x45 {
			t.Fatalf("out = %x", p.out)
		}
		want := map[string]uint64{"4to6-translated": 1, "4to6-bytes": 32, "6to4-translated": 1, "6to4-bytes": 52}
		if d := cmp.Diff(want, c.Stats()); d != "" {
			t.Error(d)
		}
	})
}

// TestUnreachableIsTold: the network's own word is passed on, ordinary packets are not,
// nor what somebody outside makes up.
func TestUnreachableIsTold(t *testing.T) {
	forged := bytes.Clone(lost6)
	forged[len(forged)-1] ^= 1 // the checksum is wrong
	stranger := bytes.Clone(lost6)
	stranger[39] = 9
	for name, tt := range map[string]struct {
		packet []byte
		want   int
	}{"no route": {lost6, 1}, "an echo reply": {ping, 0}, "an IPv4 packet": {udp4, 0}, "a wrong checksum": {forged, 0}, "for another": {stranger, 0}} {
		synctest.Test(t, func(t *testing.T) {
			p := newPort(tt.packet)
			c := newCLAT(t, p)
			told := 0
			c.Unreachable = func() { told++ }
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- c.Run(ctx) }()
			synctest.Wait()
			cancel()
			if err := <-done; err != nil || told != tt.want {
				t.Errorf("%s: told %d times, want %d (%v)", name, told, tt.want, err)
			}
		})
	}
}

func TestDropsAreCountedByReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stranger := bytes.Clone(ping)
		stranger[39] = 9
		p := newPort([]byte{0}, udp4[:10], stranger)
		c := play(t, p)
		want := map[string]uint64{"none-dropped-not-ip": 1, "4to6-dropped-malformed": 1, "6to4-dropped-not-ours": 1}
		if d := cmp.Diff(want, c.Stats()); d != "" || len(p.out) != 0 {
			t.Errorf("%s, out %x", d, p.out)
		}
	})
}

func TestAnswersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var packets [][]byte
		for range 30 {
			packets = append(packets, ttl1)
		}
		p := newPort(packets...)
		c := play(t, p)
		// Time stands still: ten at once, and no more.
		if len(p.out) != 10 || c.Stats()["errors-suppressed"] != 20 || c.Stats()["4to6-answered-ttl-expired"] != 30 {
			t.Errorf("%d answers, counters %v", len(p.out), c.Stats())
		}
	})
}

func TestPacketThatCannotBeWrittenIsLostAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPort(udp4, udp4)
		p.refuse = errors.New("no buffer space")
		if c := play(t, p); c.Stats()["write-errors"] != 2 {
			t.Errorf("counters %v", c.Stats())
		}
	})
}

func TestFailedReadEndsIt(t *testing.T) {
	p := newPort(udp4)
	p.fail = errors.New("device is gone")
	if err := newCLAT(t, p).Run(t.Context()); !errors.Is(err, p.fail) {
		t.Errorf("Run = %v, want the port's error", err)
	}
	select {
	case <-p.closed:
	default:
		t.Error("the port is still open")
	}
}

func TestPortThatOthersCloseIsAnError(t *testing.T) {
	p := newPort()
	_ = p.Close()
	if err := newCLAT(t, p).Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run = %v, want net.ErrClosed", err)
	}
}

func TestTranslatorIsReplacedWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPort()
		c := newCLAT(t, p)
		tr, err := siit.New(siit.Config{Prefix: nat64.MustParse("2001:db8:64::/96"), CLAT4: netip.MustParseAddr("192.0.0.1"),
			CLAT6: netip.MustParseAddr("2001:db8:1:2:c1a7:0:0:1"), MTU4: 1480, MTU6: 1500})
		if err != nil {
			t.Fatal(err)
		}
		c.SetTranslator(tr)
		p.in = make(chan []byte, 1)
		p.in <- udp4
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		synctest.Wait()
		cancel()
		<-done
		if len(p.out) != 1 || !bytes.Equal(p.out[0][24:32], unhex("20010db8 00640000")) {
			t.Errorf("out = %x", p.out)
		}
	})
}
