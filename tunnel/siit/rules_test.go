package siit

import (
	"encoding/binary"
	"net/netip"
	"testing"

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

// error4From is an ICMP error of the host's with a source that is not its own.
func error4From(t testing.TB, c Config, src [4]byte) []byte {
	quote := oracleTo4(t, c, back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))))
	return edit(error4(c, 3, 3, 0, quote), func(p []byte) { copy(p[12:], src[:]) })
}

func TestVerdicts4to6(t *testing.T) { // SIIT-71, 7915-11, R6052-13
	c := oracleConfigs()[0]
	c.MTU6, c.MTU4 = 1500, 1480
	udp := func(n int) []byte { return sample(t, c, "udp", 0, 64, 0x13880035, make([]byte, n)) }
	tests := map[string]struct {
		in   []byte
		want Verdict
	}{
		"plain":                                {udp(4), OK},
		"link padding after the packet":        {append(udp(4), 0, 0, 0), OK},
		"SIIT-1 shorter than its length":       {udp(40)[:50], Malformed},
		"SIIT-1 header length below 20":        {edit(udp(4), func(p []byte) { p[0] = 0x44 }), Malformed},
		"SIIT-1 header checksum":               {func() []byte { p := udp(4); p[10] ^= 1; return p }(), BadHeaderChecksum},
		"SIIT-2 version 5":                     {[]byte{0x50, 0, 0, 0}, NotIP},
		"SIIT-5 multicast":                     {edit(udp(4), func(p []byte) { copy(p[16:], []byte{224, 0, 0, 251}) }), Martian},
		"SIIT-5 broadcast":                     {edit(udp(4), func(p []byte) { copy(p[16:], []byte{255, 255, 255, 255}) }), Martian},
		"SIIT-6 loopback":                      {edit(udp(4), func(p []byte) { copy(p[16:], []byte{127, 0, 0, 1}) }), Martian},
		"SEC-16 a CLAT's address":              {edit(udp(4), func(p []byte) { copy(p[16:], []byte{192, 0, 0, 5}) }), Martian},
		"SIIT-7 another source":                {edit(udp(4), func(p []byte) { copy(p[12:], []byte{10, 0, 0, 1}) }), NotOurs},
		"SIIT-71 an error from another source": {error4From(t, c, [4]byte{10, 0, 0, 1}), NotOurs},
		"SIIT-3 TTL 1":                         {edit(udp(4), func(p []byte) { p[8] = 1 }), AnsweredTTL},
		"SIIT-3 TTL 0":                         {edit(udp(4), func(p []byte) { p[8] = 0 }), AnsweredTTL},
		"SIIT-3 TTL 2":                         {edit(udp(4), func(p []byte) { p[8] = 2 }), OK},
		"SIIT-11 options are skipped":          {options(udp(4), []byte{1, 1, 148, 4, 0, 0, 0, 0}), OK},
		"SIIT-11 Router Alert alone":           {options(udp(4), []byte{148, 4, 0, 0}), OK},
		"SIIT-11 padding alone":                {options(udp(4), []byte{1, 1, 1, 1}), OK},
		"SIIT-11 loose source route":           {options(udp(4), []byte{131, 7, 4, 10, 0, 0, 1, 0}), AnsweredSourceRoute},
		"SIIT-11 strict source route":          {options(udp(4), []byte{137, 7, 4, 10, 0, 0, 1, 0}), AnsweredSourceRoute},
		"SIIT-11 source route used up":         {options(udp(4), []byte{131, 7, 8, 10, 0, 0, 1, 0}), OK},
		"SIIT-12 option runs past the header":  {options(udp(4), []byte{148, 9, 0, 0}), BadOptions},
		"SIIT-12 option of length 1":           {options(udp(4), []byte{148, 1, 0, 0}), BadOptions},
		"SIIT-13 protocol 44":                  {edit(udp(4), func(p []byte) { p[9] = 44 }), AnsweredProtocol},
		"SIIT-13 protocol 58":                  {edit(udp(4), func(p []byte) { p[9] = 58 }), AnsweredProtocol},
		"SIIT-40 IGMP":                         {edit(udp(4), func(p []byte) { p[9] = 2 }), BadProtocol},
		"SIIT-35 GRE passes":                   {edit(udp(4), func(p []byte) { p[9] = 47 }), OK},
		"SIIT-15 first fragment":               {edit(udp(40), func(p []byte) { p[6] = 0x20 }), OK},
		"SIIT-15 later fragment":               {edit(udp(40), func(p []byte) { p[7] = 1 }), OK},
		"7915-21 DF, 1480 bytes fit":           {udp(1452), OK},
		"7915-21 DF, 1481 bytes do not":        {udp(1453), AnsweredTooBig},
		"7915-21 DF, options, 1480 bytes fit":  {options(udp(1444), make([]byte, 8)), OK},
		"7915-21 DF, options, 1481 do not":     {options(udp(1445), make([]byte, 8)), AnsweredTooBig},
		"7915-22 DF=0, 1480 bytes":             {edit(udp(1452), func(p []byte) { p[6] = 0 }), OK},
		"SIIT-40 echo that is too big":         {sample(t, c, "icmp", 0, 64, 1, make([]byte, 1453)), AnsweredTooBig},
		"SIIT-16a echo with DF=0, too big":     {edit(sample(t, c, "icmp", 0, 64, 1, make([]byte, 1453)), func(p []byte) { p[6] = 0 }), OK},
		"SIIT-23 the reserved flag":            {edit(udp(4), func(p []byte) { p[6] |= 0x80 }), OK},
		"SIIT-2 nothing":                       {nil, NotIP},
		"SIIT-1 no whole header":               {udp(4)[:19], Malformed},
		"SIIT-1 length below the header":       {edit(udp(4), func(p []byte) { p[3] = 19 }), Malformed},
		"SIIT-5 class E":                       {edit(udp(4), func(p []byte) { copy(p[16:], []byte{240, 0, 0, 1}) }), Martian},
		"SIIT-6 network 0":                     {edit(udp(4), func(p []byte) { copy(p[16:], []byte{0, 0, 0, 1}) }), Martian},
		"SIIT-7 to itself":                     {edit(udp(4), func(p []byte) { copy(p[16:], p[12:16]) }), Martian},
		"the dummy address":                    {edit(udp(4), func(p []byte) { copy(p[16:], []byte{192, 0, 0, 8}) }), Martian},
		"192.0.0.9 is a host (R6052-10)":       {edit(udp(4), func(p []byte) { copy(p[16:], []byte{192, 0, 0, 9}) }), OK},
		"SIIT-12 source route of length 2":     {options(udp(4), []byte{131, 2, 0, 0}), BadOptions},
		"SIIT-12 option without its length":    {options(udp(4), []byte{1, 1, 1, 148}), BadOptions},
		"SIIT-13 protocol 0":                   {edit(udp(4), func(p []byte) { p[9] = 0 }), AnsweredProtocol},
		"SIIT-13 protocol 43":                  {edit(udp(4), func(p []byte) { p[9] = 43 }), AnsweredProtocol},
		"SIIT-13 protocol 60":                  {edit(udp(4), func(p []byte) { p[9] = 60 }), AnsweredProtocol},
		"SIIT-13 protocol 135":                 {edit(udp(4), func(p []byte) { p[9] = 135 }), AnsweredProtocol},
		"SIIT-35 ESP passes":                   {edit(udp(4), func(p []byte) { p[9] = 50 }), OK},
		"SECU-9 AH passes by its IP header":    {edit(udp(4), func(p []byte) { p[9] = 51 }), Authenticated},
		"SIIT-35 SCTP passes":                  {edit(udp(4), func(p []byte) { p[9] = 132 }), OK},
		"7915-22 DF=0, too big":                {edit(udp(1453), func(p []byte) { p[6] = 0 }), OK},
		"SIIT-33 UDP length too large":         {edit(udp(4), func(p []byte) { p[25] = 200 }), Malformed},
		"SIIT-33 UDP length below 8":           {edit(udp(4), func(p []byte) { p[25] = 7 }), Malformed},
		"TCP header cut short":                 {edit(sample(t, c, "tcp", 0, 64, 1, nil)[:36], func(p []byte) { p[3] = 36 }), Malformed},
		"TCP data offset past the end":         {edit(sample(t, c, "tcp", 0, 64, 1, nil), func(p []byte) { p[32] = 0xf0 }), Malformed},
		"ICMP cut short":                       {edit(sample(t, c, "icmp", 0, 64, 1, nil)[:24], func(p []byte) { p[3] = 24 }), Malformed},
		"SIIT-40 ICMP redirect":                {edit(sample(t, c, "icmp", 0, 64, 1, nil), func(p []byte) { p[20] = 5 }), ICMPType},
		"SIIT-40 ICMP timestamp":               {edit(sample(t, c, "icmp", 0, 64, 1, nil), func(p []byte) { p[20] = 13 }), ICMPType},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBatch()
			if _, v := translator(t, c).Translate(b, vnethdr.Header{}, tt.in); v != tt.want {
				t.Fatalf("verdict %v, want %v", v, tt.want)
			}
			if (len(b.Packets()) > 0) != (tt.want.Kind() != Dropped) {
				t.Fatalf("%d packets for %v", len(b.Packets()), tt.want)
			}
			for _, p := range b.Packets() {
				consistent(t, whole(p))
			}
		})
	}
}

func TestVerdicts6to4(t *testing.T) { // 7915-35, 7757-4, R6052-13, SECU-9
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
		"SIIT-8 source outside the prefix":     {set(udp(4), 8, 0x20, 0x01, 0x0d, 0xb9), AnsweredOutside},
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
		"SIIT-26 first fragment":               {extension(udp(40), 44, []byte{0, 0, 0, 1, 0, 0, 0x12, 0x34}), OK},
		"7915-32 AH behind a Fragment Header":  {extension(set(udp(4), 6, 51), 44, make([]byte, 8)), BadFragment},
		"7915-32 HIP behind a Fragment Header": {extension(set(udp(4), 6, 139), 44, make([]byte, 8)), BadFragment},
		"7915-32 Shim6 behind one":             {extension(set(udp(4), 6, 140), 44, make([]byte, 8)), BadFragment},
		"7915-32 253 behind one":               {extension(set(udp(4), 6, 253), 44, make([]byte, 8)), BadFragment},
		"7915-32 254 behind one":               {extension(set(udp(4), 6, 254), 44, make([]byte, 8)), BadFragment},
		"7915-32 options behind one":           {extension(extension(udp(4), 60, make([]byte, 8)), 44, make([]byte, 8)), BadFragment},
		"7915-32 ESP may be behind one":        {extension(set(udp(4), 6, 50), 44, make([]byte, 8)), OK},
		"SIIT-28 two Fragment Headers":         {extension(extension(udp(4), 44, make([]byte, 8)), 44, make([]byte, 8)), BadFragment},
		"SIIT-28 mobility":                     {set(udp(4), 6, 135), BadProtocol},
		"SIIT-13 IGMP inside":                  {set(udp(4), 6, 2), BadProtocol},
		"SIIT-28 AH passes by its IP header":   {set(udp(4), 6, 51), Authenticated},
		"SIIT-26 last fragment":                {extension(udp(40), 44, []byte{0, 0, 0, 8, 0, 0, 0, 1}), OK},
		"SIIT-1 no whole IPv6 header":          {udp(4)[:39], Malformed},
		"SIIT-1 extension header cut short":    {set(udp(0)[:44], 4, 0, 4, 60), Malformed},
		"SIIT-33 UDP length below 8":           {set(udp(4), 45, 7), Malformed},
		"SIIT-33 UDP length past the end":      {set(udp(4), 45, 13), Malformed},
		"SIIT-1 UDP header cut short":          {set(udp(4)[:47], 4, 0, 7), Malformed},
		"SIIT-3 Hop Limit 0":                   {set(udp(4), 7, 0), AnsweredTTL},
		"SIIT-3 Hop Limit 2":                   {set(udp(4), 7, 2), OK},
		"SIIT-1 no ICMPv6 header":              {set(set(udp(4)[:44], 4, 0, 4, 58), 40, 128), Malformed},
		"7915-1 fits the IPv4 side":            {udp(1452), OK},
		"7915-1 too big for the IPv4 side":     {udp(1453), AnsweredTooBig},
		"7915-1 an echo that is too big":       {back(t, oracleTo6(t, c, sample(t, c, "icmp", 0, 64, 1, make([]byte, 1453)))), AnsweredTooBig},
		"SIIT-1 an ICMPv6 error cut short":     {set(set(udp(4)[:47], 4, 0, 7, 58), 40, 1), Malformed},
		"SIIT-3 an error's Hop Limit ran out":  {set(error6(c, router, 1, 0, 0, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))), 7, 1), TTLExpired},
		"SIIT-6 an error from multicast":       {error6(c, "ff02::1", 1, 0, 0, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil))), Martian},
		"DCCP header cut short":                {set(udp(4)[:47], 4, 0, 7, 33), Malformed},
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

func TestTooManyExtensionHeaders(t *testing.T) { // SIIT-28, SEC-15
	c := small()
	plain := back(t, oracleTo6(t, c, sample(t, c, "udp", 0, 64, 1, nil)))
	for _, tt := range []struct {
		headers, size int
		want          Verdict
	}{{8, 8, OK}, {9, 8, BadOptions}, {2, 256, OK}, {2, 264, BadOptions}, {8, 64, OK}, {1, 512, OK}, {1, 520, BadOptions}} {
		p := plain
		for range tt.headers {
			p = extension(p, 60, append([]byte{0, byte(tt.size/8 - 1)}, make([]byte, tt.size-2)...))
		}
		b := NewBatch()
		if v := translator(t, c).To4(b, vnethdr.Header{}, p); v != tt.want {
			t.Errorf("%d headers of %d bytes: verdict %v, want %v", tt.headers, tt.size, v, tt.want)
		}
	}
}

// The addresses are those of RFC 6052 section 2.4.
func TestEveryPrefixLengthBothWays(t *testing.T) { // R6052-2, R6052-3, R6052-4, R6052-14, 6052-2, 6052-4, 6052-5
	for prefix, want := range map[string]string{
		"2001:db8::/32":         "2001:db8:c000:221::",
		"2001:db8:100::/40":     "2001:db8:1c0:2:21::",
		"2001:db8:122::/48":     "2001:db8:122:c000:2:2100::",
		"2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
		"2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100:0",
		"2001:db8:122:344::/96": "2001:db8:122:344::c000:221",
	} {
		t.Run(prefix, func(t *testing.T) {
			c := vectorConfig()
			c.Prefix, c.CLAT6 = nat64.MustParse(prefix), netip.MustParseAddr("2001:db9:1:2:c1a7::1")
			in := sample(t, c, "tcp", 0, 64, 0x01bb0050, []byte("hello"))
			six := each(t, c, [][]byte{in})[0]
			if got := netip.AddrFrom16([16]byte(six[24:40])); got != netip.MustParseAddr(want) {
				t.Errorf("destination %v, want %s", got, want)
			}
			if inet(pseudo(six, 40, protoTCP), six[40:]) != 0 {
				t.Error("4to6: the TCP checksum is wrong")
			}
			answer := func(change func(p []byte)) []byte {
				p := back(t, six)
				change(p)
				clear(p[56:58])
				put16(p[56:], inet(pseudo(p, 40, protoTCP), p[40:]))
				return p
			}
			from := map[string][]byte{"as we write it": answer(func([]byte) {})}
			if c.Prefix.Bits() < 96 {
				from["with a suffix"] = answer(func(p []byte) { p[22], p[23] = 0xab, 0xcd })
				verdict(t, c, answer(func(p []byte) { p[16] = 1 }), AnsweredOutside)
			}
			for name, p := range from {
				four := each(t, c, [][]byte{p})[0]
				if got := netip.AddrFrom4([4]byte(four[12:])); got != netip.MustParseAddr("192.0.2.33") {
					t.Errorf("%s: source %v", name, got)
				}
				if inet(four[12:20], []byte{0, protoTCP, 0, byte(len(four) - 20)}, four[20:]) != 0 {
					t.Errorf("6to4, %s: the TCP checksum is wrong", name)
				}
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
