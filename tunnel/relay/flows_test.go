package relay

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

func TestShareOfTheMemory(t *testing.T) {
	const memory = 256 << 20
	for name, tt := range map[string]struct{ now, flows, want int }{
		"one flow":                       {4 << 20, 1, 4 << 20},
		"as many as have the largest":    {4 << 20, 32, 4 << 20},
		"one more":                       {4 << 20, 33, 2 << 20},
		"a thousand at once":             {4 << 20, 1000, 128 << 10},
		"a few have ended":               {128 << 10, 900, 128 << 10},
		"just less than half have ended": {128 << 10, 513, 128 << 10},
		"three quarters have ended":      {128 << 10, 256, 256 << 10},
		"all have ended":                 {128 << 10, 0, 4 << 20},
		"the most there are":             {4 << 20, defaultFlows, 4 << 10},
		"more than there is memory for":  {4 << 20, 1 << 20, minShare},
	} {
		t.Run(name, func(t *testing.T) {
			if got := nextShare(memory, tt.now, tt.flows); got != tt.want {
				t.Errorf("%d bytes, want %d", got, tt.want)
			}
		})
	}
}

func TestPieceThatAFlowTakes(t *testing.T) {
	for name, tt := range map[string]struct{ flows, want int }{
		"one flow: as much as a packet holds": {1, 65374},
		"a hundred":                           {100, 65374},
		"500":                                 {500, 32 << 10},
		"a thousand":                          {1000, 16 << 10},
		"the most there are":                  {defaultFlows, 4 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			if got := pieceOf(shareOf(defaultMemory, tt.flows)); got != tt.want {
				t.Errorf("%d bytes, want %d", got, tt.want)
			}
		})
	}
}

// TestAllSharesFitIntoTheMemory: however flows come and go.
func TestAllSharesFitIntoTheMemory(t *testing.T) {
	share, changes := maxShare, 0
	step := func(n int) {
		next := nextShare(defaultMemory, share, n)
		if 2*n*next > defaultMemory {
			t.Fatalf("%d flows with 2 times %d bytes", n, next)
		}
		if next != share {
			changes++
		}
		share = next
	}
	for n := range defaultFlows + 1 {
		step(n)
	}
	if share != minShare || changes != 10 {
		t.Errorf("%d bytes after %d changes", share, changes)
	}
	for range 1000 { // around the last change
		step(16384)
		step(16385)
	}
	if changes != 10 {
		t.Errorf("the share swings: %d changes", changes)
	}
	for n := defaultFlows; n >= 0; n-- {
		step(n)
	}
	if share != maxShare || changes != 20 {
		t.Errorf("%d bytes after %d changes", share, changes)
	}
}

// carried are the flows of TCP that there are.
func (r *Relay) carried() (out []*tcpFlow) {
	r.flows.mu.Lock()
	defer r.flows.mu.Unlock()
	for f := range r.flows.tcp {
		out = append(out, f)
	}
	return out
}

// TestBuffersFollowTheNumberOfFlows: those of a flow that goes on shrink when others
// come, and grow when they go.
func TestBuffersFollowTheNumberOfFlows(t *testing.T) {
	l := newLab(t, func(_ *loop, c *Config) { c.Limits.Memory = 1 << 20 })
	port := l.listen(echo)
	have := func(want int64) func() bool {
		return func() bool {
			for _, f := range l.relay.carried() {
				if o := f.ep.SocketOptions(); o.GetSendBufferSize() != want || o.GetReceiveBufferSize() != want {
					return false
				}
			}
			return true
		}
	}
	stays := l.mustConnect(port)
	defer stays.Close()
	l.counted(map[string]uint64{"tcp-opened": 1})
	eventually(t, not("one flow has all"), have(512<<10))
	var others []net.Conn
	for range 15 {
		others = append(others, l.mustConnect(port))
	}
	l.counted(map[string]uint64{"tcp-opened": 16})
	eventually(t, not("16 flows have a sixteenth"), have(32<<10))
	for _, c := range others {
		_ = c.Close()
	}
	l.counted(map[string]uint64{"tcp-ended": 15})
	eventually(t, not("what is left has grown, with no new flow"), have(256<<10))
	if _, err := stays.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stays, make([]byte, 1)); err != nil {
		t.Errorf("it does not go on: %v", err)
	}
}

// TestRestingFlowsHoldOneGoroutine, and the other one comes back as often as it is needed.
func TestRestingFlowsHoldOneGoroutine(t *testing.T) {
	for name, change := range streams {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, change)
			port := l.listen(echo)
			var conns []net.Conn
			for range 20 {
				c := l.mustConnect(port)
				defer c.Close()
				conns = append(conns, c)
			}
			for round := range 3 {
				for i, c := range conns {
					want := []byte{byte(round), byte(i)}
					got := make([]byte, 2)
					if _, err := c.Write(want); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(c, got); err != nil || string(got) != string(want) {
						t.Fatalf("%x, %v", got, err)
					}
				}
				eventually(t, not("all rest"), func() bool {
					all := l.relay.carried()
					for _, f := range all {
						if f.upIs.Load() != upRests {
							return false
						}
					}
					return len(all) == len(conns)
				})
			}
		})
	}
}

// kept is a connection that knows how it is to be kept alive.
type kept struct {
	tcpConn
	conf chan net.KeepAliveConfig
}

func (k kept) SetKeepAliveConfig(c net.KeepAliveConfig) error {
	k.conf <- c
	return nil
}

type keptDialer struct {
	*loop
	conf chan net.KeepAliveConfig
}

func (d keptDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.loop.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return kept{c.(tcpConn), d.conf}, nil
}

// TestServersThatAreGoneAreNoticed: the host's keepalives end in the relay, so that it
// sends its own, well within the two hours and four minutes of RFC 5382 REQ-5.
func TestServersThatAreGoneAreNoticed(t *testing.T) {
	conf := make(chan net.KeepAliveConfig, 1)
	l := newLab(t, nil)
	l.relay.dial = keptDialer{l.dial, conf}
	c := l.mustConnect(l.listen(echo))
	defer c.Close()
	k := <-conf
	if all := k.Idle + time.Duration(k.Count)*k.Interval; !k.Enable || k.Idle <= 0 || all > 10*time.Minute {
		t.Errorf("%+v: a server that is gone is noticed after %v", k, all)
	}
}
