package netmon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestResolvConf(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"two servers":           {"nameserver 2001:db8::53\nnameserver 192.0.2.53\n", []string{"2001:db8::53", "192.0.2.53"}},
		"comments and options":  {"# nameserver 192.0.2.1\n; nameserver 192.0.2.2\noptions edns0\nsearch example.com\nnameserver 192.0.2.3", []string{"192.0.2.3"}},
		"zone":                  {"nameserver fe80::1%eth0\n", []string{"fe80::1%eth0"}},
		"tabs and spaces":       {"\tnameserver\t 192.0.2.53  # why not\r\n", []string{"192.0.2.53"}},
		"junk":                  {"nameserver\nnameserver x\nnameservers 192.0.2.1\n\x00\n", nil},
		"IPv4 in IPv6 notation": {"nameserver ::ffff:192.0.2.53\n", []string{"192.0.2.53"}},
		"empty":                 {"", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var want []netip.Addr
			for _, s := range tt.want {
				want = append(want, netip.MustParseAddr(s))
			}
			if got := parseResolvConf([]byte(tt.text)); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// Whatever stands in the file, what comes out are addresses that were in it.
func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 2001:db8::53\n# x\nnameserver fe80::1%eth0 \nnameserver ::ffff:192.0.2.53")
	f.Add("nameserver\t\x00\nnameserver %\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range parseResolvConf([]byte(text)) {
			if !a.IsValid() || a.Is4In6() {
				t.Errorf("%q gives %v", text, a)
			}
			if !strings.Contains(text, "nameserver") {
				t.Errorf("%q has no name server, but gives %v", text, a)
			}
		}
	})
}
