package relay

import (
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"sync"

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
	share   int                                   // bytes each way that a TCP flow may keep waiting
}

func (f *flows) init(l Limits) {
	f.limits, f.share = l, shareOf(l.Memory, 1)
	f.tcp = make(map[*tcpFlow]struct{})
	f.others = make(map[tuple]*datagrams)
	f.opening = make(map[stack.TransportEndpointID][8]byte)
}

// A flow's buffers, each way, hold at least minShare bytes and at most maxShare.
const minShare, maxShare = 16 << 10, 4 << 20

// shareOf divides the memory among n flows, as if their number were the next power
// of two, so that it changes seldom.
func shareOf(memory, n int) int {
	return min(max(memory/2>>bits.Len(uint(n-1)), minShare), maxShare)
}

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
	share, changed := f.resized()
	var all []*tcpFlow
	if changed {
		all = slices.Collect(maps.Keys(f.tcp))
	}
	f.mu.Unlock()
	t.resize(share)
	for _, o := range all {
		o.resize(share)
	}
	return true
}

// resized follows the number of flows: down at once, up only when a quarter is
// left, so that it does not swing. The caller holds f.mu.
func (f *flows) resized() (share int, changed bool) {
	n := max(1, len(f.tcp))
	if s := shareOf(f.limits.Memory, n); s < f.share {
		f.share = s
		return s, true
	}
	if s := shareOf(f.limits.Memory, 2*n); s > f.share {
		f.share = s
		return s, true
	}
	return f.share, false
}

func (f *flows) remove(t *tcpFlow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tcp, t)
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
