// SPDX-License-Identifier: MIT OR GPL-2.0-only
//go:build ignore

// Steering for the user-space datapath: what the NAT64 sends to the CLAT
// address goes from the uplink to the TUN's reader, and the IPv6 that the reader
// writes goes from the TUN to the uplink. Nothing is rewritten.
//
// Every program exists for Ethernet and for raw IP uplinks, so that packet
// offsets are compile-time constants: with variable ones the verifier wants
// CAP_PERFMON too.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_PREFIXES 4
#define IP6_LEN 40

// The kernel lets the next program decide: TC_ACT_UNSPEC, the same as TCX_NEXT.
#define NEXT TC_ACT_UNSPEC

// Set before loading. Addresses are in network byte order.
volatile const __u32 tun_index;
volatile const __u32 uplink_index;
volatile const __be32 clat[4];
volatile const __u32 prefix_count;
volatile const struct prefix {
	__be32 net[4];
	__be32 mask[4];
} prefixes[MAX_PREFIXES];

// The order is that of counterNames in bpf.go.
enum counter {
	INGRESS_REDIRECTED,
	INGRESS_NEIGHBOUR_DISCOVERY,
	INGRESS_PASSED_OTHER,
	EGRESS_REDIRECTED,
	EGRESS_DROPPED,
	REDIRECT_FAILED,
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

// RFC 8200 section 3. Declared here: <linux/ipv6.h> brings much along.
struct ip6 {
	__be32 version_class_label;
	__be16 payload_len;
	__u8 next;
	__u8 hops;
	__be32 src[4];
	__be32 dst[4];
};

static __always_inline int count(__u32 which, int verdict)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &which);

	if (n)
		(*n)++;
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

static __always_inline int in_prefixes(const __be32 *a)
{
#pragma unroll
	for (int i = 0; i < MAX_PREFIXES; i++) {
		if (i < prefix_count &&
		    !(((a[0] & prefixes[i].mask[0]) ^ prefixes[i].net[0]) |
		      ((a[1] & prefixes[i].mask[1]) ^ prefixes[i].net[1]) |
		      ((a[2] & prefixes[i].mask[2]) ^ prefixes[i].net[2]) |
		      ((a[3] & prefixes[i].mask[3]) ^ prefixes[i].net[3])))
			return 1;
	}
	return 0;
}

// to_clat decides about a packet whose destination is the CLAT address.
static __always_inline int to_clat(struct __sk_buff *skb, const struct ip6 *ip, int l2)
{
	if (ip->next == IPPROTO_ICMPV6) {
		__u8 type;

		if (bpf_skb_load_bytes(skb, l2 + IP6_LEN, &type, sizeof(type)))
			return count(INGRESS_PASSED_OTHER, NEXT);
		// The kernel owns the address and solicits neighbours from it (RFC
		// 4861; MLD RFC 2710, 3810). Without the answers no neighbour
		// would ever resolve.
		if ((type >= 130 && type <= 137) || type == 143)
			return count(INGRESS_NEIGHBOUR_DISCOVERY, NEXT);
		// Errors come from any router on the way (RFC 4443 section 2.1).
		if (type >= 1 && type <= 4)
			return redirected(INGRESS_REDIRECTED, bpf_redirect(tun_index, 0));
	}
	if (in_prefixes(ip->src))
		return redirected(INGRESS_REDIRECTED, bpf_redirect(tun_index, 0));
	return count(INGRESS_PASSED_OTHER, NEXT);
}

static __always_inline int uplink_ingress(struct __sk_buff *skb, int l2)
{
	struct ip6 ip;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || skb->vlan_present)
		return NEXT;
	// A frame for another station is seen here on a promiscuous uplink.
	if (l2 && skb->pkt_type != PACKET_HOST)
		return NEXT;
	if (bpf_skb_load_bytes(skb, l2, &ip, sizeof(ip)) || !is_clat(ip.dst))
		return NEXT;
	return to_clat(skb, &ip, l2);
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
	if (!l2)
		return redirected(EGRESS_REDIRECTED, bpf_redirect(uplink_index, 0));
	// bpf_redirect_neigh drops packets that have no room for a MAC header. The
	// bytes stay zero until the neighbour is known.
	if (bpf_skb_change_head(skb, l2, 0))
		return count(REDIRECT_FAILED, TC_ACT_SHOT);
	return redirected(EGRESS_REDIRECTED, bpf_redirect_neigh(uplink_index, 0, 0, 0));
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

char __license[] SEC("license") = "Dual MIT/GPL";
