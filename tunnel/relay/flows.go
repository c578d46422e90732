package relay

import (
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// flow is one of those that are carried.
type flow interface {
	// abort ends it soon, whatever it is doing. It does not wait.
	abort()
}

// tuple is what makes a UDP or echo flow: of an echo the ports are its identifier
// and 0.
type tuple struct {
	proto    protocol
	src, dst netip.AddrPort
}

// flows are all flows there are, and their bounds. All methods are safe for
// concurrent use; none blocks.
type flows struct {
	limits Limits

	mu      sync.Mutex
	ended   bool // abort was called: nothing begins any more
	tcp     map[*tcpFlow]struct{}
	others  map[tuple]*datagrams
	opening map[stack.TransportEndpointID][8]byte // TCP header's first bytes of connections without an answer yet
	share   atomic.Int64                          // bytes each way that a TCP flow may keep waiting; written under mu
}

func (f *flows) init(l Limits) {
	f.limits = l
	f.share.Store(int64(shareOf(l.Memory, 1)))
	f.tcp = make(map[*tcpFlow]struct{})
	f.others = make(map[tuple]*datagrams)
	f.opening = make(map[stack.TransportEndpointID][8]byte)
}

// A flow's buffers, each way, hold at least minShare bytes and at most maxShare. With
// the default limits as many flows as there may be fit into the memory.
const minShare, maxShare = 4 << 10, 4 << 20

// shareOf divides the memory among n flows, as if their number were the next power
// of two, so that it changes seldom.
func shareOf(memory, n int) int {
	return min(max(memory/2>>bits.Len(uint(max(n, 1)-1)), minShare), maxShare)
}

// nextShare is the share of n flows that had the share now: less at once, so that the
// memory suffices, more only when there would be room for twice as many, so that it
// does not swing.
func nextShare(memory, now, n int) int {
	return min(max(now, shareOf(memory, 2*n)), shareOf(memory, n))
}

// pieceOf is how much a flow with that share takes from its server at a time, in bytes.
// Of many flows each gets less of the processor, and the host's sockets fill up: with
// their first 128 KiB Linux drops the second of two packets of 64 KiB.
func pieceOf(share int) int { return min(mostRead, max(share/8, minShare)) }

// full tells whether no further flow may begin. The caller holds f.mu.
func (f *flows) full() bool {
	return f.ended || len(f.tcp)+len(f.others)+len(f.opening) >= f.limits.Flows
}

// place is what became of the wish to open a TCP connection.
type place uint8

const (
	placeTaken  place = iota // go on
	placeThere               // it is being opened already
	placeNoFlow              // Limits.Flows
	placeNoOpen              // Limits.Opening
)

// open takes a place for a TCP connection; hdr is the beginning of its SYN.
func (f *flows) open(id stack.TransportEndpointID, hdr [8]byte) place {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, there := f.opening[id]
	switch {
	case there:
		return placeThere
	case f.full():
		return placeNoFlow
	case len(f.opening) >= f.limits.Opening:
		return placeNoOpen
	}
	f.opening[id] = hdr
	return placeTaken
}

// opened gives the place back, and says what was kept there.
func (f *flows) opened(id stack.TransportEndpointID) [8]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	hdr := f.opening[id]
	delete(f.opening, id)
	return hdr
}

// add puts a connection that stands in the place of the one that was being opened.
// It is false when all ends. The share of all flows changes when there are many.
func (f *flows) add(t *tcpFlow, id stack.TransportEndpointID) bool {
	f.mu.Lock()
	delete(f.opening, id)
	if f.ended {
		f.mu.Unlock()
		return false
	}
	f.tcp[t] = struct{}{}
	all := f.divide()
	f.mu.Unlock()
	t.resize(&f.share)
	resizeAll(all, &f.share)
	return true
}

// divide follows the number of flows. It returns those to be resized: all, or none.
// The caller holds f.mu.
func (f *flows) divide() []*tcpFlow {
	now := int(f.share.Load())
	next := nextShare(f.limits.Memory, now, len(f.tcp))
	if next == now {
		return nil
	}
	f.share.Store(int64(next))
	return slices.Collect(maps.Keys(f.tcp))
}

func resizeAll(all []*tcpFlow, share *atomic.Int64) {
	for _, t := range all {
		t.resize(share)
	}
}

// remove takes a connection out. The others' share may grow.
func (f *flows) remove(t *tcpFlow) {
	f.mu.Lock()
	delete(f.tcp, t)
	all := f.divide()
	f.mu.Unlock()
	resizeAll(all, &f.share)
}

// find returns the flow of a datagram; if there is none, full says that none may
// begin.
func (f *flows) find(k tuple) (d *datagrams, full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d = f.others[k]; d != nil {
		return d, false
	}
	return nil, f.full()
}

// put adds a flow that find did not find. It is false when all ends.
func (f *flows) put(d *datagrams) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	f.others[d.key] = d
	return true
}

func (f *flows) drop(d *datagrams) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.others, d.key)
}

// abort ends all flows, and lets none begin.
func (f *flows) abort() {
	f.mu.Lock()
	f.ended = true
	var all []flow
	for t := range f.tcp {
		all = append(all, t)
	}
	for _, d := range f.others {
		all = append(all, d)
	}
	f.mu.Unlock()
	for _, x := range all {
		x.abort()
	}
}
