// SPDX-License-Identifier: MIT OR GPL-2.0-only

// Translation of whole TCP, UDP and ICMP echo packets, as tunnel/siit does it
// (RFC 7915). Whatever siit would answer, fragment, drop or compute is left to it:
// a function here either makes exactly siit's packet, or changes nothing and says
// why not. Included by steer.c.

#define IP4_LEN 20
#define TCP_LEN 20
#define UDP_LEN 8
// IPv4 packets up to this many bytes may be fragmented (RFC 7915 section 5.1).
#define DF_ABOVE 1260

// What translation needs to know. Set before loading; all zero without translation.
volatile const __u32 translates;	// 1: the programs translate, 0: they only steer
volatile const __be32 clat4;
volatile const __u64 prefix_hi, prefix_lo; // the NAT64 prefix, host order
// The IPv4 address stands in an IPv6 one at these places (RFC 6052 section 2.2).
volatile const __u64 hi_shift, lo_shift, lo_mask;
volatile const __u32 neutral;	// 1: addresses and prefix leave all checksums alone
volatile const __u32 mtu4, mtu6, lowest_mtu6; // bytes
volatile const __u32 tos_mask;
volatile const __u64 pause_jiffies; // how long a flow must pause to leave the reader
// By first octet: 0 no such destination, 1 all may be reached, 2 see blocks.
volatile const __u8 octets[256];

// blocks has parts of IPv4 that may be reached (1) or not (0); the longest counts.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct block);
	__type(value, __u8);
} blocks SEC(".maps");

// detours remembers when a packet last went to the reader that could have been
// translated there, by peer, protocol and direction. As long as the flow has not
// paused since, what follows goes there too, and cannot overtake it.
#define DETOURS 1024
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * DETOURS);
	__type(key, __u32);
	__type(value, __u64);
} detours SEC(".maps");

// RFC 791 section 3.1.
struct ip4 {
	__u8 version_ihl;
	__u8 tos;
	__be16 len;
	__be16 id;
	__be16 frag;
	__u8 ttl;
	__u8 proto;
	__u16 check;
	__be32 src;
	__be32 dst;
};

struct tcp {
	__be16 src, dst;
	__be32 seq, ack;
	__u8 offset, flags;
	__be16 window;
	__u16 check;
	__be16 urgent;
};

struct udp {
	__be16 src, dst, len;
	__u16 check;
};

struct echo {
	__u8 type, code;
	__u16 check;
	__be16 id, seq;
};

// pseudo is what the ICMPv6 checksum covers before the message (RFC 8200 section
// 8.1), and the word of the message that differs between the families.
struct pseudo {
	__be32 src[4], dst[4];
	__be32 len, next;
	__u8 type, code, zero[2];
};

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum;
}

// header_sum is 0xffff when the checksum is right.
static __always_inline __u16 header_sum(const struct ip4 *ip)
{
	const __u32 *w = (const void *)ip;

	return fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]);
}

// reachable tells whether an IPv4 address may be the other host's.
static __always_inline int reachable(__be32 addr)
{
	__u32 a = bpf_ntohl(addr);
	__u8 how = octets[a >> 24];
	struct block key = { 32, addr };
	__u8 *may;

	// 192.0.0.0/29 and 192.0.0.8 are CLATs' (RFC 7335, RFC 7600).
	if (!how || addr == clat4 || ((a >> 4) == 0x0c000000 && (a & 15) <= 8))
		return 0;
	if (how == 1)
		return 1;
	may = bpf_map_lookup_elem(&blocks, &key);
	return !may || *may;
}

static __always_inline void embed(__be32 *six, __be32 addr)
{
	__u64 a = bpf_ntohl(addr), *half = (void *)six;

	half[0] = bpf_cpu_to_be64(prefix_hi | a >> hi_shift);
	half[1] = bpf_cpu_to_be64(prefix_lo | (a << lo_shift & lo_mask));
}

static __always_inline __be32 extract(__u64 hi, __u64 lo)
{
	return bpf_htonl((__u32)(hi << hi_shift) | (__u32)((lo & lo_mask) >> lo_shift));
}

static __always_inline __u32 detour(__u32 direction, __be32 peer, __u8 proto)
{
	return direction * DETOURS + ((peer ^ proto * 0x85ebca6b) * 0x9e3779b1 >> 22);
}

// note makes the packets that follow take the same way.
static __always_inline void note(__u32 which)
{
	__u64 *last = bpf_map_lookup_elem(&detours, &which);

	if (last)
		*last = bpf_jiffies64();
}

static __always_inline int follows(__u32 which)
{
	__u64 *last = bpf_map_lookup_elem(&detours, &which);

	return last && bpf_jiffies64() - *last < pause_jiffies;
}

// wire is how many bytes of IP packet come onto the wire at most: ip bytes of IP
// header, head of transport header, all of it len bytes.
static __always_inline __u32 wire(__u32 ip, __u32 head, __u32 len, __u32 gso_size)
{
	if (gso_size && head + gso_size < len)
		return ip + head + gso_size;
	return ip + len;
}

// transport says what is wrong with a header of TCP or UDP of which len bytes
// follow the IP header, and how long it is.
static __always_inline int transport(void *l4, void *end, __u8 proto, __u32 len, __u32 *head)
{
	if (proto == IPPROTO_TCP) {
		struct tcp *t = l4;

		if (l4 + TCP_LEN > end)
			return MALFORMED;
		*head = (t->offset >> 4) * 4;
		if (*head < TCP_LEN || *head > len)
			return MALFORMED;
		// siit makes of it 0, the same number in one's complement.
		return t->check == 0xffff ? ODD_CHECKSUM : TRANSLATED;
	}
	struct udp *u = l4;

	*head = UDP_LEN;
	if (bpf_ntohs(u->len) < UDP_LEN || bpf_ntohs(u->len) > len)
		return MALFORMED;
	return u->check ? TRANSLATED : ZERO_CHECKSUM;
}

// fix_echo turns type and checksum of an echo message at offset at into the other
// family's.
static __always_inline void fix_echo(struct __sk_buff *skb, int at, struct echo e, __s64 sum)
{
	e.check = ~fold((__u64)sum & 0xffffffff);
	bpf_skb_store_bytes(skb, at, &e, 4, BPF_F_RECOMPUTE_CSUM);
}

// fix_transport updates the checksum of a TCP or UDP header at offset at for
// addresses whose sums differ by diff. Zero in UDP would mean none.
static __always_inline void fix_transport(struct __sk_buff *skb, int at, __u8 proto, __s64 diff)
{
	if (proto == IPPROTO_TCP)
		bpf_l4_csum_replace(skb, at + offsetof(struct tcp, check), 0, diff, BPF_F_PSEUDO_HDR);
	else
		bpf_l4_csum_replace(skb, at + offsetof(struct udp, check), 0, diff,
				    BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
}

// to_six turns an IPv4 packet into IPv6, with l2 bytes of room before it.
static __always_inline int to_six(struct __sk_buff *skb, int l2)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 total, len, head = 0, slot, size;
	struct ip4 *in = data;
	struct echo e = {};
	struct pseudo ps = {};
	struct ip6 out = {};
	__be32 old[2];
	__u8 proto;
	__s64 sum = 0;
	int v = TRANSLATED;

	if (data + IP4_LEN + UDP_LEN > end || in->version_ihl >> 4 != 4)
		return MALFORMED;
	total = bpf_ntohs(in->len);
	if (total != skb->len || total < IP4_LEN + UDP_LEN)
		return MALFORMED;
	proto = in->proto;
	slot = detour(0, in->dst, proto);
	if (in->src != clat4)
		return NOT_OURS;
	if (in->version_ihl != 0x45)
		v = OPTIONS;
	else if (in->frag & bpf_htons(0x3fff))
		v = FRAGMENT;
	if (v != TRANSLATED)
		goto odd;
	if (header_sum(in) != 0xffff)
		return BAD_HEADER_CHECKSUM;
	if (!reachable(in->dst))
		return NOT_ALLOWED;
	if (in->ttl <= 1)
		return TTL_EXPIRED;
	len = total - IP4_LEN;
	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP) {
		v = transport(data + IP4_LEN, end, proto, len, &head);
		if (v == MALFORMED)
			return v;
		if (v != TRANSLATED)
			goto odd;
	} else if (proto == IPPROTO_ICMP) {
		e = *(struct echo *)(data + IP4_LEN);
		if ((e.type != 8 && e.type != 0) || e.code)
			return ICMP_TYPE;
		if (skb->gso_size)
			return MALFORMED;
	} else {
		return PROTOCOL;
	}
	size = wire(IP4_LEN, head, len, skb->gso_size);
	if (in->frag & bpf_htons(0x4000)) { // DF: the reader says how much fits
		if (size + 20 > mtu6)
			return TOO_BIG;
	} else if (size + 20 > lowest_mtu6) {
		v = TO_FRAGMENT;
		goto odd;
	}
	if (follows(slot)) {
		v = KEEPS_ORDER;
		goto odd;
	}

	out.version_class_label = bpf_htonl(0x60000000 | (in->tos & tos_mask) << 20);
	out.payload_len = bpf_htons(len);
	out.next = proto == IPPROTO_ICMP ? IPPROTO_ICMPV6 : proto;
	out.hops = in->ttl - 1;
	for (int i = 0; i < 4; i++)
		out.src[i] = clat[i];
	embed(out.dst, in->dst);
	old[0] = in->src;
	old[1] = in->dst;
	if (l2 && bpf_skb_change_head(skb, l2, 0)) {
		v = NO_ROOM;
		goto odd;
	}
	if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0))
		return LOST;
	// Written by pointer, which is faster than bpf_skb_store_bytes; here no device has
	// summed up the packet.
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + l2 + IP6_LEN > end)
		return LOST;
	__builtin_memcpy(data + l2, &out, sizeof(out));
	if (proto == IPPROTO_ICMP) {
		struct echo was = { e.type };

		__builtin_memcpy(ps.src, out.src, sizeof(ps.src) + sizeof(ps.dst));
		ps.len = bpf_htonl(len);
		ps.next = bpf_htonl(IPPROTO_ICMPV6);
		ps.type = e.type = e.type == 8 ? 128 : 129;
		sum = bpf_csum_diff((void *)&was, 4, (void *)&ps, sizeof(ps), (__u16)~e.check);
		fix_echo(skb, l2 + IP6_LEN, e, sum);
	} else if (!neutral) {
		sum = bpf_csum_diff(old, sizeof(old), out.src, sizeof(out.src) + sizeof(out.dst), 0);
		fix_transport(skb, l2 + IP6_LEN, proto, sum);
	}
	return TRANSLATED;
odd:
	note(slot);
	return v;
}

// behind notes all flows that a packet with extension headers may belong to. Each
// begins with the number of what follows.
static __always_inline void behind(__be32 peer, __u8 next)
{
	if (next == IPPROTO_TCP || next == IPPROTO_UDP || next == IPPROTO_ICMPV6) {
		note(detour(1, peer, next));
		return;
	}
	note(detour(1, peer, IPPROTO_TCP));
	note(detour(1, peer, IPPROTO_UDP));
	note(detour(1, peer, IPPROTO_ICMPV6));
}

static __always_inline int is_extension(__u8 next)
{
	return next == 0 || next == 43 || next == 44 || next == 60;
}

// to_four turns an IPv6 packet for the CLAT address into IPv4. It begins after l2
// bytes.
static __always_inline int to_four(struct __sk_buff *skb, int l2)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ip6 *in = data + l2;
	struct pseudo ps = {};
	struct ip4 out = {};
	struct echo e = {};
	__u32 len, head = 0, size, slot;
	__be32 addrs[8];
	__u64 *half;
	__u8 proto;
	__s64 sum;
	int v;

	if (data + l2 + IP6_LEN + UDP_LEN > end || bpf_ntohl(in->version_class_label) >> 28 != 6)
		return MALFORMED;
	len = bpf_ntohs(in->payload_len);
	if (len < UDP_LEN || l2 + IP6_LEN + len != skb->len)
		return MALFORMED;
	if (!in_prefix(in->src, 0) || in->src[2] & bpf_htonl(0xff000000))
		return OUTSIDE_PREFIX;
	half = (void *)in->src;
	out.src = extract(bpf_be64_to_cpu(half[0]), bpf_be64_to_cpu(half[1]));
	proto = in->next;
	slot = detour(1, out.src, proto);
	if (is_extension(proto)) {
		behind(out.src, *(__u8 *)(data + l2 + IP6_LEN));
		return EXTENSION;
	}
	if (!reachable(out.src))
		return NOT_ALLOWED;
	if (in->hops <= 1)
		return TTL_EXPIRED;
	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP) {
		v = transport(data + l2 + IP6_LEN, end, proto, len, &head);
		if (v == MALFORMED)
			return v;
		if (v != TRANSLATED)
			goto odd;
	} else if (proto == IPPROTO_ICMPV6) {
		e = *(struct echo *)(data + l2 + IP6_LEN);
		if ((e.type != 128 && e.type != 129) || e.code)
			return ICMP_TYPE;
		if (skb->gso_size)
			return MALFORMED;
	} else {
		return PROTOCOL;
	}
	size = wire(IP4_LEN, head, len, skb->gso_size);
	if (size > mtu4 && size > DF_ABOVE)
		return TOO_BIG; // it is answered, nothing that could be overtaken
	if (size > mtu4 || len + IP4_LEN > 65535) {
		v = TO_FRAGMENT;
		goto odd;
	}
	if (follows(slot)) {
		v = KEEPS_ORDER;
		goto odd;
	}

	out.version_ihl = 0x45;
	out.tos = bpf_ntohl(in->version_class_label) >> 20 & tos_mask;
	out.len = bpf_htons(len + IP4_LEN);
	if (size > DF_ABOVE)
		out.frag = bpf_htons(0x4000);
	else
		out.id = bpf_get_prandom_u32();
	out.ttl = in->hops - 1;
	out.proto = proto == IPPROTO_ICMPV6 ? IPPROTO_ICMP : proto;
	out.dst = clat4;
	out.check = ~header_sum(&out);
	__builtin_memcpy(addrs, in->src, sizeof(addrs));
	if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0)) {
		v = NO_ROOM;
		goto odd;
	}
	if (bpf_skb_store_bytes(skb, l2, &out, sizeof(out), BPF_F_RECOMPUTE_CSUM))
		return LOST;
	if (proto == IPPROTO_ICMPV6) {
		struct echo now = { e.type == 128 ? 8 : 0 };

		__builtin_memcpy(ps.src, addrs, sizeof(addrs));
		ps.len = bpf_htonl(len);
		ps.next = bpf_htonl(IPPROTO_ICMPV6);
		ps.type = e.type;
		e.type = now.type;
		sum = bpf_csum_diff((void *)&ps, sizeof(ps), (void *)&now, 4, (__u16)~e.check);
		fix_echo(skb, l2 + IP4_LEN, e, sum);
	} else if (!neutral) {
		sum = bpf_csum_diff(addrs, sizeof(addrs), &out.src, 8, 0);
		fix_transport(skb, l2 + IP4_LEN, proto, sum);
	}
	return TRANSLATED;
odd:
	note(slot);
	return v;
}
