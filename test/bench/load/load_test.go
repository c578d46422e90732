package load

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server runs one on the loopback interface and returns its address.
func server(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	addr := l.Addr().String() // free now, and most likely in a moment
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, addr) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for range 1000 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return addr
		}
	}
	t.Fatalf("nobody listens on %s", addr)
	return ""
}

func TestStreamsCountWhatArrived(t *testing.T) {
	addr := server(t)
	const rate = 1e6
	for _, down := range []bool{false, true} {
		r := Streams{Addr: addr, N: 3, Down: down, Long: 300 * time.Millisecond, Rate: rate, Patient: 5 * time.Second}.Run(t.Context())
		if len(r.Errors) > 0 {
			t.Errorf("down %v: %v", down, r.Errors)
		}
		sum := uint64(0)
		for i, n := range r.Bytes {
			if sum += n; n == 0 {
				t.Errorf("down %v: stream %d got nothing", down, i)
			}
		}
		// Each stream may be one piece ahead of its rate.
		if most := uint64(rate*0.3) + 3*(rate/3/200+1460); sum > most {
			t.Errorf("down %v: %d bytes, want at most %d", down, sum, most)
		}
	}
}

func TestStreamsSayWhatFailed(t *testing.T) {
	r := Streams{Addr: "[::1]:1", N: 2, Long: time.Millisecond, Patient: time.Second}.Run(t.Context())
	if len(r.Errors) != 2 {
		t.Errorf("errors %q, want one for each stream", r.Errors)
	}
}

func TestConnectionsAreUsedAndClosed(t *testing.T) {
	r := Connections{Addr: server(t), Workers: 2, Long: 100 * time.Millisecond}.Run(t.Context())
	if len(r.Errors) > 0 || r.Done < 2 || r.Median <= 0 || r.Took < 100*time.Millisecond {
		t.Errorf("%+v", r)
	}
	if r := (Connections{Addr: "[::1]:1", Workers: 1, Long: 10 * time.Millisecond}).Run(t.Context()); r.Done != 0 || len(r.Errors) == 0 {
		t.Errorf("nobody listens: %+v", r)
	}
}

func TestDatagramsComeBackInOrder(t *testing.T) {
	r := Datagrams{Addr: server(t), Flows: 3, Size: 64, Long: 200 * time.Millisecond, Rate: 1000, Batch: 2, Return: true}.Run(t.Context())
	if len(r.Errors) > 0 || r.Sent == 0 || r.Back == 0 || r.Back > r.Sent || r.Late != 0 {
		t.Errorf("%+v", r)
	}
	if most := uint64(200 + 2); r.Sent > most {
		t.Errorf("%d datagrams sent, want at most %d", r.Sent, most)
	}
}

func TestLateDatagramsAreSeen(t *testing.T) {
	// The server sends back the first of each pair after the second.
	pc, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		a, b := make([]byte, 64), make([]byte, 64)
		for {
			_, from, err := pc.ReadFrom(a)
			if err != nil {
				return
			}
			if _, _, err := pc.ReadFrom(b); err != nil {
				return
			}
			_, _ = pc.WriteTo(b, from)
			_, _ = pc.WriteTo(a, from)
		}
	}()
	r := Datagrams{Addr: pc.LocalAddr().String(), Flows: 1, Long: 100 * time.Millisecond, Rate: 500, Batch: 2, Return: true}.Run(t.Context())
	pc.Close()
	<-done
	if r.Late == 0 || r.Late != r.Back/2 {
		t.Errorf("%+v, want every other late", r)
	}
}

func TestRequests(t *testing.T) {
	want := request{mode: download, long: 1500 * time.Millisecond, rate: 7}
	if got, err := parseRequest(want.bytes()); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range [][]byte{make([]byte, requestSize), []byte("GET / HTTP/1.1\r\n"), append([]byte("u\x00\x00\x00\xff\xff\xff\xff"), make([]byte, 8)...)} {
		if r, err := parseRequest(bad); err == nil {
			t.Errorf("% x is taken for %+v", bad, r)
		}
	}
}
