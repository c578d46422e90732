package siit

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// edit changes a valid packet and puts its IPv4 header checksum right again.
func edit(pkt []byte, change func(p []byte)) []byte {
	change(pkt)
	if len(pkt) >= 20 && pkt[0]>>4 == 4 {
		if n := int(pkt[0]&15) * 4; n >= 20 && n <= len(pkt) {
			clear(pkt[10:12])
			binary.BigEndian.PutUint16(pkt[10:], ^fold(sum(pkt[:n])))
		}
	}
	return pkt
}

// options puts IPv4 options, a multiple of four bytes, into a packet.
func options(pkt, opts []byte) []byte {
	out := append(append(append([]byte(nil), pkt[:20]...), opts...), pkt[20:]...)
	return edit(out, func(p []byte) {
		p[0] = 0x40 | byte(5+len(opts)/4)
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	})
}

// extension puts an IPv6 extension header of a type before the upper layer.
func extension(pkt []byte, typ byte, hdr []byte) []byte {
	out := append(append(append([]byte(nil), pkt[:40]...), hdr...), pkt[40:]...)
	out[40], out[6] = out[6], typ
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	return out
}

func TestVerdicts4to6(t *testing.T) {
	c := oracleConfigs()[0]
	c.MTU6, c.MTU4 = 1500, 1480
	udp := func(n int) []byte { return sample(t, c, "udp", 0, 64, 0x13880035, make([]byte, n)) }
	tests := map[string]struct {
		in   []byte
		want Verdict
	}{
		"plain":                               {udp(4), OK},
		"link padding after the packet":       {append(udp(4), 0, 0, 0), OK},
		"SIIT-1 shorter than its length":      {udp(40)[:50], Malformed},
		"SIIT-1 header length below 20":       {edit(udp(4), func(p []byte) { p[0] = 0x44 }), Malformed},
		"SIIT-1 header checksum":              {func() []byte { p := udp(4); p[10] ^= 1; return p }(), BadHeaderChecksum},
		"SIIT-2 version 5":                    {[]byte{0x50, 0, 0, 0}, NotIP},
		"SIIT-5 multicast":                    {edit(udp(4), func(p []byte) { copy(p[16:], []byte{224, 0, 0, 251}) }), Martian},
		"SIIT-5 broadcast":                    {edit(udp(4), func(p []byte) { copy(p[16:], []byte{255, 255, 255, 255}) }), Martian},
		"SIIT-6 loopback":                     {edit(udp(4), func(p []byte) { copy(p[16:], []byte{127, 0, 0, 1}) }), Martian},
		"SEC-16 a CLAT's address":             {edit(udp(4), func(p []byte) { copy(p[16:], []byte{192, 0, 0, 5}) }), Martian},
		"SIIT-7 another source":               {edit(udp(4), func(p []byte) { copy(p[12:], []byte{10, 0, 0, 1}) }), NotOurs},
		"SIIT-3 TTL 1":                        {edit(udp(4), func(p []byte) { p[8] = 1 }), AnsweredTTL},
		"SIIT-3 TTL 0":                        {edit(udp(4), func(p []byte) { p[8] = 0 }), AnsweredTTL},
		"SIIT-3 TTL 2":                        {edit(udp(4), func(p []byte) { p[8] = 2 }), OK},
		"SIIT-11 options are skipped":         {options(udp(4), []byte{1, 1, 148, 4, 0, 0, 0, 0}), OK},
		"SIIT-11 loose source route":          {options(udp(4), []byte{131, 7, 4, 10, 0, 0, 1, 0}), AnsweredSourceRoute},
		"SIIT-11 strict source route":         {options(udp(4), []byte{137, 7, 4, 10, 0, 0, 1, 0}), AnsweredSourceRoute},
		"SIIT-11 source route used up":        {options(udp(4), []byte{131, 7, 8, 10, 0, 0, 1, 0}), OK},
		"SIIT-12 option runs past the header": {options(udp(4), []byte{148, 9, 0, 0}), BadOptions},
		"SIIT-12 option of length 1":          {options(udp(4), []byte{148, 1, 0, 0}), BadOptions},
		"SIIT-13 protocol 44":                 {edit(udp(4), func(p []byte) { p[9] = 44 }), BadProtocol},
		"SIIT-13 protocol 58":                 {edit(udp(4), func(p []byte) { p[9] = 58 }), BadProtocol},
		"SIIT-40 IGMP":                        {edit(udp(4), func(p []byte) { p[9] = 2 }), BadProtocol},
		"SIIT-35 GRE passes":                  {edit(udp(4), func(p []byte) { p[9] = 47 }), OK},
		"first fragment":                      {edit(udp(40), func(p []byte) { p[6] = 0x20 }), Fragment},
		"later fragment":                      {edit(udp(40), func(p []byte) { p[7] = 1 }), Fragment},
		"7915-21 DF, 1480 bytes fit":          {udp(1452), OK},
		"7915-21 DF, 1481 bytes do not":       {udp(1453), AnsweredTooBig},
		"7915-22 DF=0, too big":               {edit(udp(1453), func(p []byte) { p[6] = 0 }), TooBig},
		"SIIT-33 UDP length too large":        {edit(udp(4), func(p []byte) { p[25] = 200 }), Malformed},
		"SIIT-33 UDP length below 8":          {edit(udp(4), func(p []byte) { p[25] = 7 }), Malformed},
		"TCP header cut short":                {edit(sample(t, c, "tcp", 0, 64, 1, nil)[:36], func(p []byte) { p[3] = 36 }), Malformed},
		"TCP data offset past the end":        {edit(sample(t, c, "tcp", 0, 64, 1, nil), func(p []byte) { p[32] = 0xf0 }), Malformed},
		"ICMP cut short":                      {edit(sample(t, c, "icmp", 0, 64, 1, nil)[:24], func(p []byte) { p[3] = 24 }), Malformed},
		"SIIT-40 ICMP redirect":               {edit(sample(t, c, "icmp", 0, 64, 1, nil), func(p []byte) { p[20] = 5 }), ICMPType},
		"SIIT-40 ICMP timestamp":              {edit(sample(t, c, "icmp", 0, 64, 1, nil), func(p []byte) { p[20] = 13 }), ICMPType},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if _, v := translator(t, c).Translate(b, vnethdr.Header{}, tt.in); v != tt.want {
				t.Fatalf("verdict %v, want %v", v, tt.want)
			}
			if (len(b.Packets()) == 1) != (tt.want.Kind() != Dropped) {
				t.Fatalf("%d packets for %v", len(b.Packets()), tt.want)
			}
			for _, p := range b.Packets() {
				consistent(t, whole(p))
			}
		})
	}
}

func TestVerdicts6to4(t *testing.T) {
	c := oracleConfigs()[0]
	c.MTU6, c.MTU4 = 1500, 1480
	udp := func(n int) []byte {
		return back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 0x13880035, make([]byte, n))))
	}
	set := func(p []byte, at int, bs ...byte) []byte { copy(p[at:], bs); return p }
	tests := map[string]struct {
		in   []byte
		want Verdict
	}{
		"plain":                                {udp(4), OK},
		"SIIT-8 another destination":           {set(udp(4), 39, 0x99), NotOurs},
		"SIIT-8 source outside the prefix":     {set(udp(4), 8, 0x20, 0x01, 0x0d, 0xb9), OutsidePrefix},
		"SIIT-8 source is the CLAT's own IPv4": {set(udp(4), 20, 192, 0, 0, 1), Martian},
		"SIIT-6 source is loopback":            {set(udp(4), 20, 127, 0, 0, 1), Martian},
		"SIIT-6 source is multicast":           {set(udp(4), 20, 224, 0, 0, 1), Martian},
		"SIIT-1 payload length too large":      {set(udp(4), 4, 0x10, 0), Malformed},
		"SIIT-89 payload length 0":             {set(udp(4), 4, 0, 0), Malformed},
		"SIIT-3 Hop Limit 1":                   {set(udp(4), 7, 1), AnsweredTTL},
		"SIIT-32 no UDP checksum":              {set(udp(4), 46, 0, 0), ZeroChecksum},
		"SIIT-28 no next header":               {set(udp(4), 6, 59), BadProtocol},
		"SIIT-13 ICMPv4 inside":                {set(udp(4), 6, 1), BadProtocol},
		"SIIT-27 hop-by-hop is skipped":        {extension(udp(4), 0, make([]byte, 8)), OK},
		"SIIT-27 options are skipped":          {extension(udp(4), 60, append([]byte{0, 1}, make([]byte, 14)...)), OK},
		"SIIT-28 hop-by-hop not first":         {extension(extension(udp(4), 0, make([]byte, 8)), 60, make([]byte, 8)), BadOptions},
		"SIIT-28 header past the end":          {extension(udp(4), 60, []byte{0, 200, 0, 0, 0, 0, 0, 0}), BadOptions},
		"SIIT-27 routing, segments left":       {extension(udp(4), 43, []byte{0, 0, 0, 1, 0, 0, 0, 0}), AnsweredRouting},
		"SIIT-27 routing, none left":           {extension(udp(4), 43, make([]byte, 8)), OK},
		"SIIT-26 atomic fragment":              {extension(udp(4), 44, []byte{0, 0, 0, 0, 0, 0, 0x12, 0x34}), OK},
		"first fragment":                       {extension(udp(40), 44, []byte{0, 0, 0, 1, 0, 0, 0x12, 0x34}), Fragment},
		"7915-32 AH behind a Fragment Header":  {extension(set(udp(4), 6, 51), 44, make([]byte, 8)), BadOptions},
		"7915-1 fits the IPv4 side":            {udp(1452), OK},
		"7915-1 too big for the IPv4 side":     {udp(1453), AnsweredTooBig},
		"neighbour solicitation":               {set(set(udp(4), 6, 58), 40, 135), ICMPType},
		"multicast listener report":            {set(set(udp(4), 6, 58), 40, 143), ICMPType},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if _, v := translator(t, c).Translate(b, vnethdr.Header{}, tt.in); v != tt.want {
				t.Fatalf("verdict %v, want %v", v, tt.want)
			}
			for _, p := range b.Packets() {
				consistent(t, whole(p))
			}
		})
	}
}

func TestTooManyExtensionHeaders(t *testing.T) { // SIIT-28
	c := oracleConfigs()[0]
	p := back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil)))
	for range maxHeaders + 1 {
		p = extension(p, 60, make([]byte, 8))
	}
	if _, v := translator(t, c).Translate(NewBatch(), vnethdr.Header{}, p); v != BadOptions {
		t.Errorf("verdict %v", v)
	}
}

func TestNonGlobalUnderTheWellKnownPrefix(t *testing.T) { // R6052-8, R6052-9
	private, doc := [4]byte{10, 1, 2, 3}, [4]byte{198, 51, 100, 10}
	tests := map[string]struct {
		policy nat64.NonGlobal
		prefix nat64.Prefix
		dst    [4]byte
		always []netip.Addr
		want   Verdict
	}{
		"private by default":                  {nat64.NonGlobalPrivate, nat64.WellKnown(), private, nil, OK},
		"documentation by default":            {nat64.NonGlobalPrivate, nat64.WellKnown(), doc, nil, NotAllowed},
		"a configured server always":          {nat64.NonGlobalNever, nat64.WellKnown(), doc, []netip.Addr{netip.AddrFrom4(doc)}, OK},
		"never":                               {nat64.NonGlobalNever, nat64.WellKnown(), private, nil, NotAllowed},
		"always":                              {nat64.NonGlobalAlways, nat64.WellKnown(), doc, nil, OK},
		"a prefix of the network's own":       {nat64.NonGlobalNever, nat64.MustParse("2001:db8:64:ff9b::/96"), private, nil, OK},
		"link-local under no prefix (SEC-11)": {nat64.NonGlobalAlways, nat64.MustParse("2001:db8:64:ff9b::/96"), [4]byte{169, 254, 1, 1}, nil, NotAllowed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := vectorConfig()
			c.Prefix, c.NonGlobal, c.AlwaysAllow = tt.prefix, tt.policy, tt.always
			in := edit(sample(t, c, "udp", 0, 64, 1, nil), func(p []byte) { copy(p[16:], tt.dst[:]) })
			if v := translator(t, c).To6(NewBatch(), vnethdr.Header{}, in); v != tt.want {
				t.Errorf("verdict %v, want %v", v, tt.want)
			}
		})
	}
}

func TestEveryPrefixLengthBothWays(t *testing.T) { // R6052-2
	for _, p := range []string{"2001:db8::/32", "2001:db8:100::/40", "2001:db8:122::/48", "2001:db8:122:300::/56", "2001:db8:122:344::/64", "2001:db8:122:344::/96"} {
		t.Run(p, func(t *testing.T) {
			c := vectorConfig()
			c.Prefix, c.CLAT6 = nat64.MustParse(p), netip.MustParseAddr("2001:db9:1:2:c1a7::1")
			tr, b := translator(t, c), NewBatch()
			in := sample(t, c, "tcp", 0, 64, 0x01bb0050, []byte("hello"))
			if v := tr.To6(b, vnethdr.Header{}, in); v != OK {
				t.Fatal(v)
			}
			six := only(t, b)
			if got := netip.AddrFrom16([16]byte(six[24:40])); got != c.Prefix.Embed(netip.MustParseAddr("192.0.2.33")) {
				t.Errorf("destination %v", got)
			}
			if pseudo := pseudo6(six[8:40], len(six)-40, protoTCP); fold(pseudo+sum(six[40:])) != 0xffff {
				t.Error("the TCP checksum is wrong")
			}
			b.Reset()
			if v := tr.To4(b, vnethdr.Header{}, back(t, six)); v != OK {
				t.Fatal(v)
			}
			if got := only(t, b); got[12] != 192 || got[15] != 33 {
				t.Errorf("source % d", got[12:16])
			}
		})
	}
}

func TestAnswersSayWhatAndFromWhom(t *testing.T) {
	c := oracleConfigs()[0]
	c.MTU6, c.MTU4 = 1500, 1480
	tr, b := translator(t, c), NewBatch()
	big := sample(t, c, "udp", 0, 64, 1, make([]byte, 1453))
	tr.To6(b, vnethdr.Header{}, big)
	p := only(t, b)
	if len(p) != 576 || p[9] != 1 || p[20] != 3 || p[21] != 4 || binary.BigEndian.Uint16(p[26:]) != 1480 ||
		[4]byte(p[12:16]) != dummy || [4]byte(p[16:20]) != c.CLAT4.As4() || sum(p[20:]) != 0xffff {
		t.Errorf("Fragmentation Needed = % x", p[:28])
	}
	b.Reset()
	six := back(t, oracleTo6(t, c, big))
	tr.To4(b, vnethdr.Header{}, six)
	p = only(t, b)
	if len(p) != 1280 || p[6] != protoICMPv6 || p[40] != 2 || binary.BigEndian.Uint32(p[44:]) != 1500 ||
		netip.AddrFrom16([16]byte(p[8:24])) != c.CLAT6 || [16]byte(p[24:40]) != [16]byte(six[8:24]) ||
		fold(pseudo6(p[8:40], len(p)-40, protoICMPv6)+sum(p[40:])) != 0xffff {
		t.Errorf("Packet Too Big = % x", p[:48])
	}
}

func TestLimiter(t *testing.T) { // SIIT-68
	var l Limiter
	now := time.Unix(1000, 0)
	allowed := func(v Verdict, n int) (ok int) {
		for range n {
			if l.Allow(now, v) {
				ok++
			}
		}
		return ok
	}
	if got := allowed(AnsweredTTL, 100); got != errorBurst {
		t.Errorf("%d errors at once, want %d", got, errorBurst)
	}
	if got := allowed(AnsweredTooBig, 100); got != tooBigBurst {
		t.Errorf("%d Packet Too Big at once, want %d though errors ran out", got, tooBigBurst)
	}
	now = now.Add(time.Second)
	if got := allowed(AnsweredTTL, 100); got != errorRate {
		t.Errorf("%d errors after a second, want %d", got, errorRate)
	}
	now = now.Add(-time.Hour) // a clock that jumps back
	if got := allowed(AnsweredTTL, 100); got != 0 {
		t.Errorf("%d errors after the clock went back, want 0", got)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	tests := map[string]func(*Config){
		"no prefix":             func(c *Config) { c.Prefix = nat64.Prefix{} },
		"IPv6 as IPv4":          func(c *Config) { c.CLAT4 = c.CLAT6 },
		"no IPv6":               func(c *Config) { c.CLAT6 = netip.Addr{} },
		"IPv4-mapped":           func(c *Config) { c.CLAT6 = netip.MustParseAddr("::ffff:192.0.2.1") },
		"link-local":            func(c *Config) { c.CLAT6 = netip.MustParseAddr("fe80::1") },
		"address in the prefix": func(c *Config) { c.CLAT6 = netip.MustParseAddr("64:ff9b::1") },
		"IPv6 MTU below 1280":   func(c *Config) { c.MTU6 = 1279 },
		"IPv4 MTU below 68":     func(c *Config) { c.MTU4 = 67 },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			c := vectorConfig()
			spoil(&c)
			if _, err := New(c); err == nil {
				t.Error("no error")
			}
		})
	}
}
