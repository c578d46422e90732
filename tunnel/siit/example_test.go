package siit_test

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// A translator for a host that has 192.0.0.1 and 2001:db8:1:2:c1a7::1, in a
// network whose NAT64 prefix is 2001:db8:64:ff9b::/96.
func example() *siit.Translator {
	t, err := siit.New(siit.Config{
		Prefix: nat64.MustParse("2001:db8:64:ff9b::/96"),
		CLAT4:  netip.MustParseAddr("192.0.0.1"),
		CLAT6:  netip.MustParseAddr("2001:db8:1:2:c1a7::1"),
		MTU4:   1480,
		MTU6:   1500,
	})
	if err != nil {
		panic(err)
	}
	return t
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// A UDP datagram to 192.0.2.33 becomes one to 2001:db8:64:ff9b::c000:221.
func ExampleTranslator_Translate() {
	packet := unhex("45000020123440004011a676c0000001c000022113880035000ccb5868693634")
	out := siit.NewBatch()
	direction, verdict := example().Translate(out, vnethdr.Header{}, packet)
	fmt.Println(direction, verdict)
	for _, p := range out.Packets() {
		fmt.Printf("%x\n%x\n", p.Head, p.Tail)
	}
	// Output:
	// 4to6 translated
	// 60000000000c113f20010db800010002c1a700000000000120010db80064ff9b00000000c000022113880035000c6e3c
	// 68693634
}

// A packet whose TTL runs out is answered. The answer may only be sent when the
// limiter says so, which takes the time as an argument.
func ExampleLimiter() {
	packet := unhex("45000020123440000111e576c0000001c000022113880035000ccb5868693634")
	t, out, limit := example(), siit.NewBatch(), siit.Limiter{}
	sent := 0
	for range 100 {
		out.Reset()
		_, verdict := t.Translate(out, vnethdr.Header{}, packet)
		if verdict.Kind() == siit.Answered && limit.Allow(time.Unix(0, 0), verdict) {
			sent++
		}
	}
	fmt.Println(sent, "answers to 100 packets at once")
	// Output: 10 answers to 100 packets at once
}

// An address for a CLAT is chosen so that translation leaves transport checksums
// as they are.
func ExampleNeutralAddr() {
	addr, neutral := siit.NeutralAddr(netip.MustParsePrefix("2001:db8:1:2::/64"), [6]byte{0x02, 0xc1, 0xa7},
		netip.MustParseAddr("192.0.0.1"), nat64.WellKnown())
	fmt.Println(addr, neutral)
	// Output: 2001:db8:1:2:2c1:a700:0:e883 true
}

// What may not pass is dropped with a reason word.
func ExampleVerdict() {
	out := siit.NewBatch()
	direction, verdict := example().Translate(out, vnethdr.Header{}, []byte("not a packet"))
	fmt.Println(direction, verdict.Kind(), verdict, len(out.Packets()))
	// Output: 6to4 dropped dropped-malformed 0
}
