package netns

// difference is where tayga 0.9.2 and siit part. name may hold * for several
// packets of the corpus.
type difference struct {
	name  string
	right string // who obeys the text: siit, tayga, both
	why   string // what each does, and the section that decides
}

// dontFragment is the difference in nearly every packet from IPv6 that tayga
// makes, so that all else in it is compared by itself.
var dontFragment = difference{"DF=1 in packets of 1260 bytes and less", "siit",
	"tayga follows RFC 6145 section 5.1; RFC 7915 section 5.1 wants DF=0 up to 1260 bytes"}

var differences = []difference{
	{"4to6 protocol 33", "both", "tayga leaves DCCP's checksum; correcting it is optional (RFC 7915 section 4.5)"},
	{"4to6 protocol 136", "both", "the same with UDP-Lite"},
	{"6to4 protocol 33", "both", "the same from IPv6 (RFC 7915 section 5.5)"},
	{"6to4 protocol 136", "both", "the same from IPv6"},
	{"4to6 protocol 0", "tayga", "copied by the letter of RFC 7915 section 4.1, and then a Hop-by-Hop header; siit says that it is prohibited"},
	{"4to6 protocol 43", "tayga", "the same with the Routing header"},
	{"4to6 protocol 44", "tayga", "the same with the Fragment header"},
	{"4to6 protocol 60", "tayga", "the same with Destination Options"},
	{"4to6 protocol 135", "tayga", "the same with the Mobility header"},
	{"4to6 protocol 58", "tayga", "the same with ICMPv6, whose checksum cannot be right then"},
	{"4to6 protocol 2", "siit", "IGMP means one link: silently dropped (RFC 7915 section 4.2)"},
	{"6to4 protocol 1", "tayga", "ICMPv4 inside IPv6, copied by the letter of RFC 7915 section 5.1"},
	{"6to4 protocol 2", "tayga", "IGMP inside IPv6: the same"},
	{"6to4 protocol 59", "tayga", "No Next Header: the same; there is nothing to be delivered"},
	{"4to6 UDP without checksum", "both", "tayga drops it, siit computes one: RFC 7915 section 4.5 wants both to be configurable"},
	{"4to6 UDP whose IPv6 checksum would be 0", "siit", "tayga sends 0, which no IPv6 host takes: ffff (RFC 8200 section 8.1)"},
	{"4to6 TTL 0", "siit", "tayga is silent, siit answers Time Exceeded (RFC 7915 section 4.1, RFC 1812 section 5.3.1)"},
	{"6to4 Hop Limit 0", "siit", "the same from IPv6 (RFC 7915 section 5.1, RFC 4443 section 3.3)"},
	{"4to6 * source route", "siit", "tayga passes it without its route; it must be discarded and should be answered 3/5 (RFC 7915 section 4.1)"},
	{"4to6 option past the header", "both", "a malformed option: tayga ignores it as any option, siit drops the packet"},
	{"6to4 Routing header, segments left", "siit", "tayga passes it; it must not be translated, and 4/0 should say so (RFC 7915 section 5.1)"},
	{"4to6 to link-local", "both", "both drop; siit says that it is prohibited (RFC 7915 section 4.4)"},
	{"6to4 from link-local", "siit", "tayga answers 1/5; the type and code must be 1/1 (RFC 7915 section 5.4)"},
	{"6to4 from outside the prefix", "siit", "the same"},
	{"6to4 from multicast", "siit", "tayga answers; an illegal source is dropped silently (RFC 7915 section 5.1)"},
	{"6to4 from broadcast", "siit", "the same"},
	{"6to4 from loopback", "siit", "the same"},
	{"6to4 from the CLAT's own IPv4 address", "siit", "tayga answers; a spoofed source gets no answer (RFC 6052 section 5.1)"},
	{"4to6 to network 0", "siit", "tayga translates 0.0.0.1, which is no destination (RFC 1812 section 5.3.7)"},
	{"6to4 from network 0", "siit", "the same as a source (RFC 7915 section 5.1)"},
	{"4to6 *, large fragment with DF=1", "siit", "tayga cuts it; with DF=1 Fragmentation Needed is due (RFC 7915 section 4), with room for the Fragment Header"},
	{"6to4 AH in a fragment", "siit", "tayga passes it; lengths would be wrong, so it should be dropped (RFC 7915 section 5.1.1)"},
	{"6to4 Destination Options in a fragment", "siit", "the same"},
	{"4to6 Parameter Problem, pointer *", "siit", "tayga drops every Parameter Problem; the table is RFC 7915 figure 3"},
	{"4to6 error 12/2, pointer 8", "siit", "the same with code 2"},
	{"6to4 Parameter Problem, pointer *", "siit", "the same from IPv6, RFC 7915 figure 6"},
	{"?to? error, 8 bytes of TCP quoted", "siit", "tayga wants the whole TCP header; 8 bytes are all that RFC 792 promises"},
	{"4to6 error, echo with a wrong checksum quoted", "both", "tayga drops it; a quoted checksum is not checked (RFC 7915 section 4.3)"},
	{"4to6 error about a packet that was not for the host", "siit", "tayga translates what cannot be an answer; nobody takes it"},
	{"4to6 error, UDP without checksum quoted", "siit", "tayga drops the error for the packet in it; only the packet itself is concerned (RFC 7915 section 4.5)"},
	{"4to6 error, first fragment quoted", "siit", "tayga leaves the Fragment Header out of the quote (RFC 7915 section 4.3)"},
	{"?to? error with an extension", "siit", "tayga loses the extension and leaves its length attribute (RFC 7915 sections 4.2 and 5.2, RFC 4884)"},
	{"6to4 error 1/3", "siit", "tayga drops Address Unreachable; it is 3/1 (RFC 7915 section 5.2)"},
	{"6to4 Packet Too Big, MTU 0", "both", "tayga drops it; nothing below 1280 is believed (RFC 8201 section 4), siit takes it for 1280"},
	{"6to4 Packet Too Big, MTU 576", "siit", "tayga says 556; nothing below 1280 is believed (RFC 8201 section 4)"},
	{"6to4 Packet Too Big, MTU 1279", "siit", "the same"},
	{"6to4 Packet Too Big, first fragment quoted", "siit", "tayga says 1380, and the packet had 28 bytes more: 1372 (RFC 7915 section 5.2)"},
	{"6to4 error 1/0 of a router outside the prefix", "both", "tayga gives its own address as the source, siit 192.0.0.8 (RFC 6791, RFC 7600)"},
	{"6to4 error 2/0 of a router outside the prefix", "both", "the same"},
	{"6to4 error 3/0 of a router outside the prefix", "siit", "tayga drops it: traceroute shows no such router (RFC 6791)"},
	{"6to4 error 4/0 of a router outside the prefix", "siit", "tayga drops every Parameter Problem"},
}
