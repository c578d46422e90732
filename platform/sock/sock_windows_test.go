package sock

import "testing"

// The documentation of IP_UNICAST_IF has index 1 as 0x01000000.
func TestIndexInNetworkOrder(t *testing.T) {
	for index, want := range map[int]int{1: 0x01000000, 0x1234: 0x34120000} {
		if got := networkOrder(index); got != want {
			t.Errorf("networkOrder(%#x) = %#x, want %#x", index, got, want)
		}
	}
}
