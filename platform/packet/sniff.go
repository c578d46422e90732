package packet

import "context"

// Sniffer sees what an interface carries, both ways, from the network layer on. It
// changes nothing: the interface does not become promiscuous.
type Sniffer struct{ sniffer }

// Sniffed is one packet. Data belongs to the Sniffer, and is valid until the next Next.
type Sniffed struct {
	Data     []byte // from the IP header on, cut to the snap length
	Length   int    // bytes that it had
	Outbound bool   // this machine sent it
}

// Sniff begins to look at the interface in the network namespace of the calling
// thread, at snap bytes of each packet at most. Without CAP_NET_RAW the error is a
// *platform.PermissionError.
func Sniff(name string, snap int) (*Sniffer, error) {
	s, err := sniff(name, snap)
	if err != nil {
		return nil, err
	}
	return &Sniffer{s}, nil
}

// Next waits for a packet, until ctx ends.
func (s *Sniffer) Next(ctx context.Context) (Sniffed, error) { return s.next(ctx) }

// Lost is how many packets came too fast to be seen.
func (s *Sniffer) Lost() int { return s.lost() }

// Close ends it.
func (s *Sniffer) Close() error { return s.close() }
