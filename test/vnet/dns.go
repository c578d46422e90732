package vnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

const dnsPort = 53

// nat64Name is the name by which hosts find the prefix (RFC 7050).
const nat64Name = "ipv4only.arpa."

// nat64Addrs are its well-known IPv4 addresses (RFC 7050 section 8.2).
var nat64Addrs = []netip.Addr{netip.MustParseAddr("192.0.0.170"), netip.MustParseAddr("192.0.0.171")}

// zone holds the names that the server knows, in canonical form.
type zone struct {
	mu    sync.RWMutex
	names map[string][]netip.Addr
}

func (z *zone) load(names map[string][]netip.Addr) {
	for name, addrs := range names {
		z.set(name, addrs)
	}
	z.set(nat64Name, nat64Addrs)
}

func (z *zone) set(name string, addrs []netip.Addr) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.names == nil {
		z.names = make(map[string][]netip.Addr)
	}
	name = dns.CanonicalName(name)
	if len(addrs) == 0 {
		delete(z.names, name)
		return
	}
	z.names[name] = slices.Clone(addrs)
}

func (z *zone) get(name string) ([]netip.Addr, bool) {
	z.mu.RLock()
	defer z.mu.RUnlock()
	addrs, ok := z.names[dns.CanonicalName(name)]
	return addrs, ok
}

// listenDNS returns the servers for UDP and TCP on the router's address. They
// own their sockets.
func (r *Router) listenDNS() ([]*dns.Server, error) {
	at := tcpip.FullAddress{NIC: nic, Addr: toAddr(r.opts.Addr), Port: dnsPort}
	udp, err := gonet.DialUDP(r.stack, &at, nil, ipv6.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS over UDP: %w", err)
	}
	tcp, err := gonet.ListenTCP(r.stack, at, ipv6.ProtocolNumber)
	if err != nil {
		udp.Close()
		return nil, fmt.Errorf("listen for DNS over TCP: %w", err)
	}
	handler := dns.HandlerFunc(r.serveDNS)
	return []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: listener{tcp}, Handler: handler}}, nil
}

// listener reports its end as net.ErrClosed, which gonet does not.
type listener struct{ *gonet.TCPListener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err != nil {
		return nil, errors.Join(net.ErrClosed, err)
	}
	return c, nil
}

func (l listener) Close() error {
	l.Shutdown()
	return l.TCPListener.Close()
}

// closeDNS closes the sockets of servers that were never started.
func closeDNS(servers []*dns.Server) error {
	var errs []error
	for _, s := range servers {
		if s.PacketConn != nil {
			errs = append(errs, s.PacketConn.Close())
		}
		if s.Listener != nil {
			errs = append(errs, s.Listener.Close())
		}
	}
	return errors.Join(errs...)
}

// shutdown ends a server, also one that has not quite started.
func shutdown(s *dns.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for s.ShutdownContext(ctx) != nil && ctx.Err() == nil {
		pause(ctx, time.Millisecond)
	}
}

func (r *Router) serveDNS(w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) == 1 {
		r.count.query(dns.TypeToString[q.Question[0].Qtype])
	}
	if !r.dns.Load() {
		w.Close() // ends a TCP connection; UDP just stays silent
		return
	}
	m := r.reply(q)
	if _, ok := w.RemoteAddr().(*net.UDPAddr); ok {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		m.Truncate(size)
	}
	w.WriteMsg(m) // the client asks again
}

// reply is what somebody else answers, or else the router.
func (r *Router) reply(q *dns.Msg) *dns.Msg {
	if other := r.now.Load().answer; other != nil {
		if m := other(q); m != nil {
			return m
		}
	}
	return r.answer(q)
}

// answer is the reply to q. It is authoritative for everything: what is not in
// the zone does not exist.
func (r *Router) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	opt := q.IsEdns0()
	if opt != nil {
		m.SetEdns0(dns.DefaultMsgSize, opt.Do())
	}
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery || q.Question[0].Qclass != dns.ClassINET {
		m.Rcode = dns.RcodeNotImplemented
		return m
	}
	addrs, known := r.zone.get(q.Question[0].Name)
	if !known {
		m.Rcode = dns.RcodeNameError
	}
	// A validating client asks with CD and DO and synthesizes by itself (RFC 6147 section 5.5).
	synthesize := r.dns64.Load() && !(q.CheckingDisabled && opt != nil && opt.Do())
	m.Answer = r.records(q.Question[0], addrs, synthesize)
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{r.soa()}
	}
	return m
}

// records are the answers to q among addrs. AAAA records are synthesized only
// where there is none (RFC 6147 section 5.1.6).
func (r *Router) records(q dns.Question, addrs []netip.Addr, synthesize bool) []dns.RR {
	var a, aaaa, made []dns.RR
	for _, ip := range addrs {
		if !ip.Is4() {
			aaaa = append(aaaa, &dns.AAAA{Hdr: r.header(q.Name, dns.TypeAAAA), AAAA: ip.AsSlice()})
			continue
		}
		a = append(a, &dns.A{Hdr: r.header(q.Name, dns.TypeA), A: ip.AsSlice()})
		made = append(made, &dns.AAAA{Hdr: r.header(q.Name, dns.TypeAAAA), AAAA: r.now.Load().prefix.Embed(ip).AsSlice()})
	}
	switch {
	case q.Qtype == dns.TypeA:
		return a
	case q.Qtype == dns.TypeAAAA && len(aaaa) == 0 && synthesize:
		return made
	case q.Qtype == dns.TypeAAAA:
		return aaaa
	}
	return nil
}

func (r *Router) header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: uint32(r.opts.TTL / time.Second)}
}

// soa goes into answers without data, so that clients know how long to keep
// them (RFC 2308). The zone is the root, of which every name is a part.
func (r *Router) soa() dns.RR {
	ttl := uint32(r.opts.NegativeTTL / time.Second)
	return &dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns: "router.lab.", Mbox: "nobody.lab.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl}
}
