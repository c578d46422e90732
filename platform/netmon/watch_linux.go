package netmon

import (
	"context"
	"fmt"

	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
)

// queue is how many notifications may wait between the library and us.
const queue = 64

// watch passes every netlink notification on as 'look again' until ctx ends.
// When the kernel had to drop notifications the library ends the subscription;
// it is made anew. What was missed meanwhile, or before the first subscription,
// counts as a change.
func watch(ctx context.Context, log logrus.FieldLogger, changed chan<- struct{}) error {
	for {
		if err := subscribe(ctx, log, changed); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		log.Debug("subscribe to network changes again")
	}
}

func signal(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

// subscribe listens until ctx or a subscription ends. The library's goroutines,
// one for each subscription, end with done.
func subscribe(ctx context.Context, log logrus.FieldLogger, changed chan<- struct{}) error {
	done := make(chan struct{})
	links := make(chan netlink.LinkUpdate, queue)
	addrs := make(chan netlink.AddrUpdate, queue)
	routes := make(chan netlink.RouteUpdate, queue)
	defer drain(done, links, addrs, routes)
	lost := func(err error) {
		if ctx.Err() == nil {
			log.WithError(err).Debug("read network changes")
		}
	}
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: lost}); err != nil {
		close(links)
		close(addrs)
		close(routes)
		return fmt.Errorf("subscribe to links: %w", err)
	}
	if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ErrorCallback: lost}); err != nil {
		close(addrs)
		close(routes)
		return fmt.Errorf("subscribe to addresses: %w", err)
	}
	if err := netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{ErrorCallback: lost}); err != nil {
		close(routes)
		return fmt.Errorf("subscribe to routes: %w", err)
	}
	// What changed before now was not announced.
	signal(changed)
	for {
		var open bool
		select {
		case <-ctx.Done():
			return nil
		case _, open = <-links:
		case _, open = <-addrs:
		case _, open = <-routes:
		}
		if !open {
			return nil
		}
		signal(changed)
	}
}

// drain ends the subscriptions and waits until the library has closed the
// channels, which it does when its goroutines end.
func drain(done chan struct{}, links chan netlink.LinkUpdate, addrs chan netlink.AddrUpdate, routes chan netlink.RouteUpdate) {
	close(done)
	for range links {
	}
	for range addrs {
	}
	for range routes {
	}
}
