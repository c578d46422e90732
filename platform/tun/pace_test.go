package tun

import (
	"testing"
	"time"
)

func TestReaderSleepsWhenPacketsComeFast(t *testing.T) {
	const fast, slow = 5 * time.Microsecond, time.Millisecond
	type find struct {
		came  time.Duration // how long a wait takes; 0: the queue is found empty after a sleep
		count int           // packets found
		sleep bool          // what is wanted
	}
	wait := func(n int, came time.Duration) (list []find) {
		for range n {
			list = append(list, find{came: came, count: 1})
		}
		return list
	}
	tests := []struct {
		name  string
		steps []find
	}{
		{"a quiet network", wait(10, slow)},
		{"one burst", append(wait(3, fast), wait(5, slow)...)},
		{"bursts apart", append(append(wait(3, fast), wait(1, slow)...), append(wait(3, fast), wait(2, slow)...)...)},
		{"a flood", append(wait(4, fast), find{count: 30, sleep: true}, find{count: 4, sleep: true}, find{count: 128, sleep: true})},
		{"a flood that gets thin", append(append(wait(4, fast), find{count: 3, sleep: true}), wait(3, fast)...)},
		{"a flood that ends", append(append(wait(4, fast), find{sleep: true}), wait(3, slow)...)},
		{"a flood that comes again", append(append(append(wait(4, fast), find{count: 1, sleep: true}), wait(4, fast)...), find{count: 9, sleep: true})},
	}
	for _, tt := range tests {
		var p pace
		for i, s := range tt.steps {
			if got := p.sleeps(); got != s.sleep {
				t.Errorf("%s, step %d: sleeps %v, want %v", tt.name, i, got, s.sleep)
			}
			if !s.sleep {
				p.waited(s.came)
			}
			if s.count > 0 {
				p.read(s.count)
			}
		}
	}
}
