package relay

import "sync/atomic"

// verdict is what became of a packet from the host that belongs to no flow.
type verdict uint8

// The verdicts, in the words of package siit where it has the same.
const (
	droppedNotIP      verdict = iota // version is not 4
	droppedMalformed                 // lengths or header do not agree
	droppedChecksum                  // a transport checksum is wrong
	droppedNotOurs                   // not from the CLAT's address
	droppedMartian                   // to an address that nothing may be sent to
	droppedICMPType                  // ICMP other than an echo request
	droppedOffload                   // offload state that does not fit the packet
	droppedTooLong                   // longer than a read takes
	droppedEcho                      // an echo request where programs may not send them
	droppedOpening                   // a TCP SYN while too many servers have not answered yet
	droppedQueue                     // a datagram that its socket had no room for
	answeredNonGlobal                // non-global IPv4 under the well-known prefix
	answeredProtocol                 // neither TCP, UDP nor ICMP
	answeredFlowLimit                // a new flow while Limits.Flows are there
	numVerdicts
)

var verdictWords = [numVerdicts]string{
	droppedNotIP:      "dropped-not-ip",
	droppedMalformed:  "dropped-malformed",
	droppedChecksum:   "dropped-bad-checksum",
	droppedNotOurs:    "dropped-not-ours",
	droppedMartian:    "dropped-martian",
	droppedICMPType:   "dropped-icmp-type",
	droppedOffload:    "dropped-offload",
	droppedTooLong:    "dropped-too-long",
	droppedEcho:       "dropped-echo-not-permitted",
	droppedOpening:    "dropped-opening-limit",
	droppedQueue:      "dropped-queue-full",
	answeredNonGlobal: "answered-non-global",
	answeredProtocol:  "answered-protocol",
	answeredFlowLimit: "answered-flow-limit",
}

// protocol is one of those that are relayed.
type protocol uint8

const (
	protoTCP protocol = iota
	protoUDP
	protoEcho
	numProtocols
)

var protocolWords = [numProtocols]string{"tcp", "udp", "echo"}

// event is what happens to a flow.
type event uint8

// The events. A flow that was opened ends exactly once.
const (
	flowOpened        event = iota
	flowEnded               // for whatever reason
	flowIdle                // ended: nothing came in its time
	flowResetByHost         // ended: the client's reset was carried over
	flowResetByServer       // ended: the server's reset was carried over
	flowFailed              // ended by another error of its socket
	flowRefused             // the server's port is closed; told to the host
	flowUnreachable         // the network knows no way; told to the host
	flowProhibited          // a firewall's word; told to the host
	flowSilent              // the server does not answer; nothing is told
	flowNoSocket            // the system gives no socket; told to the host
	flowTooBig              // a datagram larger than the path takes; told to the host
	flowGone                // the client was gone before its server answered
	numEvents
)

var eventWords = [numEvents]string{"opened", "ended", "idle", "reset-by-host", "reset-by-server", "failed",
	"refused", "unreachable", "prohibited", "no-answer", "no-socket", "too-big", "client-gone"}

// counters are written by all goroutines and read by anybody.
type counters struct {
	packets     [numVerdicts]atomic.Uint64
	flows       [numProtocols][numEvents]atomic.Uint64
	bytes4to6   atomic.Uint64 // payload
	bytes6to4   atomic.Uint64
	suppressed  atomic.Uint64
	writeErrors atomic.Uint64
}

func (c *counters) packet(v verdict)         { c.packets[v].Add(1) }
func (c *counters) flow(p protocol, e event) { c.flows[p][e].Add(1) }

// Stats returns the counters that are not zero, by name: packets from the host as
// "4to6-dropped-malformed", flows as "tcp-opened" and "udp-refused", payload bytes
// as "4to6-bytes". As many flows are open as were opened and have not ended.
func (r *Relay) Stats() map[string]uint64 {
	out := make(map[string]uint64)
	put := func(name string, v *atomic.Uint64) {
		if n := v.Load(); n > 0 {
			out[name] = n
		}
	}
	for v := range numVerdicts {
		put("4to6-"+verdictWords[v], &r.stats.packets[v])
	}
	for p := range numProtocols {
		for e := range numEvents {
			put(protocolWords[p]+"-"+eventWords[e], &r.stats.flows[p][e])
		}
	}
	put("4to6-bytes", &r.stats.bytes4to6)
	put("6to4-bytes", &r.stats.bytes6to4)
	put("errors-suppressed", &r.stats.suppressed)
	put("write-errors", &r.stats.writeErrors)
	return out
}
