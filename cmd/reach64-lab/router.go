package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reach64/reach64/platform/packet"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/test/vnet"
)

// Exit codes, those of reach64.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// routerConfig is what the flags of router say.
type routerConfig struct {
	link    string
	control string
	opts    vnet.Options
}

// router serves an access network on one interface of the current network
// namespace until ctx ends, and prints "ready" when it does. The IPv4 side is
// the namespace's own network.
//
// The kernel must stay quiet on the interface: give it no addresses and no
// generated ones (ip link set IF addrgenmode none) before it is up. The router
// has a link address of its own there, so the kernel ignores its packets.
func router(ctx context.Context, args []string, out io.Writer) int {
	c, err := parseRouter(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintln(os.Stderr, "reach64-lab router:", err)
		return exitUsage
	}
	if err := c.serve(ctx, out); err != nil {
		fmt.Fprintln(os.Stderr, "reach64-lab router:", err)
		return exitFailed
	}
	return exitOK
}

func parseRouter(args []string, usage io.Writer) (*routerConfig, error) {
	c := &routerConfig{opts: vnet.Options{Zone: make(map[string][]netip.Addr)}}
	fs := flag.NewFlagSet("router", flag.ContinueOnError)
	fs.SetOutput(usage)
	prefix := fs.String("prefix", nat64.WellKnown().String(), "NAT64 prefix")
	pio := fs.String("pio", "2001:db8:1::/64", "prefix of the access network")
	ra := fs.Bool("ra", true, "send router advertisements")
	pref64 := fs.Bool("pref64", true, "advertise the NAT64 prefix (PREF64)")
	dns64 := fs.Bool("dns64", true, "synthesize AAAA records")
	nat := fs.Bool("nat64", true, "translate")
	native := fs.Bool("native6", false, "dial destinations outside the prefix over the kernel's IPv6")
	fs.BoolVar(&c.opts.Managed, "managed", false, "advertise no prefix for addresses: hosts have to ask DHCPv6")
	fs.BoolVar(&c.opts.AdvertiseMTU, "advertise-mtu", false, "put the MTU into router advertisements")
	fs.StringVar(&c.opts.Portal, "portal", "", "advertise this address of a captive portal's API")
	fs.StringVar(&c.link, "link", "", "interface of the access network (required)")
	fs.StringVar(&c.control, "control", "", "Unix socket for switches: 'nat64 off', 'counters', ...")
	fs.DurationVar(&c.opts.RAInterval, "ra-interval", 3*time.Second, "time between router advertisements")
	fs.DurationVar(&c.opts.RouterLifetime, "router-lifetime", 30*time.Minute, "router lifetime in advertisements")
	fs.DurationVar(&c.opts.Pref64Lifetime, "pref64-lifetime", 30*time.Minute, "lifetime of the advertised NAT64 prefix")
	fs.DurationVar(&c.opts.TTL, "dns-ttl", time.Minute, "TTL of DNS answers, in whole seconds")
	fs.DurationVar(&c.opts.NegativeTTL, "dns-negative-ttl", 5*time.Second, "TTL of DNS answers without data, in whole seconds")
	fs.Func("zone", "a `name=address` that the DNS server knows; may be repeated", c.zone)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	c.opts.NoRA, c.opts.NoPref64, c.opts.NoDNS64, c.opts.NoNAT64 = !*ra, !*pref64, !*dns64, !*nat
	var err error
	if c.opts.Prefix, err = nat64.Parse(*prefix); err != nil {
		return nil, fmt.Errorf("--prefix: %w", err)
	}
	if c.opts.PIO, err = netip.ParsePrefix(*pio); err != nil {
		return nil, fmt.Errorf("--pio %q: want an IPv6 prefix such as 2001:db8:1::/64", *pio)
	}
	if *native {
		c.opts.Dial6 = &net.Dialer{}
	}
	switch {
	case c.link == "":
		return nil, errors.New("--link is missing: the interface of the access network")
	case fs.NArg() > 0:
		return nil, fmt.Errorf("%q is not expected: only flags are", fs.Arg(0))
	case c.opts.RAInterval <= 0:
		return nil, fmt.Errorf("--ra-interval %v: want more than zero", c.opts.RAInterval)
	}
	return c, nil
}

func (c *routerConfig) zone(s string) error {
	name, addr, ok := strings.Cut(s, "=")
	ip, err := netip.ParseAddr(addr)
	if !ok || name == "" || err != nil {
		return errors.New("want name=address")
	}
	c.opts.Zone[name] = append(c.opts.Zone[name], ip)
	return nil
}

// serve runs the router and the control socket until ctx ends.
func (c *routerConfig) serve(ctx context.Context, out io.Writer) error {
	port, err := packet.Open(c.link)
	if err != nil {
		return err
	}
	c.opts.MTU = port.MTU()
	r, err := vnet.New(c.opts, port, &vnet.Kernel{})
	if err != nil {
		port.Close()
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.Run(ctx) })
	if c.control != "" {
		g.Go(func() error { return serveControl(ctx, c.control, r, func() { fmt.Fprintln(out, "ready") }) })
	} else {
		fmt.Fprintln(out, "ready")
	}
	return g.Wait()
}
