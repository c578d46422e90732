package dns64

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/dnsq"
)

// resolver runs a DNS server with a zone on loopback; what does not fit into UDP comes
// by TCP.
func resolver(t *testing.T, z zone) netip.AddrPort {
	t.Helper()
	udp, tcp, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	handle := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m, err := z.Exchange(t.Context(), q)
		if err != nil {
			return
		}
		if opt := q.IsEdns0(); opt != nil {
			m.SetEdns0(4096, opt.Do())
		}
		m.CheckingDisabled = q.CheckingDisabled
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(dns.MinMsgSize)
		}
		_ = w.WriteMsg(m)
	})
	done := make(chan error, 2)
	servers := []*dns.Server{{PacketConn: udp, Handler: handle}, {Listener: tcp, Handler: handle}}
	for _, s := range servers {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { done <- s.ActivateAndServe() }()
		<-ready
	}
	t.Cleanup(func() {
		for _, s := range servers {
			_ = s.Shutdown()
			<-done
		}
	})
	return netip.MustParseAddrPort(udp.LocalAddr().String())
}

// closed is an address where nothing listens.
func closed(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

func TestForward(t *testing.T) {
	says := func(line string) zone { return zone{"A a.example.": {line}} }
	good, other := resolver(t, says(v4)), resolver(t, says("! NXDOMAIN"))
	refused, failing, silent := resolver(t, says("! REFUSED")), resolver(t, says("! SERVFAIL")), resolver(t, says("silence"))
	tests := map[string]struct {
		servers []netip.AddrPort
		want    string // response code, or a part of the error
	}{
		"the first one":                {[]netip.AddrPort{good, other}, "NOERROR"},
		"no such name is an answer":    {[]netip.AddrPort{other, good}, "NXDOMAIN"},
		"one that refuses":             {[]netip.AddrPort{refused, good}, "NOERROR"},
		"one that fails":               {[]netip.AddrPort{failing, good}, "NOERROR"},
		"one where nothing listens":    {[]netip.AddrPort{closed(t), good}, "NOERROR"},
		"a silent one leaves time":     {[]netip.AddrPort{silent, good}, "NOERROR"},
		"nobody knows better":          {[]netip.AddrPort{refused, failing}, "REFUSED"},
		"a refusal is better than air": {[]netip.AddrPort{closed(t), refused, closed(t)}, "REFUSED"},
		"nobody":                       {[]netip.AddrPort{closed(t)}, "refused"},
		"no server":                    {nil, "no DNS server"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
			defer cancel()
			f := Forward{Client: &dnsq.Client{Dialer: &net.Dialer{}}, Servers: func() []netip.AddrPort { return tt.servers }}
			m, err := f.Exchange(ctx, query("a.example", "A"))
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = dns.RcodeToString[m.Rcode]
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// From socket to socket: the answer for A is too large for UDP upstream (spec
// DNS64-13), and DO and CD come through.
func TestForwardByTCP(t *testing.T) {
	z := zone{}
	for i := range 60 {
		z["A a.example."] = append(z["A a.example."], fmt.Sprintf("a.example. 60 IN A 198.51.100.%d", i))
	}
	at := resolver(t, z)
	addr := serve(t, Forward{Client: &dnsq.Client{Dialer: &net.Dialer{}}, Servers: func() []netip.AddrPort { return []netip.AddrPort{at} }})
	if m := ask(t, "tcp", addr, query("a.example", "AAAA")); len(m.Answer) != 60 {
		t.Errorf("%d records, want 60", len(m.Answer))
	}
	q := query("a.example", "A")
	q.CheckingDisabled = true
	q.SetEdns0(1232, true)
	if m := ask(t, "tcp", addr, q); len(m.Answer) != 60 || !m.CheckingDisabled || !m.IsEdns0().Do() {
		t.Errorf("%v", m)
	}
}
