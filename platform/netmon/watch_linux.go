package netmon

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// groups are the kernel's notifications that may change a Snapshot: links, their IPv6
// parameters, addresses, routes of all tables, and rules that choose a table.
var groups = []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFINFO, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE}

// watch passes everything that may have changed the state on as 'look again' until ctx
// ends. It owns one goroutine for each: the kernel, the files of name servers and
// leases, the message bus, and the clock.
func (m *Monitor) watch(ctx context.Context, changed chan<- struct{}) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.watchKernel(ctx, changed) })
	g.Go(func() error { return m.watchFiles(ctx, changed) })
	g.Go(func() error { return m.watchBus(ctx, changed) })
	g.Go(func() error { return watchClock(ctx, changed) })
	return g.Wait()
}

// watchKernel listens until ctx ends. Notifications that the kernel had to drop count
// as one.
func (m *Monitor) watchKernel(ctx context.Context, changed chan<- struct{}) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return fmt.Errorf("subscribe to network changes: %w", err)
	}
	stop := context.AfterFunc(ctx, s.Close)
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	signal(changed) // what changed before now was not announced
	for {
		_, _, err := s.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			m.log.Debug("the kernel dropped notifications")
		case err != nil:
			return fmt.Errorf("read network changes: %w", err)
		}
		signal(changed)
	}
}

func signal(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}
