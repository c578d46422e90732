package pcp

import (
	"testing"
	"time"
)

// TestTimeouts: nominal send times are 0, 3, 9, 21 and 45 s (spec 6887-6).
func TestTimeouts(t *testing.T) {
	var at, wait time.Duration
	for i, want := range []time.Duration{3, 9, 21, 45, 93, 189, 381, 765, 1533, 2557, 3581} {
		wait = Timeout(wait, 0)
		if at += wait; at != want*time.Second {
			t.Errorf("transmission %d at %v, want %v s", i+2, at, int(want))
		}
	}
}

func TestTimeoutSpread(t *testing.T) {
	for _, tt := range []struct {
		name       string
		prev, want time.Duration
		rand       float64
	}{
		{"first, early", 0, 2700 * time.Millisecond, -0.1},
		{"first, late", 0, 3300 * time.Millisecond, 0.1},
		{"spreads around what was drawn before", 3300 * time.Millisecond, 5940 * time.Millisecond, -0.1},
		{"the largest may be exceeded by the spread", 1000 * time.Second, 1126400 * time.Millisecond, 0.1},
		{"RAND out of bounds", 0, 3300 * time.Millisecond, 7},
		{"absurd", 1 << 62, 1024 * time.Second, 0},
	} {
		if got := Timeout(tt.prev, tt.rand).Round(time.Millisecond); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestErrorLifetime(t *testing.T) {
	for _, tt := range []struct{ in, want time.Duration }{
		{0, 30 * time.Second}, {time.Minute, time.Minute}, {30 * time.Minute, 30 * time.Minute}, {0xffffffff * time.Second, 30 * time.Minute},
	} {
		if got := ErrorLifetime(tt.in); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.in, got, tt.want)
		}
	}
}

// TestEpoch: RFC 6887 section 8.5, spec 6887-10.
func TestEpoch(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name         string
		was, is      uint32
		clientPassed time.Duration
		want         bool
	}{
		{"in step", 100, 3700, time.Hour, true},
		{"reordered by one second", 100, 99, 0, true},
		{"fell by two", 100, 98, 0, false},
		{"restarted", 100000, 5, time.Hour, false},
		{"server runs 1/16 fast", 0, 3840, time.Hour, true}, // 3840 - 240 = 3600
		{"server runs faster than that", 0, 3843, time.Hour, false},
		{"server runs 1/16 slow", 0, 3373, time.Hour, true}, // 3373 + 2 = 3600 - 225
		{"server runs slower than that", 0, 3372, time.Hour, false},
		{"stands still for two seconds", 100, 100, 2 * time.Second, true},
		{"stands still for three", 100, 100, 3 * time.Second, false},
		{"two seconds early", 100, 102, 0, true},
		{"three seconds early", 100, 103, 0, false},
		{"wraps around", 0xffffffff, 4, 5 * time.Second, false},
		{"our clock went back", 100, 100, -time.Hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Clock{Epoch: tt.was, At: noon}
			if got := c.Valid(tt.is, noon.Add(tt.clientPassed)); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if !(Clock{}).Valid(0, noon) {
		t.Error("the first epoch is invalid")
	}
}

// TestEpochAfterSleep: the host's clock stood still for an hour, the server's did
// not.
func TestEpochAfterSleep(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	c := Clock{Epoch: 100, At: noon}
	if c.Valid(3700, noon) || !c.Before(time.Hour).Valid(3700, noon) {
		t.Error("time asleep does not count")
	}
	if (Clock{}).Before(time.Hour) != (Clock{}) {
		t.Error("a clock that has seen nothing has seen something")
	}
}
