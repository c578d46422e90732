// SPDX-License-Identifier: MIT OR GPL-2.0-only

// Translation of whole TCP, UDP and ICMP echo packets, as tunnel/siit does it
// (RFC 7915). Whatever siit would answer, fragment, drop or compute is left to it:
// a function here either makes exactly siit's packet, or changes nothing and says
// why not. Included by steer.c.

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

struct block {
	__u32 bits; // of prefix
	__be32 addr;
};

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

// flow is what is learned of a packet on the way to its translation.
struct flow {
	__u32 len;  // bytes behind the IP header
	__u32 size; // bytes of IPv4 on the wire at most, segmented
	__u32 slot; // in detours
	__u8 proto;
	struct echo echo;
};

// wire is how many bytes of IPv4 packet come onto the wire at most: head bytes of
// transport header, all of it f->len bytes.
static __always_inline __u32 wire(struct __sk_buff *skb, struct flow *f, __u32 head)
{
	__u32 segment = head + skb->gso_size;

	return IP4_LEN + (skb->gso_size && segment < f->len ? segment : f->len);
}

// judge_tcp, judge_udp and judge_echo look at the upper layer, of which eight bytes
// can be read at least.
static __always_inline int judge_tcp(struct __sk_buff *skb, struct tcp *t, void *end, struct flow *f)
{
	__u32 head;

	if ((void *)(t + 1) > end)
		return MALFORMED;
	head = (t->offset >> 4) * 4;
	if (head < TCP_LEN || head > f->len)
		return MALFORMED;
	f->size = wire(skb, f, head);
	return TRANSLATED;
}

static __always_inline int judge_udp(struct __sk_buff *skb, struct udp *u, struct flow *f)
{
	if (bpf_ntohs(u->len) < UDP_LEN || bpf_ntohs(u->len) > f->len)
		return MALFORMED;
	f->size = wire(skb, f, UDP_LEN);
	return u->check ? TRANSLATED : ZERO_CHECKSUM;
}

static __always_inline int judge_echo(struct __sk_buff *skb, struct echo *e, __u8 request, __u8 reply, struct flow *f)
{
	f->echo = *e;
	f->size = IP4_LEN + f->len;
	if ((e->type != request && e->type != reply) || e->code)
		return ICMP_TYPE;
	return skb->gso_size ? MALFORMED : TRANSLATED;
}

// is_odd tells of packets that only the reader can translate, so that those behind
// them must not overtake.
static __always_inline int is_odd(int v)
{
	return v == TO_FRAGMENT || v == FRAGMENT || v == OPTIONS || v == ZERO_CHECKSUM ||
	       v == KEEPS_ORDER || v == NO_ROOM;
}

// echo_to_six and echo_to_four turn an echo message at offset at into the other
// family's; addrs are the addresses in IPv6.
static __always_inline void echo_to_six(struct __sk_buff *skb, int at, struct flow *f, const __be32 *addrs)
{
	struct echo was = { f->echo.type };
	struct pseudo p = {};

	fill_pseudo(&p, addrs, f->len, f->echo.type == 8 ? 128 : 129);
	change_echo(skb, at, f->echo, p.type, bpf_csum_diff((void *)&was, 4, (void *)&p, sizeof(p), (__u16)~f->echo.check));
}

static __always_inline void echo_to_four(struct __sk_buff *skb, int at, struct flow *f, const __be32 *addrs)
{
	struct echo now = { f->echo.type == 128 ? 8 : 0 };
	struct pseudo p = {};

	fill_pseudo(&p, addrs, f->len, f->echo.type);
	change_echo(skb, at, f->echo, now.type, bpf_csum_diff((void *)&p, sizeof(p), (void *)&now, 4, (__u16)~f->echo.check));
}

// judge_four tells whether an IPv4 packet can be turned into IPv6 here.
static __always_inline int judge_four(struct __sk_buff *skb, struct flow *f)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ip4 *in = data;
	void *upper = in + 1;
	int v;

	if (upper + UDP_LEN > end || in->version_ihl >> 4 != 4)
		return MALFORMED;
	if (bpf_ntohs(in->len) != skb->len || skb->len < IP4_LEN + UDP_LEN)
		return MALFORMED;
	f->len = skb->len - IP4_LEN;
	f->proto = in->proto;
	f->slot = detour(0, in->dst, in->proto);
	if (in->src != clat4)
		return NOT_OURS;
	if (in->version_ihl != 0x45)
		return OPTIONS;
	if (in->frag & bpf_htons(0x3fff))
		return FRAGMENT;
	if (header_sum(in) != 0xffff)
		return BAD_HEADER_CHECKSUM;
	if (!reachable(in->dst))
		return NOT_ALLOWED;
	if (in->ttl <= 1)
		return TTL_EXPIRED;
	if (in->proto == IPPROTO_TCP)
		v = judge_tcp(skb, upper, end, f);
	else if (in->proto == IPPROTO_UDP)
		v = judge_udp(skb, upper, f);
	else if (in->proto == IPPROTO_ICMP)
		v = judge_echo(skb, upper, 8, 0, f);
	else
		return PROTOCOL;
	if (v != TRANSLATED)
		return v;
	if (in->frag & bpf_htons(0x4000)) { // DF: the reader says how much fits
		if (f->size + 20 > mtu6)
			return TOO_BIG;
	} else if (f->size + 20 > lowest_mtu6) {
		return TO_FRAGMENT;
	}
	return follows(f->slot) ? KEEPS_ORDER : TRANSLATED;
}

// make_six turns such a packet into IPv6, with l2 bytes of room before it.
static __always_inline int make_six(struct __sk_buff *skb, int l2, struct flow *f)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ip4 *in = data;
	struct ip6 out = {};
	__be32 old[2];

	if ((void *)(in + 1) > end)
		return MALFORMED;
	out.version_class_label = bpf_htonl(0x60000000 | (in->tos & tos_mask) << 20);
	out.payload_len = bpf_htons(f->len);
	out.next = f->proto == IPPROTO_ICMP ? IPPROTO_ICMPV6 : f->proto;
	out.hops = in->ttl - 1;
	for (int i = 0; i < 4; i++)
		out.src[i] = clat[i];
	embed(out.dst, in->dst);
	old[0] = in->src;
	old[1] = in->dst;
	if (l2 && bpf_skb_change_head(skb, l2, 0))
		return NO_ROOM;
	if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0))
		return LOST;
	// Written by pointer, which is faster than bpf_skb_store_bytes; on its way out no
	// device has summed up the packet.
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (data + l2 + IP6_LEN > end)
		return LOST;
	__builtin_memcpy(data + l2, &out, sizeof(out));
	if (f->proto == IPPROTO_ICMP)
		echo_to_six(skb, l2 + IP6_LEN, f, out.src);
	else if (!neutral)
		fix_transport(skb, l2 + IP6_LEN, f->proto,
			      bpf_csum_diff(old, sizeof(old), out.src, sizeof(out.src) + sizeof(out.dst), 0));
	return TRANSLATED;
}

static __always_inline int to_six(struct __sk_buff *skb, int l2)
{
	struct flow f = {};
	int v = judge_four(skb, &f);

	if (v == TRANSLATED)
		v = make_six(skb, l2, &f);
	if (is_odd(v))
		note(f.slot);
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

// judge_six tells whether an IPv6 packet for the CLAT address, which begins after l2
// bytes, can be turned into IPv4 here, and whose it is.
static __always_inline int judge_six(struct __sk_buff *skb, int l2, struct flow *f, __be32 *peer)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ip6 *in = data + l2;
	void *upper = data + l2 + IP6_LEN;
	__u64 *half = (void *)in->src;
	int v;

	if (upper + UDP_LEN > end || bpf_ntohl(in->version_class_label) >> 28 != 6)
		return MALFORMED;
	f->len = bpf_ntohs(in->payload_len);
	if (f->len < UDP_LEN || l2 + IP6_LEN + f->len != skb->len)
		return MALFORMED;
	if (!in_prefix(in->src, 0) || in->src[2] & bpf_htonl(0xff000000))
		return OUTSIDE_PREFIX;
	*peer = extract(bpf_be64_to_cpu(half[0]), bpf_be64_to_cpu(half[1]));
	f->proto = in->next;
	f->slot = detour(1, *peer, in->next);
	if (is_extension(in->next)) {
		behind(*peer, *(__u8 *)upper);
		return EXTENSION;
	}
	if (!reachable(*peer))
		return NOT_ALLOWED;
	if (in->hops <= 1)
		return TTL_EXPIRED;
	if (in->next == IPPROTO_TCP)
		v = judge_tcp(skb, upper, end, f);
	else if (in->next == IPPROTO_UDP)
		v = judge_udp(skb, upper, f);
	else if (in->next == IPPROTO_ICMPV6)
		v = judge_echo(skb, upper, 128, 129, f);
	else
		return PROTOCOL;
	if (v != TRANSLATED)
		return v;
	if (f->size > mtu4 && f->size > DF_ABOVE)
		return TOO_BIG; // it is answered
	if (f->size > mtu4 || f->len + IP4_LEN > 65535)
		return TO_FRAGMENT;
	return follows(f->slot) ? KEEPS_ORDER : TRANSLATED;
}

// make_four turns such a packet into IPv4.
static __always_inline int make_four(struct __sk_buff *skb, int l2, struct flow *f, __be32 peer)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ip6 *in = data + l2;
	struct ip4 out = { .version_ihl = 0x45, .src = peer, .dst = clat4 };
	__be32 old[8];

	if (data + l2 + IP6_LEN > end)
		return MALFORMED;
	out.tos = bpf_ntohl(in->version_class_label) >> 20 & tos_mask;
	out.len = bpf_htons(f->len + IP4_LEN);
	if (f->size > DF_ABOVE)
		out.frag = bpf_htons(0x4000);
	else
		out.id = bpf_get_prandom_u32();
	out.ttl = in->hops - 1;
	out.proto = f->proto == IPPROTO_ICMPV6 ? IPPROTO_ICMP : f->proto;
	out.check = ~header_sum(&out);
	__builtin_memcpy(old, in->src, sizeof(old));
	if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0))
		return NO_ROOM;
	if (bpf_skb_store_bytes(skb, l2, &out, sizeof(out), BPF_F_RECOMPUTE_CSUM))
		return LOST;
	if (f->proto == IPPROTO_ICMPV6)
		echo_to_four(skb, l2 + IP4_LEN, f, old);
	else if (!neutral)
		fix_transport(skb, l2 + IP4_LEN, f->proto, bpf_csum_diff(old, sizeof(old), &out.src, 8, 0));
	return TRANSLATED;
}

static __always_inline int to_four(struct __sk_buff *skb, int l2)
{
	struct flow f = {};
	__be32 peer = 0;
	int v = judge_six(skb, l2, &f, &peer);

	if (v == TRANSLATED)
		v = make_four(skb, l2, &f, peer);
	if (is_odd(v))
		note(f.slot);
	return v;
}
