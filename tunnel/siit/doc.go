// Package siit translates IP packets between IPv4 and IPv6 as a host's CLAT
// does: RFC 7915 with one explicit mapping of the host's own pair of addresses
// (RFC 7757) and the network's NAT64 prefix for everybody else (RFC 6052).
//
// It opens nothing, keeps no state of flows and no time. It does not reassemble:
// what needs a whole datagram that is not there is dropped with a reason.
//
// # Use
//
// New checks a Config and returns a Translator, which is immutable and serves any
// number of goroutines. Each goroutine has a Batch for the output:
//
//	out.Reset()
//	direction, verdict := translator.Translate(out, vnethdr.Header{}, packet)
//	for _, p := range out.Packets() {
//		send(p.Hdr, p.Head, p.Tail)
//	}
//
// Each input gives one Verdict, whose Kind is Translated (the Batch holds one
// packet or more for the other side), Answered (it holds one ICMP error for the
// sender, which a Limiter must let pass) or Dropped (it holds nothing). Its text
// is the reason word.
//
// The input is never modified, and nothing past it is read. An output packet is
// a Head, which belongs to the Batch until its Reset, and a Tail, which is a part
// of the input: only headers are rewritten, so that a super-packet of 64 KiB
// costs what a small packet costs. Nothing is allocated once a Batch has grown,
// and no input makes it panic.
//
// # What is translated
//
// TCP, UDP, DCCP and UDP-Lite with their checksums, ICMP echo, ICMP errors with
// what they quote and with their extensions (RFC 4884), and any other transport
// by its IP header alone. IPv4 options and IPv6 extension headers are left out.
// Fragments of all forms pass both ways, but those of ICMP: the checksum of ICMPv6
// covers a length that no fragment shows. An IPv4 packet that may be fragmented
// is cut to Config.LowestMTU6, an IPv6 packet that IPv4 may fragment to
// Config.MTU4; what may not be cut and does not fit is answered.
//
// # Offload
//
// A vnethdr.Header tells of work that the kernel left to a device: a checksum of
// which only the pseudo-header's part is there, and segmentation. Both are
// carried over to the other family. A super-packet is cut in software only when
// its segments have to be fragmented, or when it is longer than IPv4 can say.
package siit
