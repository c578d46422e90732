package vnet

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// PCPPrefix is what a PCP server says of one NAT64 prefix.
type PCPPrefix struct {
	Prefix netip.Prefix
	IPv4   []netip.Prefix // destinations that it serves; none: no list
}

// PCP is a server of the Port Control Protocol that tells NAT64 prefixes (RFC
// 6887, RFC 7225), and makes no mappings. It is written from the RFCs, without the
// product's reader and writer of such messages. The zero value knows no prefix.
// All methods may be called from any goroutine.
type PCP struct {
	mu    sync.Mutex // guards all below
	conf  PCPSettings
	since time.Time
	asked []PCPRequest
}

// PCPSettings are how a server behaves.
type PCPSettings struct {
	Prefixes   []PCPPrefix
	Silent     bool          // answers nothing
	NATPMP     bool          // speaks the older protocol alone
	Result     uint8         // if not 0, the error that every request gets
	Lifetime   time.Duration // of errors and mappings
	NoAnnounce bool          // knows MAP alone
	OptionLen  int           // the only length of a request's option that it likes, bytes; 0: 14 and 16
}

// PCPRequest is one request that was received.
type PCPRequest struct {
	From   netip.AddrPort
	Opcode uint8
	Nonce  [12]byte // of MAP
	Bytes  []byte
}

// Set changes how the server behaves from now on.
func (p *PCP) Set(s PCPSettings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conf = s
}

// Restart sets the epoch time back to 0.
func (p *PCP) Restart(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = now
}

// Requests returns what was received so far.
func (p *PCP) Requests() []PCPRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]PCPRequest(nil), p.asked...)
}

// Result codes, RFC 6887 section 7.4.
const (
	pcpUnsuppVersion    = 1
	pcpMalformedRequest = 3
	pcpUnsuppOpcode     = 4
	pcpMalformedOption  = 6
	pcpAddressMismatch  = 12
)

// Reply returns the answer to one UDP payload, nil for none.
func (p *PCP) Reply(now time.Time, from netip.AddrPort, req []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(req) < 2 || req[1]&0x80 != 0 {
		return nil
	}
	r := PCPRequest{From: from, Opcode: req[1], Bytes: append([]byte(nil), req...)}
	if r.Opcode == 1 && len(req) >= 36 {
		r.Nonce = [12]byte(req[24:36])
	}
	p.asked = append(p.asked, r)
	switch {
	case p.conf.Silent:
		return nil
	case p.conf.NATPMP: // RFC 6886 section 3.5
		out := []byte{0, 0x80 | req[1], 0, 1}
		return binary.BigEndian.AppendUint32(out, p.epoch(now))
	}
	code := p.check(from.Addr(), req)
	if code == 0 {
		code = p.conf.Result
	}
	if code != 0 {
		return p.failure(now, req, code)
	}
	body := req[24:24]
	if r.Opcode == 1 {
		body = req[24:60]
	}
	out := append(p.header(now, r.Opcode, 0), body...)
	for _, x := range p.conf.Prefixes {
		out = append(out, x.option()...)
	}
	return out
}

// check looks for what is wrong with a request (RFC 6887 section 8.2, RFC 7225
// section 5).
func (p *PCP) check(from netip.Addr, req []byte) uint8 {
	switch {
	case req[0] != 2:
		return pcpUnsuppVersion
	case len(req) < 24 || len(req) > 1100 || len(req)%4 != 0:
		return pcpMalformedRequest
	case req[1] > 1 || req[1] == 0 && p.conf.NoAnnounce:
		return pcpUnsuppOpcode
	case netip.AddrFrom16([16]byte(req[8:24])).Unmap() != from.WithZone("").Unmap():
		return pcpAddressMismatch
	}
	options := req[24:]
	if req[1] == 1 {
		if len(options) < 36 {
			return pcpMalformedRequest
		}
		options = options[36:]
	}
	seen := false
	for len(options) > 0 {
		if len(options) < 4 {
			return pcpMalformedRequest
		}
		n := int(binary.BigEndian.Uint16(options[2:]))
		end := 4 + (n+3)/4*4
		if end > len(options) {
			return pcpMalformedRequest
		}
		if options[0] == 129 {
			if seen || !p.likes(options[4:4+n]) {
				return pcpMalformedOption
			}
			seen = true
		}
		options = options[end:]
	}
	return 0
}

// likes tells whether a request's option asks for ::/96.
func (p *PCP) likes(data []byte) bool {
	if len(data) != 14 && len(data) != 16 || p.conf.OptionLen != 0 && len(data) != p.conf.OptionLen {
		return false
	}
	for i, c := range data {
		if want := map[int]byte{1: 12}[i]; c != want {
			return false
		}
	}
	return true
}

func (p *PCP) epoch(now time.Time) uint32 { return uint32(now.Sub(p.since) / time.Second) }

// header is that of a response (RFC 6887 section 7.2).
func (p *PCP) header(now time.Time, opcode, code uint8) []byte {
	out := []byte{2, 0x80 | opcode, 0, code}
	lifetime := p.conf.Lifetime
	if opcode == 0 && code == 0 {
		lifetime = 0
	}
	out = binary.BigEndian.AppendUint32(out, uint32(lifetime/time.Second))
	out = binary.BigEndian.AppendUint32(out, p.epoch(now))
	return append(out, make([]byte, 12)...)
}

// failure is a copy of the request with an error (RFC 6887 section 8.2).
func (p *PCP) failure(now time.Time, req []byte, code uint8) []byte {
	out := p.header(now, req[1], code)
	if len(req) > 24 {
		out = append(out, req[24:min(len(req), 1100)]...)
	}
	return append(out, make([]byte, -len(out)&3)...)
}

// option is the PREFIX64 option of a response (RFC 7225 section 5).
func (x PCPPrefix) option() []byte {
	addr := x.Prefix.Addr().As16()
	octets := x.Prefix.Bits() / 8
	data := append([]byte{0, byte(octets)}, addr[:octets]...)
	data = append(data, make([]byte, 12-octets)...)
	if len(x.IPv4) > 0 {
		data = binary.BigEndian.AppendUint16(data, uint16(len(x.IPv4)))
	}
	for _, v4 := range x.IPv4 {
		four := v4.Addr().As4()
		data = append(binary.BigEndian.AppendUint16(data, uint16(v4.Bits())), four[:]...)
	}
	out := append([]byte{129, 0}, byte(len(data)>>8), byte(len(data)))
	out = append(out, data...)
	return append(out, make([]byte, -len(out)&3)...)
}
