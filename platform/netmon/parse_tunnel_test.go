package netmon

import (
	"net/netip"
	"testing"
)

// The types and descriptions are those that Get-NetAdapter shows.
func TestWhatIsATunnelOnWindows(t *testing.T) {
	for description, tt := range map[string]struct {
		ifType uint32
		want   bool
	}{
		"Intel(R) Wi-Fi 6E AX211 160MHz":                                   {71, false},
		"Realtek USB GbE Family Controller":                                {6, false},
		"Hyper-V Virtual Ethernet Adapter":                                 {6, false},
		"VirtualBox Host-Only Ethernet Adapter":                            {6, false},
		"Fibocom L850-GL":                                                  {243, false},
		"Software Loopback Interface 1":                                    {24, false},
		"Wintun Userspace Tunnel":                                          {53, true},
		"WireGuard Tunnel":                                                 {53, true},
		"OpenVPN Data Channel Offload":                                     {53, true},
		"WAN Miniport (IKEv2)":                                             {23, true},
		"Microsoft IP-HTTPS Platform Adapter":                              {131, true},
		"Teredo Tunneling Pseudo-Interface":                                {131, true},
		"TAP-Windows Adapter V9 #2":                                        {6, true},
		"TAP-ProtonVPN Windows Adapter V9":                                 {6, true},
		"Cisco AnyConnect Virtual Miniport Adapter for Windows x64":        {6, true},
		"PANGP Virtual Ethernet Adapter Secure":                            {6, true},
		"Fortinet Virtual Ethernet Adapter (NDIS 6.30)":                    {6, true},
		"Check Point Virtual Network Adapter For Endpoint VPN Client":      {6, true},
		"Juniper Networks Virtual Adapter":                                 {6, true},
		"Qualcomm WCN685x Wi-Fi 6E Dual Band VPNless (a name, not a type)": {71, false},
	} {
		if got := tunnelOfWindows(tt.ifType, description); got != tt.want {
			t.Errorf("%s of type %d: %v, want %v", description, tt.ifType, got, tt.want)
		}
	}
}

func TestWhatIsATunnelOnAMac(t *testing.T) {
	for name, tt := range map[string]struct{ ethernet, pointToPoint, want bool }{
		"en0":     {true, false, false},
		"bridge0": {true, false, false},
		"awdl0":   {true, false, false},
		"lo0":     {false, false, false},
		"utun4":   {false, true, true},
		"ipsec0":  {false, true, true},
		"ppp0":    {false, true, true},
		"tap0":    {true, false, true},
		"feth12":  {true, false, true},
		"tapas0":  {true, false, false},
		"tap":     {true, false, false},
	} {
		if got := tunnelOfMac(name, tt.ethernet, tt.pointToPoint); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// TestAVPNTakesTheDefaultRoute: which link carries IPv4 decides, and what it is.
func TestAVPNTakesTheDefaultRoute(t *testing.T) {
	wifi := adapter{index: 17, name: "Wi-Fi", description: "Intel(R) Wi-Fi 6E AX211 160MHz", ifType: 71, up: true, metric4: 35}
	vpn := adapter{index: 21, name: "Ethernet 2", description: "PANGP Virtual Ethernet Adapter Secure", ifType: 6, up: true, metric4: 1}
	router := row{dst: prefix("0.0.0.0/0"), gateway: netip.MustParseAddr("192.0.2.1"), link: 17}
	for name, tt := range map[string]struct {
		rows   []row
		link   string
		tunnel bool
	}{
		"a full tunnel":                  {[]row{router, {dst: prefix("0.0.0.0/0"), gateway: netip.IPv4Unspecified(), link: 21}}, "Ethernet 2", true},
		"a full tunnel in halves":        {[]row{router, {dst: prefix("0.0.0.0/1"), link: 21}, {dst: prefix("128.0.0.0/1"), link: 21}}, "Ethernet 2", true},
		"a tunnel for some destinations": {[]row{router, {dst: prefix("10.0.0.0/8"), link: 21}}, "Wi-Fi", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := fromAdapters([]adapter{wifi, vpn}, tt.rows)
			r, ok := s.Default(false)
			l, _ := s.Link(r.Link)
			if !ok || l.Name != tt.link || l.Tunnel != tt.tunnel {
				t.Errorf("default route %v over %+v, want over %s, a tunnel %v", r, l, tt.link, tt.tunnel)
			}
		})
	}
}
