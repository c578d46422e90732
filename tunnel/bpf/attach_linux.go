package bpf

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
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

// Steering is an attached pair of programs. It lasts until Close; with tcx also
// no longer than the process or the devices.
type Steering struct {
	mode Mode

	mu       sync.Mutex // guards what follows
	loaded   *programs  // nil once closed
	attached []detacher
}

// detacher is one attached program.
type detacher interface{ Close() error }

func attach(c Config) (*Steering, error) {
	loaded, err := load(c)
	if err != nil {
		return nil, fmt.Errorf("attach steering: %w", err)
	}
	s := &Steering{loaded: loaded}
	if err := s.attach(c); err != nil {
		return nil, errors.Join(fmt.Errorf("attach steering: %w", err), s.Close())
	}
	return s, nil
}

// attach tries the modes that c allows, best first.
func (s *Steering) attach(c Config) error {
	if c.Mode != Clsact {
		err := s.attachPair(c, TCX, attachTCX)
		if err == nil || c.Mode == TCX || !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	return s.attachPair(c, Clsact, attachClsact)
}

// attachPair attaches the TUN's program first: once the uplink's is there too,
// an answer to what it redirects finds its way out.
func (s *Steering) attachPair(c Config, m Mode, how func(index int, p *ebpf.Program, name string) (detacher, error)) error {
	for _, one := range []struct {
		index   int
		program *ebpf.Program
		name    string
	}{
		{c.TUN, s.loaded.tun, s.loaded.tunName},
		{c.Uplink, s.loaded.uplink, s.loaded.uplinkName},
	} {
		d, err := how(one.index, one.program, one.name)
		if err != nil {
			err = explain(fmt.Sprintf("attach %s to interface %d by %v", one.name, one.index, m), err)
			return errors.Join(err, s.detach())
		}
		s.attached = append(s.attached, d)
	}
	s.mode = m
	return nil
}

// attachTCX puts the program behind those that are there.
func attachTCX(index int, p *ebpf.Program, _ string) (detacher, error) {
	return link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: ebpf.AttachTCXIngress})
}

// detach undoes the attachments in reverse order.
func (s *Steering) detach() error {
	var errs []error
	for i := len(s.attached) - 1; i >= 0; i-- {
		errs = append(errs, s.attached[i].Close())
	}
	s.attached = nil
	return errors.Join(errs...)
}

func (s *Steering) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded == nil {
		return nil
	}
	err := errors.Join(s.detach(), s.loaded.close())
	s.loaded = nil
	if err != nil {
		return fmt.Errorf("detach steering: %w", err)
	}
	return nil
}

func (s *Steering) counters() (map[string]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded == nil {
		return nil, fmt.Errorf("read steering counters: %w", net.ErrClosed)
	}
	sums := make(map[string]uint64, len(counterNames))
	var perCPU []uint64
	for i, name := range counterNames {
		if err := s.loaded.counters.Lookup(uint32(i), &perCPU); err != nil {
			return nil, fmt.Errorf("read steering counter %s: %w", name, err)
		}
		for _, n := range perCPU {
			sums[name] += n
		}
	}
	return sums, nil
}
