package dnsq

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a DNS server in memory. A net.Pipe keeps message boundaries, so that it
// serves as UDP too. answer gets the n-th question (from 0) of all connections and
// returns the raw messages to send; it runs on the connection's own goroutine,
// which ends when the client closes.
type fake struct {
	answer func(n int, network string, q *dns.Msg) [][]byte

	mu    sync.Mutex
	asked []string // network and name of each question
	wg    sync.WaitGroup
}

func (f *fake) DialContext(_ context.Context, network, _ string) (net.Conn, error) {
	if network != "udp" && network != "tcp" {
		return nil, errors.New("unexpected network " + network)
	}
	near, far := net.Pipe()
	f.wg.Go(func() { f.serve(network, far) })
	return near, nil
}

func (f *fake) serve(network string, conn net.Conn) {
	defer conn.Close()
	stream := &dns.Conn{Conn: conn}
	buf := make([]byte, bufSize)
	for {
		b := buf
		if network == "tcp" {
			var err error
			if b, err = stream.ReadMsgHeader(nil); err != nil {
				return
			}
		} else {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			b = buf[:n]
		}
		q := new(dns.Msg)
		if q.Unpack(b) != nil {
			return
		}
		f.mu.Lock()
		n := len(f.asked)
		f.asked = append(f.asked, network+" "+q.Question[0].Name)
		f.mu.Unlock()
		for _, m := range f.answer(n, network, q) {
			if network == "tcp" {
				m = append([]byte{byte(len(m) >> 8), byte(len(m))}, m...)
			}
			if _, err := conn.Write(m); err != nil {
				return
			}
		}
	}
}

// networks lists over which network each question came.
func (f *fake) networks() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, a := range f.asked {
		out = append(out, a[:3])
	}
	return out
}

// reply is a good answer with one AAAA, changed by edit.
func reply(q *dns.Msg, edit func(*dns.Msg)) []byte {
	m := new(dns.Msg)
	m.SetReply(q)
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(1232, false)
	}
	rr, _ := dns.NewRR(q.Question[0].Name + " 300 IN AAAA 64:ff9b::c000:aa")
	m.Answer = []dns.RR{rr}
	if edit != nil {
		edit(m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}
