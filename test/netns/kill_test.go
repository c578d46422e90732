package netns

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestKilledAtRandomMoments: fifty kills at any moment of the start and after it. The
// next start leaves one CLAT that works, and a stop leaves what was before.
func TestKilledAtRandomMoments(t *testing.T) {
	l, s := ready(t)
	before := l.client.state()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	first := s.start().up()
	for i := range 50 {
		<-time.After(time.Duration(random.IntN(2500)) * time.Millisecond)
		s.kill9()
		s.start()
		if i%10 != 9 {
			continue
		}
		st := s.up()
		if st.CLAT.IPv6 != first.CLAT.IPv6 || st.CLAT.IPv4 != first.CLAT.IPv4 || st.CLAT.Device != first.CLAT.Device {
			t.Errorf("after %d kills: CLAT %+v, at first %+v", i+1, st.CLAT, first.CLAT)
		}
		addrs, err := l.client.addrs()
		if err != nil {
			t.Fatal(err)
		}
		clats := 0
		for _, a := range addrs {
			if a.Link == "eth0" && a.Bits == 128 {
				clats++
			}
		}
		if clats != 1 {
			t.Errorf("after %d kills: %d addresses of a CLAT on eth0, want 1: %+v", i+1, clats, addrs)
		}
		l.works()
	}
	s.stop()
	l.client.unchanged(before)
}
