package netmon

import (
	"testing"
	"testing/synctest"
	"time"
)

// news plays the operating system: it signals raw at these moments.
func news(raw chan<- struct{}, at ...time.Duration) {
	start := time.Now()
	for _, t := range at {
		time.Sleep(t - time.Since(start))
		select {
		case raw <- struct{}{}:
		default:
		}
	}
}

func TestNewsIsGathered(t *testing.T) {
	ms := func(n ...time.Duration) []time.Duration {
		for i := range n {
			n[i] *= time.Millisecond
		}
		return n
	}
	var storm []time.Duration
	for i := range time.Duration(116) {
		storm = append(storm, i*time.Millisecond)
	}
	tests := map[string]struct{ news, want []time.Duration }{
		"the first at once":              {ms(7), ms(7)},
		"two within 20 ms":               {ms(0, 10), ms(0, 20)},
		"many within 20 ms":              {ms(0, 5, 10, 15), ms(0, 20)},
		"two far apart":                  {ms(0, 300), ms(0, 300)},
		"a storm: the last is not lost":  {storm, ms(0, 20, 40, 60, 80, 100, 120)},
		"quiet, then two close together": {ms(0, 100, 101), ms(0, 100, 120)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &Monitor{changed: make(chan struct{}, 1)}
				raw, done, ended := make(chan struct{}, 1), make(chan error), make(chan error)
				go func() { ended <- m.pass(raw, done) }()
				go news(raw, tt.news...)
				start := time.Now()
				var got []time.Duration
				for time.Since(start) < time.Second {
					select {
					case <-m.Changed():
						got = append(got, time.Since(start))
					case <-time.After(time.Second):
					}
				}
				done <- nil
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if len(got) != len(tt.want) {
					t.Fatalf("signals at %v, want %v", got, tt.want)
				}
				for i := range got {
					if got[i] != tt.want[i] {
						t.Errorf("signals at %v, want %v", got, tt.want)
					}
				}
			})
		})
	}
}

// A reader that is busy finds one signal, not one for each change.
func TestBusyReaderFindsOneSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Monitor{changed: make(chan struct{}, 1)}
		raw, done, ended := make(chan struct{}, 1), make(chan error), make(chan error)
		go func() { ended <- m.pass(raw, done) }()
		go news(raw, 0, 100*time.Millisecond, 200*time.Millisecond)
		time.Sleep(time.Second)
		done <- nil
		<-ended
		if got := len(m.Changed()); got != 1 {
			t.Errorf("%d signals wait, want 1", got)
		}
	})
}
