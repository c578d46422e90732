// SPDX-License-Identifier: MIT OR GPL-2.0-only
//go:build ignore

// Steering for both datapaths: what the NAT64 sends to the CLAT address goes from
// the uplink to the TUN's reader, and the IPv6 that the reader writes goes from
// the TUN to the uplink. With translation, what translate.h can do does not get to
// the reader at all: the IPv4 that the host sends leaves the TUN's egress for the
// uplink as IPv6, and what comes from the NAT64 enters the TUN's ingress as IPv4.
//
// Every program exists for Ethernet and for raw IP uplinks, so that packet
// offsets are compile-time constants: with variable ones the verifier wants
// CAP_PERFMON too.

#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "headers.h"

#define MAX_PREFIXES 4
#define AF_INET6 10

// The kernel lets the next program decide: TC_ACT_UNSPEC, the same as TCX_NEXT.
#define NEXT TC_ACT_UNSPEC

// Set before loading. Addresses are in network byte order.
volatile const __u32 tun_index;
volatile const __u32 uplink_index;
volatile const __be32 clat[4];
// The router on the uplink, all zero when the kernel has to look it up.
volatile const __be32 next_hop[4];
volatile const __u32 has_next_hop;
volatile const __u32 prefix_count;
volatile const struct prefix {
	__be32 net[4];
	__be32 mask[4];
} prefixes[MAX_PREFIXES];

// What became of a packet that could be translated: it was, or why it was left to
// the reader. The order is that of reasonNames in counters_linux.go.
enum reason {
	TRANSLATED,
	MALFORMED,
	BAD_HEADER_CHECKSUM,
	NOT_OURS,
	NOT_ALLOWED,
	OUTSIDE_PREFIX,
	TTL_EXPIRED,
	TOO_BIG,
	TO_FRAGMENT,
	FRAGMENT,
	OPTIONS,
	EXTENSION,
	PROTOCOL,
	ICMP_TYPE,
	ZERO_CHECKSUM,
	KEEPS_ORDER,
	NO_ROOM,
	LOST, // dropped: the kernel refused half-way
	REASONS,
};

// The order is that of counterNames in counters_linux.go; after them come the
// reasons, for IPv4 to IPv6 and for IPv6 to IPv4.
enum counter {
	INGRESS_REDIRECTED,
	INGRESS_NEIGHBOUR_DISCOVERY,
	INGRESS_PASSED_OTHER,
	EGRESS_REDIRECTED,
	EGRESS_DROPPED,
	REDIRECT_FAILED,
	TO_SIX,
	TO_FOUR = TO_SIX + REASONS,
	COUNTERS = TO_FOUR + REASONS,
};

struct tally {
	__u64 packets;
	__u64 bytes; // of IP, before translation
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, struct tally);
} counters SEC(".maps");

static __always_inline void tally(__u32 which, __u32 bytes)
{
	struct tally *n = bpf_map_lookup_elem(&counters, &which);

	if (n) {
		n->packets++;
		n->bytes += bytes;
	}
}

static __always_inline int count(__u32 which, int verdict)
{
	tally(which, 0);
	return verdict;
}

// redirected counts what a redirect helper said. The redirect itself happens
// later, and what fails then can only be seen in the devices' counters.
static __always_inline int redirected(__u32 which, long verdict)
{
	if (verdict != TC_ACT_REDIRECT)
		return count(REDIRECT_FAILED, TC_ACT_SHOT);
	return count(which, TC_ACT_REDIRECT);
}

static __always_inline int is_clat(const __be32 *a)
{
	return !((a[0] ^ clat[0]) | (a[1] ^ clat[1]) | (a[2] ^ clat[2]) | (a[3] ^ clat[3]));
}

static __always_inline int in_prefix(const __be32 *a, int i)
{
	return !(((a[0] & prefixes[i].mask[0]) ^ prefixes[i].net[0]) |
		 ((a[1] & prefixes[i].mask[1]) ^ prefixes[i].net[1]) |
		 ((a[2] & prefixes[i].mask[2]) ^ prefixes[i].net[2]) |
		 ((a[3] & prefixes[i].mask[3]) ^ prefixes[i].net[3]));
}

static __always_inline int in_prefixes(const __be32 *a)
{
#pragma unroll
	for (int i = 0; i < MAX_PREFIXES; i++) {
		if (i < prefix_count && in_prefix(a, i))
			return 1;
	}
	return 0;
}

// linear makes the first n bytes of a packet readable by pointer.
static __always_inline int linear(struct __sk_buff *skb, __u32 n)
{
	if ((void *)(long)skb->data + n <= (void *)(long)skb->data_end)
		return 1;
	return skb->len >= n && !bpf_skb_pull_data(skb, n);
}

#include "translate.h"

// to_reader gives the TUN's reader an IPv6 packet of the uplink.
static __always_inline int to_reader(void)
{
	return redirected(INGRESS_REDIRECTED, bpf_redirect(tun_index, 0));
}

// to_clat decides about a packet whose destination is the CLAT address and which
// begins after l2 bytes. Its header, and eight bytes more if there are, can be read.
static __always_inline int to_clat(struct __sk_buff *skb, int l2)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ip6 *ip = data + l2;
	__u32 bytes;
	int v;

	if (data + l2 + IP6_LEN > end)
		return NEXT;
	if (ip->next == IPPROTO_ICMPV6) {
		__u8 *type = data + l2 + IP6_LEN;

		if ((void *)(type + 1) > end)
			return count(INGRESS_PASSED_OTHER, NEXT);
		// The kernel owns the address and solicits neighbours from it (RFC
		// 4861; MLD RFC 2710, 3810). Without the answers no neighbour
		// would ever resolve.
		if ((*type >= 130 && *type <= 137) || *type == 143)
			return count(INGRESS_NEIGHBOUR_DISCOVERY, NEXT);
		// Errors come from any router on the way (RFC 4443 section 2.1).
		if (*type >= 1 && *type <= 4)
			return to_reader();
	}
	if (!in_prefixes(ip->src))
		return count(INGRESS_PASSED_OTHER, NEXT);
	if (!translates)
		return to_reader();
	bytes = skb->len - l2;
	if (ip->payload_len && bpf_ntohs(ip->payload_len) + IP6_LEN < bytes) { // padding of the link
		bytes = bpf_ntohs(ip->payload_len) + IP6_LEN;
		bpf_skb_change_tail(skb, l2 + bytes, 0);
	}
	if (!linear(skb, l2 + IP6_LEN + TCP_LEN))
		linear(skb, l2 + IP6_LEN + UDP_LEN);
	v = to_four(skb, l2);
	tally(TO_FOUR + v, bytes);
	if (v == LOST)
		return TC_ACT_SHOT;
	if (v != TRANSLATED)
		return to_reader();
	v = bpf_redirect(tun_index, BPF_F_INGRESS);
	return v == TC_ACT_REDIRECT ? v : count(REDIRECT_FAILED, TC_ACT_SHOT);
}

static __always_inline int uplink_ingress(struct __sk_buff *skb, int l2)
{
	void *data, *end;
	struct ip6 *ip;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || skb->vlan_present)
		return NEXT;
	// A frame for another station is seen here on a promiscuous uplink.
	if (l2 && skb->pkt_type != PACKET_HOST)
		return NEXT;
	if (!linear(skb, l2 + IP6_LEN + 1))
		linear(skb, l2 + IP6_LEN);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ip = data + l2;
	if (data + l2 + IP6_LEN > end || !is_clat(ip->dst))
		return NEXT;
	return to_clat(skb, l2);
}

// to_uplink sends an IPv6 packet, before which are l2 bytes for a MAC header. They
// stay zero until the neighbour is known.
static __always_inline int to_uplink(int l2)
{
	struct bpf_redir_neigh to = { .nh_family = AF_INET6 };

	if (!l2)
		return bpf_redirect(uplink_index, 0);
	if (!has_next_hop)
		return bpf_redirect_neigh(uplink_index, 0, 0, 0);
	for (int i = 0; i < 4; i++)
		to.ipv6_nh[i] = next_hop[i];
	return bpf_redirect_neigh(uplink_index, &to, sizeof(to), 0);
}

// tun_egress sees what the host sends into the TUN, and the IPv6 that was given to
// its reader.
static __always_inline int tun_egress(struct __sk_buff *skb, int l2)
{
	void *data, *end;
	struct ip4 *ip;
	__u32 bytes = skb->len;
	int v;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return NEXT;
	if (!linear(skb, IP4_LEN + TCP_LEN))
		linear(skb, IP4_LEN + UDP_LEN);
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ip = data;
	if (data + IP4_LEN <= end && bpf_ntohs(ip->len) >= IP4_LEN && bpf_ntohs(ip->len) < bytes) { // padding
		bytes = bpf_ntohs(ip->len);
		bpf_skb_change_tail(skb, bytes, 0);
	}
	v = to_six(skb, l2);
	tally(TO_SIX + v, bytes);
	if (v == LOST)
		return TC_ACT_SHOT;
	if (v != TRANSLATED)
		return NEXT;
	v = to_uplink(l2);
	return v == TC_ACT_REDIRECT ? v : count(REDIRECT_FAILED, TC_ACT_SHOT);
}

static __always_inline int tun_ingress(struct __sk_buff *skb, int l2)
{
	struct ip6 ip;

	if (skb->protocol != bpf_htons(ETH_P_IPV6))
		return NEXT; // IPv4 is for the kernel's applications
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || !is_clat(ip.src))
		return count(EGRESS_DROPPED, TC_ACT_SHOT);
	if ((ip.dst[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000) ||
	    (ip.dst[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000))
		return count(EGRESS_DROPPED, TC_ACT_SHOT);
	// bpf_redirect_neigh drops packets that have no room for a MAC header.
	if (l2 && bpf_skb_change_head(skb, l2, 0))
		return count(REDIRECT_FAILED, TC_ACT_SHOT);
	return redirected(EGRESS_REDIRECTED, to_uplink(l2));
}

SEC("tc")
int reach64_up_eth(struct __sk_buff *skb)
{
	return uplink_ingress(skb, ETH_HLEN);
}

SEC("tc")
int reach64_up_raw(struct __sk_buff *skb)
{
	return uplink_ingress(skb, 0);
}

SEC("tc")
int reach64_tun_eth(struct __sk_buff *skb)
{
	return tun_ingress(skb, ETH_HLEN);
}

SEC("tc")
int reach64_tun_raw(struct __sk_buff *skb)
{
	return tun_ingress(skb, 0);
}

SEC("tc")
int reach64_out_eth(struct __sk_buff *skb)
{
	return tun_egress(skb, ETH_HLEN);
}

SEC("tc")
int reach64_out_raw(struct __sk_buff *skb)
{
	return tun_egress(skb, 0);
}

char __license[] SEC("license") = "Dual MIT/GPL";
