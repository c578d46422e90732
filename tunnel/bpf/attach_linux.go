package bpf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Steering are attached programs. It lasts until Close; with tcx also no longer than
// the process or the devices.
type Steering struct {
	mode Mode

	mu         sync.Mutex // guards what follows
	conf       Config
	translated bool      // conf.Translate was set at some time
	loaded     *programs // nil once closed
	attached   []attachment
}

// hook is a place where programs are attached.
type hook struct {
	index  int // of the interface
	egress bool
}

func (h hook) String() string {
	if h.egress {
		return fmt.Sprintf("egress of interface %d", h.index)
	}
	return fmt.Sprintf("ingress of interface %d", h.index)
}

// attachment is one attached program.
type attachment struct {
	hook
	handle handle
}

// handle is what the kernel gave for an attachment.
type handle interface {
	// replace puts another program there, with no moment without one.
	replace(p *ebpf.Program) error
	Close() error
}

// wanted is one program and its place.
type wanted struct {
	hook
	program *ebpf.Program
	name    string
}

// places lists what belongs where, in the order of attaching: once the uplink's is
// there too, an answer to what it redirects finds its way out.
func (p *programs) places(c Config) []wanted {
	uplink, tun, out := names(c.Ethernet)
	list := []wanted{{hook{c.TUN, false}, p.tun, tun}}
	if p.out != nil {
		list = append(list, wanted{hook{c.TUN, true}, p.out, out})
	}
	return append(list, wanted{hook{c.Uplink, false}, p.uplink, uplink})
}

// plain leaves the next hop to the kernel where routing policy may have it differ by
// source address or mark.
func plain(c Config) Config {
	rules, err := netlink.RuleList(netlink.FAMILY_V6)
	if err != nil || slices.ContainsFunc(rules, func(r netlink.Rule) bool { return r.Table != unix.RT_TABLE_LOCAL && r.Table != unix.RT_TABLE_MAIN }) {
		c.NextHop = netip.Addr{}
	}
	return c
}

func attach(c Config) (*Steering, error) {
	c = plain(c)
	loaded, err := load(c, nil)
	if err != nil {
		return nil, fmt.Errorf("attach steering: %w", err)
	}
	s := &Steering{conf: c, translated: c.Translate != nil, loaded: loaded}
	if err := s.attachBest(c); err != nil {
		return nil, errors.Join(fmt.Errorf("attach steering: %w", err), s.Close())
	}
	return s, nil
}

// attachBest tries the modes that c allows, best first.
func (s *Steering) attachBest(c Config) error {
	if c.Mode != Clsact {
		err := s.attachAll(c, TCX)
		if err == nil || c.Mode == TCX || !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	return s.attachAll(c, Clsact)
}

func (s *Steering) attachAll(c Config, m Mode) error {
	s.mode = m
	for _, w := range s.loaded.places(c) {
		if err := s.attachOne(w); err != nil {
			return errors.Join(err, s.detach())
		}
	}
	return nil
}

func (s *Steering) attachOne(w wanted) error {
	how := attachTCX
	if s.mode == Clsact {
		how = attachClsact
	}
	h, err := how(w.hook, w.program, w.name)
	if err != nil {
		return explain(fmt.Sprintf("attach %s to %v by %v", w.name, w.hook, s.mode), err)
	}
	s.attached = append(s.attached, attachment{w.hook, h})
	return nil
}

// tcxLink is a handle.
type tcxLink struct{ link.Link }

func (l tcxLink) replace(p *ebpf.Program) error { return l.Update(p) }

// attachTCX puts the program behind those that are there.
func attachTCX(h hook, p *ebpf.Program, _ string) (handle, error) {
	where := ebpf.AttachTCXIngress
	if h.egress {
		where = ebpf.AttachTCXEgress
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: h.index, Program: p, Attach: where})
	if err != nil {
		return nil, err
	}
	return tcxLink{l}, nil
}

func (s *Steering) change(c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.conf
	c = plain(c)
	switch {
	case s.loaded == nil:
		return fmt.Errorf("change steering: %w", net.ErrClosed)
	case old.TUN != c.TUN || old.Uplink != c.Uplink || old.Ethernet != c.Ethernet || old.Mode != c.Mode:
		return fmt.Errorf("change steering: %w: other devices", errConfig)
	case reflect.DeepEqual(old, c):
		return nil
	}
	next, err := load(c, s.loaded)
	if err != nil {
		return fmt.Errorf("change steering: %w", err)
	}
	if err := s.exchange(next.places(c)); err != nil {
		err = errors.Join(fmt.Errorf("change steering: %w", err), s.exchange(s.loaded.places(old)))
		return errors.Join(err, next.close())
	}
	previous := s.loaded
	s.conf, s.loaded, s.translated = c, next, s.translated || c.Translate != nil
	if err := previous.close(); err != nil {
		return fmt.Errorf("change steering: %w", err)
	}
	return nil
}

// exchange puts programs where others are attached, attaches what is new and
// detaches what is wanted no more.
func (s *Steering) exchange(list []wanted) error {
	keep := make(map[hook]bool)
	for _, w := range list {
		keep[w.hook] = true
		if err := s.put(w); err != nil {
			return err
		}
	}
	var rest []attachment
	var errs []error
	for _, a := range s.attached {
		if keep[a.hook] {
			rest = append(rest, a)
		} else {
			errs = append(errs, a.handle.Close())
		}
	}
	s.attached = rest
	return errors.Join(errs...)
}

func (s *Steering) put(w wanted) error {
	for _, a := range s.attached {
		if a.hook != w.hook {
			continue
		}
		if err := a.handle.replace(w.program); err != nil {
			return explain(fmt.Sprintf("replace the program on %v", w.hook), err)
		}
		return nil
	}
	return s.attachOne(w)
}

// detach undoes the attachments in reverse order.
func (s *Steering) detach() error {
	var errs []error
	for i := len(s.attached) - 1; i >= 0; i-- {
		errs = append(errs, s.attached[i].handle.Close())
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
