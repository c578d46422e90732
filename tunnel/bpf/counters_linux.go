package bpf

import (
	"fmt"
	"net"
)

// counterNames are the keys of Counters, in the order of enum counter in steer.c.
var counterNames = [...]string{
	"ingress-redirected",          // for the CLAT address, to the TUN's reader
	"ingress-neighbour-discovery", // for the CLAT address, ICMPv6 130 to 137 and 143, left to the kernel
	"ingress-passed-other",        // for the CLAT address, from elsewhere, left to the kernel
	"egress-redirected",           // from the TUN's reader, to the uplink
	"egress-dropped",              // from the TUN's reader, with a source or destination that may not leave
	"redirect-failed",             // dropped since the kernel refused the redirect
}

// reasonNames are what comes after "4to6-" and "6to4-", in the order of enum reason
// in steer.c. The words after "left-" are those of siit, where it has one.
var reasonNames = [...]string{
	"translated",
	"left-malformed",
	"left-bad-header-checksum",
	"left-not-ours",
	"left-non-global", // or no destination at all
	"left-outside-prefix",
	"left-ttl-expired",
	"left-too-big",
	"left-to-be-fragmented",
	"left-fragment",
	"left-options",
	"left-extension-header",
	"left-protocol", // neither TCP, UDP nor ICMP
	"left-icmp-type",
	"left-zero-checksum",
	"left-to-keep-order", // behind another that was left
	"left-no-room",       // the kernel did not make room for the longer header
	"dropped-no-room",    // the same, when the packet was changed already
}

// tally is struct tally of steer.c.
type tally struct{ Packets, Bytes uint64 }

func (s *Steering) counters() (map[string]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded == nil {
		return nil, fmt.Errorf("read steering counters: %w", net.ErrClosed)
	}
	out := make(map[string]uint64, len(counterNames))
	var perCPU []tally
	sum := func(i int) (t tally, err error) {
		if err := s.loaded.counters.Lookup(uint32(i), &perCPU); err != nil {
			return t, fmt.Errorf("read steering counter %d: %w", i, err)
		}
		for _, one := range perCPU {
			t.Packets += one.Packets
			t.Bytes += one.Bytes
		}
		return t, nil
	}
	for i, name := range counterNames {
		t, err := sum(i)
		if err != nil {
			return nil, err
		}
		out[name] = t.Packets
	}
	if s.conf.Translate == nil && !s.translated {
		return out, nil
	}
	for d, direction := range []string{"4to6-", "6to4-"} {
		for i, name := range reasonNames {
			t, err := sum(len(counterNames) + d*len(reasonNames) + i)
			if err != nil {
				return nil, err
			}
			out[direction+name] = t.Packets
			if i == 0 {
				out[direction+"bytes"] = t.Bytes
			}
		}
	}
	return out, nil
}
