package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/icmp6"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/ra"
)

// routerWait is for routers to answer a solicitation: they leave 3 s between two
// advertisements to all (RFC 4861 section 10).
const routerWait = 5 * time.Second

// routersHeard solicits routers on all links and waits for the first advertisement.
// That none comes is wrong only where one must have come before.
func routersHeard(ctx context.Context, s netstate.Snapshot) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, routerWait)
	defer cancel()
	conn, err := icmp6.Open()
	var denied *platform.PermissionError
	if errors.As(err, &denied) || errors.Is(err, errors.ErrUnsupported) {
		return "", fmt.Errorf("%w: %w", errSkip, err)
	}
	if err != nil {
		return "", err
	}
	defer conn.Close()
	asked := 0
	for _, l := range s.Links {
		if l.MayHaveRouter() && conn.Solicit(ctx, l.Index) == nil {
			asked++
		}
	}
	if asked == 0 {
		return "", fmt.Errorf("%w: no link can be asked on", errSkip)
	}
	msg, _, _, err := conn.ReadRA(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		return "", err
	case err != nil && advertised(s):
		return "", fmt.Errorf("asked on %d links, nothing heard within %v, though an address comes from a router: does a firewall keep ICMPv6 of type 134 back?", asked, routerWait)
	case err != nil:
		return "", fmt.Errorf("%w: asked on %d links, and no router is there", errSkip, asked)
	}
	a, err := ra.Parse(msg)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("asked on %d links; an advertisement of %d bytes, %d prefixes for NAT64", asked, len(msg), len(a.Pref64)), nil
}

// advertised tells whether a link has an address that came from a router.
func advertised(s netstate.Snapshot) bool {
	return slices.ContainsFunc(s.Links, func(l netstate.Link) bool {
		return l.MayHaveRouter() && slices.ContainsFunc(l.Addrs, func(a netstate.Addr) bool { return a.Autoconf })
	})
}
