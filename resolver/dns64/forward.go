package dns64

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"github.com/reach64/reach64/resolver/dnsq"
)

// Forward is an Upstream that asks DNS servers one after the other until one answers.
// SERVFAIL, REFUSED and NOTIMP make it ask the next one, as resolver libraries do;
// if nobody knows better, the first of them is the answer.
type Forward struct {
	Client *dnsq.Client
	// Servers returns those of the uplink at the moment, best first.
	Servers func() []netip.AddrPort
}

// Exchange implements Upstream. The time that ctx leaves is shared out among the
// servers.
func (f Forward) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	servers := f.Servers()
	if len(servers) == 0 {
		return nil, errors.New("ask upstream: the network has no DNS server")
	}
	if len(q.Question) != 1 {
		return nil, fmt.Errorf("ask upstream: %d questions in the query, want 1", len(q.Question))
	}
	opt := q.IsEdns0()
	flags := dnsq.Flags{DO: opt != nil && opt.Do(), CD: q.CheckingDisabled}
	var errs []error
	var refused *dns.Msg
	for i, server := range servers {
		part, cancel := share(ctx, len(servers)-i)
		m, err := f.Client.Ask(part, server, q.Question[0].Name, q.Question[0].Qtype, flags)
		cancel()
		switch {
		case err != nil:
			errs = append(errs, err)
		case m.Rcode != dns.RcodeServerFailure && m.Rcode != dns.RcodeRefused && m.Rcode != dns.RcodeNotImplemented:
			return m, nil
		case refused == nil:
			refused = m
		}
		if ctx.Err() != nil {
			break
		}
	}
	if refused != nil {
		return refused, nil
	}
	return nil, errors.Join(errs...)
}

// share gives one of n the time that ctx leaves to all.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || n < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/time.Duration(n))
}
