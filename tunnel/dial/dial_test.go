package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/resolver/nat64"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is one address of the pretended network: it answers after a time, or
// refuses after a time, or never says anything.
type host struct {
	after  time.Duration
	refuse bool
}

const never = -1

// world is the pretended network.
type world struct {
	aaaa, a         []string
	aaaaTook, aTook time.Duration
	aaaaErr, aErr   error
	hosts           map[string]host
	prefixes        []string
	route4          Route4
	nonGlobal       nat64.NonGlobal
	looks           time.Duration // until the network is known
	check           func(addr string) error
	began           time.Time

	mu        sync.Mutex
	open      int // connections that nobody closed
	dialTimes []string
}

// conn is a connection that only knows whether it is open.
type conn struct {
	net.Conn
	w    *world
	addr string
}

func (c *conn) Close() error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.open--
	return nil
}

func (w *world) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	h, ok := w.hosts[addr[:strings.LastIndexByte(addr, ':')]]
	w.mu.Lock()
	w.dialTimes = append(w.dialTimes, fmt.Sprintf("%s %s", time.Since(w.began), addr))
	w.mu.Unlock()
	if !ok {
		return nil, errors.New("network is unreachable")
	}
	if h.after == never {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(h.after):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if h.refuse {
		return nil, errors.New("connection refused")
	}
	w.mu.Lock()
	w.open++
	w.mu.Unlock()
	return &conn{w: w, addr: addr}, nil
}

func (w *world) LookupNetIP(ctx context.Context, network, _ string) ([]netip.Addr, error) {
	took, texts, err := w.aTook, w.a, w.aErr
	if network == "ip6" {
		took, texts, err = w.aaaaTook, w.aaaa, w.aaaaErr
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out, err
}

func (w *world) dialer() *Dialer {
	d := &Dialer{Conn: w, Resolve: w, Network: func(ctx context.Context) Network {
		select {
		case <-time.After(w.looks):
		case <-ctx.Done():
		}
		n := Network{NonGlobal: w.nonGlobal, Route4: func(netip.Addr) Route4 { return w.route4 }}
		for _, p := range w.prefixes {
			n.Prefixes = append(n.Prefixes, nat64.MustParse(p))
		}
		return n
	}}
	if w.check != nil {
		d.Check = func(_ context.Context, c net.Conn) (net.Conn, error) { return c, w.check(c.(*conn).addr) }
	}
	return d
}

const (
	ms      = time.Millisecond
	native  = "2001:db8:5::10"
	prefix  = "2001:db8:64::/96"
	v4      = "198.51.100.10"
	through = "2001:db8:64::c633:640a"
	other   = "2001:db8:65::c633:640a"
)

func TestRace(t *testing.T) { // R8305-1 to R8305-9, 8305-1 to 8305-6, HE3-2
	up := host{after: 10 * ms}
	tests := map[string]struct {
		w     *world
		host  string
		kind  Kind // of the winner; "": none
		addr  string
		after time.Duration
		dials []string // when and where
	}{
		"native IPv6": {w: &world{aaaa: []string{native}, aaaaTook: 5 * ms, aTook: time.Second, hosts: map[string]host{"[" + native + "]": up}},
			kind: NativeIPv6, addr: native, after: 15 * ms, dials: []string{"5ms " + native}},
		"A first, AAAA within 50 ms": {w: &world{aaaa: []string{native}, a: []string{v4}, aaaaTook: 40 * ms, aTook: 5 * ms, route4: Native4, hosts: map[string]host{"[" + native + "]": up}},
			kind: NativeIPv6, addr: native, after: 50 * ms, dials: []string{"40ms " + native}},
		"A first, AAAA late": {w: &world{aaaa: []string{native}, a: []string{v4}, aaaaTook: 300 * ms, aTook: 5 * ms, route4: Native4, hosts: map[string]host{v4: up}},
			kind: NativeIPv4, addr: v4, after: 65 * ms, dials: []string{"55ms " + v4}},
		"IPv6 is dead, IPv4 by the CLAT": {w: &world{aaaa: []string{native}, a: []string{v4}, route4: ThroughCLAT, hosts: map[string]host{"[" + native + "]": {after: never}, v4: up}},
			kind: CLAT, addr: v4, after: 260 * ms, dials: []string{"0s " + native, "250ms " + v4}},
		"broken AAAA, synthesized": {w: &world{aaaa: []string{native}, a: []string{v4}, prefixes: []string{prefix}, hosts: map[string]host{"[" + native + "]": {after: never}, "[" + through + "]": up}},
			kind: Synthesized, addr: through, after: 260 * ms, dials: []string{"0s " + native, "250ms " + through}},
		"a refusal starts the next at once": {w: &world{aaaa: []string{native}, a: []string{v4}, prefixes: []string{prefix}, hosts: map[string]host{"[" + native + "]": {after: 20 * ms, refuse: true}, "[" + through + "]": up}},
			kind: Synthesized, addr: through, after: 30 * ms, dials: []string{"0s " + native, "20ms " + through}},
		"IPv4 literal, synthesized before the CLAT": {host: v4, w: &world{prefixes: []string{prefix}, route4: ThroughCLAT, hosts: map[string]host{v4: up, "[" + through + "]": {after: 100 * ms}}},
			kind: Synthesized, addr: through, after: 100 * ms, dials: []string{"0s " + through}},
		"IPv4 literal, the NAT64 is dead": {host: v4, w: &world{prefixes: []string{prefix}, route4: ThroughCLAT, hosts: map[string]host{v4: up, "[" + through + "]": {after: never}}},
			kind: CLAT, addr: v4, after: 260 * ms, dials: []string{"0s " + through, "250ms " + v4}},
		"two prefixes, the first is dead": {host: v4, w: &world{prefixes: []string{prefix, "2001:db8:65::/96"}, hosts: map[string]host{"[" + through + "]": {after: never}, "[" + other + "]": up}},
			kind: Synthesized, addr: other, after: 260 * ms, dials: []string{"0s " + through, "250ms " + other}},
		"native IPv4: nothing is synthesized": {host: v4, w: &world{prefixes: []string{prefix}, route4: Native4, hosts: map[string]host{v4: up}},
			kind: NativeIPv4, addr: v4, after: 10 * ms, dials: []string{"0s " + v4}},
		"DNS64's address is ours too": {w: &world{aaaa: []string{through}, a: []string{v4}, prefixes: []string{prefix}, hosts: map[string]host{"[" + through + "]": up}},
			kind: DNS64, addr: through, after: 10 * ms, dials: []string{"0s " + through}},
		"behind another NAT64: not through the network's": {w: &world{aaaa: []string{"fd12:3456:789a:7777::c633:640a"}, a: []string{v4}, prefixes: []string{prefix},
			hosts: map[string]host{"[fd12:3456:789a:7777::c633:640a]": {after: 400 * ms}, "[" + through + "]": up}},
			kind: DNS64, addr: "fd12:3456:789a:7777::c633:640a", after: 400 * ms, dials: []string{"0s fd12:3456:789a:7777::c633:640a"}},
		"behind another NAT64, and a CLAT leads there": {w: &world{aaaa: []string{"fd12:3456:789a:7777::c633:640a"}, a: []string{v4}, prefixes: []string{prefix}, route4: ThroughCLAT,
			hosts: map[string]host{"[fd12:3456:789a:7777::c633:640a]": {after: never}, v4: up}},
			kind: CLAT, addr: v4, after: 260 * ms, dials: []string{"0s fd12:3456:789a:7777::c633:640a", "250ms " + v4}},
		"the network is not known yet: IPv6 does not wait": {w: &world{looks: time.Second, aaaa: []string{native}, a: []string{v4}, prefixes: []string{prefix}, hosts: map[string]host{"[" + native + "]": up}},
			kind: NativeIPv6, addr: native, after: 60 * ms, dials: []string{"50ms " + native}},
		"the network is not known yet: IPv4 waits": {w: &world{looks: time.Second, aaaa: []string{native}, a: []string{v4}, prefixes: []string{prefix}, hosts: map[string]host{"[" + native + "]": {after: never}, "[" + through + "]": up}},
			kind: Synthesized, addr: through, after: 1010 * ms, dials: []string{"50ms " + native, "1s " + through}},
		"the network is known late: what was tried gets its kind": {w: &world{looks: 100 * ms, aaaa: []string{through}, a: []string{v4}, prefixes: []string{prefix}, hosts: map[string]host{"[" + through + "]": {after: 200 * ms}}},
			kind: DNS64, addr: through, after: 250 * ms, dials: []string{"50ms " + through}},
		"the network is not known yet: behind another NAT64": {w: &world{looks: time.Second, aaaa: []string{"fd12:3456:789a:7777::c633:640a"}, a: []string{v4}, hosts: map[string]host{"[fd12:3456:789a:7777::c633:640a]": up}},
			kind: DNS64, addr: "fd12:3456:789a:7777::c633:640a", after: 60 * ms, dials: []string{"50ms fd12:3456:789a:7777::c633:640a"}},
		"A comes late: what was tried is another NAT64's": {w: &world{aaaa: []string{"fd12:3456:789a:7777::c633:640a"}, a: []string{v4}, aTook: 100 * ms, prefixes: []string{prefix},
			hosts: map[string]host{"[fd12:3456:789a:7777::c633:640a]": {after: 400 * ms}}},
			kind: DNS64, addr: "fd12:3456:789a:7777::c633:640a", after: 400 * ms, dials: []string{"0s fd12:3456:789a:7777::c633:640a"}},
		"a literal, and the network is known late": {host: v4, w: &world{looks: 100 * ms, prefixes: []string{prefix}, hosts: map[string]host{"[" + through + "]": up}},
			kind: Synthesized, addr: through, after: 110 * ms, dials: []string{"100ms " + through}},
		"AAAA fails, A leads on": {w: &world{aaaaErr: errors.New("SERVFAIL"), a: []string{v4}, aTook: 70 * ms, prefixes: []string{prefix}, hosts: map[string]host{"[" + through + "]": up}},
			kind: Synthesized, addr: through, after: 80 * ms, dials: []string{"70ms " + through}},
		"AAAA comes while A is tried": {w: &world{aaaa: []string{native}, aaaaTook: 200 * ms, a: []string{v4}, route4: ThroughCLAT, hosts: map[string]host{v4: {after: never}, "[" + native + "]": up}},
			kind: NativeIPv6, addr: native, after: 310 * ms, dials: []string{"50ms " + v4, "300ms " + native}},
		"no prefix and no route: the system's word": {w: &world{a: []string{v4}, hosts: map[string]host{}}, dials: []string{"0s " + v4}},
		"nothing in DNS":    {w: &world{aaaaTook: 30 * ms}, after: 30 * ms},
		"IPv6 literal":      {host: native, w: &world{hosts: map[string]host{"[" + native + "]": up}}, kind: NativeIPv6, addr: native, after: 10 * ms, dials: []string{"0s " + native}},
		"IPv4-mapped":       {host: "::ffff:" + v4, w: &world{route4: Native4, hosts: map[string]host{v4: up}}, kind: NativeIPv4, addr: v4, after: 10 * ms, dials: []string{"0s " + v4}},
		"all are silent":    {w: &world{aaaa: []string{native}, hosts: map[string]host{"[" + native + "]": {after: never}}}, after: attemptLimit, dials: []string{"0s " + native}},
		"DNS never answers": {w: &world{aaaaTook: time.Hour, aTook: time.Hour}, after: wholeLimit},
		"whoever answers is not the server": {w: &world{aaaa: []string{native}, a: []string{v4}, route4: ThroughCLAT, hosts: map[string]host{"[" + native + "]": up, v4: up},
			check: func(addr string) error {
				if strings.HasPrefix(addr, "[") {
					return errors.New("certificate is for portal.example")
				}
				return nil
			}}, kind: CLAT, addr: v4, after: 20 * ms, dials: []string{"0s " + native, "10ms " + v4}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, start := tt.w, time.Now()
				w.began = start
				if tt.host == "" {
					tt.host = "backup.example"
				}
				c, report, err := w.dialer().Dial(t.Context(), tt.host, 443)
				if took := time.Since(start); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				var dials []string
				for _, d := range tt.dials {
					at, addr, _ := strings.Cut(d, " ")
					dials = append(dials, at+" "+net.JoinHostPort(addr, "443"))
				}
				if d := cmp.Diff(dials, w.dialTimes); d != "" {
					t.Errorf("attempts (-want +got):\n%s", d)
				}
				if tt.kind == "" {
					var e *Error
					if !errors.As(err, &e) || c != nil || report.Winner != nil || len(e.Attempts) != len(tt.dials) {
						t.Fatalf("%v, %v", c, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if report.Winner.Kind != tt.kind || report.Winner.Addr.Addr().String() != tt.addr || report.Winner.State != "connected" {
					t.Errorf("winner %+v", report.Winner)
				}
				if w.open != 1 {
					t.Errorf("%d connections are open", w.open)
				}
			})
		})
	}
}

// A connection that comes after another has won is closed.
func TestLateConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{aaaa: []string{native}, a: []string{v4}, route4: ThroughCLAT, hosts: map[string]host{
			"[" + native + "]": {after: 260 * ms}, v4: {after: 10 * ms}}}
		d := w.dialer()
		late := lateConn{w.dialer().Conn}
		d.Conn = late
		c, report, err := d.Dial(t.Context(), "backup.example", 443)
		if err != nil || w.open != 1 || len(report.Attempts) != 2 {
			t.Errorf("%v, %d open, %+v", err, w.open, report)
		}
		_ = c.Close()
	})
}

// lateConn connects whatever its context says.
type lateConn struct{ Conner }

func (l lateConn) DialContext(_ context.Context, network, addr string) (net.Conn, error) {
	return l.Conner.DialContext(context.Background(), network, addr)
}

func TestErrorsOfAllAttemptsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{aaaa: []string{native}, a: []string{v4}, aErr: nil, prefixes: []string{prefix}, route4: ThroughCLAT, hosts: map[string]host{
			"[" + native + "]": {after: ms, refuse: true}, "[" + through + "]": {after: ms, refuse: true}}}
		_, _, err := w.dialer().Dial(t.Context(), "backup.example", 443)
		want := "dial backup.example:443; [" + native + "]:443 by native-ipv6: connection refused; [" + through +
			"]:443 by synthesized: connection refused; 198.51.100.10:443 by clat: network is unreachable"
		if err == nil || err.Error() != want {
			t.Errorf("error\n%v\nwant\n%s", err, want)
		}
	})
}

func TestCancellationEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{aaaa: []string{native}, hosts: map[string]host{"[" + native + "]": {after: never}}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, _, err := w.dialer().Dial(ctx, "backup.example", 443); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A thousand addresses are no reason for a thousand attempts.
func TestAddressesAreBounded(t *testing.T) {
	var many []netip.Addr
	a := netip.MustParseAddr("198.51.100.0")
	for range 1000 {
		many = append(many, a)
		a = a.Next()
	}
	n := Network{Prefixes: []nat64.Prefix{nat64.MustParse(prefix)}, Route4: func(netip.Addr) Route4 { return ThroughCLAT }}
	if got := len(candidates(n, nil, many)); got != 2*maxAddresses {
		t.Errorf("%d candidates", got)
	}
}

func TestKindsTakeTurns(t *testing.T) { // R8305-3
	n := Network{Prefixes: []nat64.Prefix{nat64.MustParse(prefix)}, Route4: func(netip.Addr) Route4 { return ThroughCLAT }}
	addrs := func(texts ...string) (out []netip.Addr) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	var got []string
	for _, c := range candidates(n, addrs("2001:db8::1", "2001:db8::2"), addrs("198.51.100.1", "198.51.100.2")) {
		got = append(got, string(c.kind)+" "+c.addr.String())
	}
	want := []string{"native-ipv6 2001:db8::1", "synthesized 2001:db8:64::c633:6401", "clat 198.51.100.1",
		"native-ipv6 2001:db8::2", "synthesized 2001:db8:64::c633:6402", "clat 198.51.100.2"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// What the policy forbids under the well-known prefix is not synthesized.
func TestForbiddenAddressesAreNotSynthesized(t *testing.T) { // R6052-9, HE3-4
	n := Network{Prefixes: []nat64.Prefix{nat64.WellKnown()}}
	for _, a := range []string{v4, "127.0.0.1", "169.254.1.1"} {
		got := ofIPv4(n, netip.MustParseAddr(a), nil)
		if len(got) != 1 || got[0].kind != NoPath {
			t.Errorf("%s: %+v", a, got)
		}
	}
}
