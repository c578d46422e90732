package agent

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
)

// TestNeighbour: the address is lost only when the router answers the host's own and,
// asked twice, not that of the CLAT.
func TestNeighbour(t *testing.T) {
	clat, own, router := netip.MustParseAddr("2001:db8::c1a7"), netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("fe80::1")
	tests := map[string]struct {
		clat, own func(n int) bool // whether the nth question has an answer
		lost      bool
	}{
		"both are answered":        {func(int) bool { return true }, func(int) bool { return true }, false},
		"the router answers none":  {func(int) bool { return false }, func(int) bool { return false }, false},
		"one answer got lost":      {func(n int) bool { return n%2 == 0 }, func(int) bool { return true }, false},
		"the CLAT's is not taken":  {func(int) bool { return false }, func(int) bool { return true }, true},
		"not taken any more later": {func(n int) bool { return n == 1 }, func(int) bool { return true }, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := logrus.New()
				log.SetOutput(io.Discard)
				asked := map[netip.Addr]int{}
				n := newNeighbour(log, func(ctx context.Context, link int, from, to netip.Addr) error {
					asked[from]++
					answer := map[netip.Addr]func(int) bool{clat: tt.clat, own: tt.own}[from]
					if link != 2 || to != router || answer == nil {
						t.Errorf("asked %v from %v on %d", to, from, link)
						return nil
					}
					if answer(asked[from]) {
						return nil
					}
					<-ctx.Done()
					return errors.New("no answer")
				})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- n.run(ctx) }()
				if n.dropped(clat) || n.dropped(netip.Addr{}) {
					t.Error("lost before anybody was asked")
				}
				n.find(acquaintance{2, clat, own, router})
				time.Sleep(neighbourFirst + neighbourAgain + 10*time.Second)
				synctest.Wait()
				if n.dropped(clat) != tt.lost || len(n.changed) > 0 != tt.lost {
					t.Errorf("lost: %v, news: %v; want %v", n.dropped(clat), len(n.changed) > 0, tt.lost)
				}
				n.find(acquaintance{})
				synctest.Wait()
				before := asked[clat]
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if asked[clat] != before {
					t.Error("asks on when there is nothing to ask")
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
