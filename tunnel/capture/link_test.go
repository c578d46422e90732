package capture_test

import (
	"bytes"
	"testing"

	"github.com/reach64/reach64/tunnel/capture"
)

func TestIP(t *testing.T) {
	const macs = "020000000001 020000000002 "
	const v4, v6 = "45000014", "60000000"
	for _, c := range []struct {
		name  string
		link  capture.LinkType
		frame string
		want  string // "" for no IP
	}{
		{"raw IPv4", capture.Raw, v4, v4},
		{"raw IPv6", capture.Raw, v6, v6},
		{"raw of BSD", 12, v4, v4},
		{"raw of OpenBSD", 14, v6, v6},
		{"raw, another version", capture.Raw, "55000014", ""},
		{"raw, empty", capture.Raw, "", ""},
		{"IPv4", capture.IPv4, v4, v4},
		{"IPv4 that is IPv6", capture.IPv4, v6, ""},
		{"IPv6", capture.IPv6, v6, v6},
		{"IPv6 that is IPv4", capture.IPv6, v4, ""},
		{"Ethernet IPv4, with padding", capture.Ethernet, macs + "0800" + v4 + "0000", v4 + "0000"},
		{"Ethernet IPv6", capture.Ethernet, macs + "86dd" + v6, v6},
		{"Ethernet, type and version differ", capture.Ethernet, macs + "0800" + v6, ""},
		{"Ethernet ARP", capture.Ethernet, macs + "0806" + v4, ""},
		{"Ethernet 802.3 length", capture.Ethernet, macs + "0026" + "424203", ""},
		{"Ethernet, nothing behind the header", capture.Ethernet, macs + "0800", ""},
		{"Ethernet, short", capture.Ethernet, macs + "08", ""},
		{"VLAN", capture.Ethernet, macs + "8100 0064 0800" + v4, v4},
		{"VLAN in a service VLAN", capture.Ethernet, macs + "88a8 0064 8100 00c8 86dd" + v6, v6},
		{"VLAN in VLAN of old", capture.Ethernet, macs + "9100 0064 8100 00c8 86dd" + v6, v6},
		{"VLAN ARP", capture.Ethernet, macs + "8100 0064 0806" + v4, ""},
		{"VLAN, short", capture.Ethernet, macs + "8100 0064 08", ""},
		{"SLL", capture.SLL, "0000 0001 0006 0200000000010000 0800" + v4, v4},
		{"SLL with VLAN", capture.SLL, "0000 0001 0006 0200000000010000 8100 0005 86dd" + v6, v6},
		{"SLL, short", capture.SLL, "0000 0001 0006 0200000000010000 08", ""},
		{"SLL2", capture.SLL2, "86dd 0000 00000002 0001 00 06 0200000000010000" + v6, v6},
		{"SLL2, another protocol", capture.SLL2, "0806 0000 00000002 0001 00 06 0200000000010000" + v6, ""},
		{"SLL2, short", capture.SLL2, "86dd 0000 00000002 0001 00 06 02000000000100", ""},
		{"NULL IPv4, little-endian", capture.Null, "02000000" + v4, v4},
		{"NULL IPv4, big-endian", capture.Null, "00000002" + v4, v4},
		{"NULL IPv6 of macOS", capture.Null, "1e000000" + v6, v6},
		{"NULL IPv6 of FreeBSD", capture.Null, "0000001c" + v6, v6},
		{"NULL, another family", capture.Null, "07000000" + v4, ""},
		{"NULL, short", capture.Null, "020000", ""},
		{"LOOP IPv6 of OpenBSD", capture.Loop, "00000018" + v6, v6},
		{"radio", 105, v4, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := c.link.IP(unhex(t, c.frame))
			if ok != (c.want != "") || ok && !bytes.Equal(got, unhex(t, c.want)) {
				t.Errorf("got %x %v, want %q", got, ok, c.want)
			}
		})
	}
}

func TestLinkTypeString(t *testing.T) {
	for l, want := range map[capture.LinkType]string{1: "1 (ETHERNET)", 113: "113 (LINUX_SLL)", 105: "105"} {
		if got := l.String(); got != want || l.Known() != (l != 105) {
			t.Errorf("%d: %q, known %v; want %q", uint16(l), got, l.Known(), want)
		}
	}
}
