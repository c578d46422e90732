// SPDX-License-Identifier: MIT OR GPL-2.0-only

// Headers and checksums. Included by steer.c.

#define IP6_LEN 40
#define IP4_LEN 20
#define TCP_LEN 20
#define UDP_LEN 8

// RFC 8200 section 3. Declared here: <linux/ipv6.h> brings much along.
struct ip6 {
	__be32 version_class_label;
	__be16 payload_len;
	__u8 next;
	__u8 hops;
	__be32 src[4];
	__be32 dst[4];
};

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
	__be32 addrs[8];
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

// change_echo writes type and checksum of an echo message at offset at; sum is the
// checksum's complement with what has changed.
static __always_inline void change_echo(struct __sk_buff *skb, int at, struct echo e, __u8 type, __s64 sum)
{
	e.type = type;
	e.check = ~fold((__u64)sum & 0xffffffff);
	bpf_skb_store_bytes(skb, at, &e, 4, BPF_F_RECOMPUTE_CSUM);
}

static __always_inline void fill_pseudo(struct pseudo *p, const __be32 *addrs, __u32 len, __u8 type)
{
	__builtin_memcpy(p->addrs, addrs, sizeof(p->addrs));
	p->len = bpf_htonl(len);
	p->next = bpf_htonl(IPPROTO_ICMPV6);
	p->type = type;
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
