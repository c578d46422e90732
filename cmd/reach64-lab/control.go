package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/reach64/reach64/test/vnet"
)

// serveControl answers lines on a Unix socket until ctx ends: "NAME on" and
// "NAME off" for the switches below give "ok", "name NAME ADDRESS..." sets what the DNS server
// says of a name, "counters" gives one line, other
// lines "error: " and what is wrong. ready is called when it listens.
func serveControl(ctx context.Context, path string, r *vnet.Router, ready func()) error {
	os.Remove(path) // left by one that was killed; Listen tells what else is wrong
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	ready()
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept control client: %w", err)
		}
		clients.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			for lines := bufio.NewScanner(c); lines.Scan(); {
				fmt.Fprintln(c, command(r, lines.Text()))
			}
		})
	}
}

// command carries out one line and returns the answer.
func command(r *vnet.Router, line string) string {
	words := strings.Fields(line)
	if len(words) == 1 && words[0] == "counters" {
		return r.Counters().String()
	}
	if len(words) > 1 && words[0] == "name" {
		return rename(r, words[1], words[2:])
	}
	set := map[string]func(bool){"ra": r.SetRA, "pref64": r.SetPref64, "dns": r.SetDNS, "dns64": r.SetDNS64, "nat64": r.SetNAT64}
	if len(words) != 2 || set[words[0]] == nil || words[1] != "on" && words[1] != "off" {
		return fmt.Sprintf("error: %q: want counters, name NAME ADDRESS..., or one of ra, pref64, dns, dns64, nat64 with on or off", line)
	}
	set[words[0]](words[1] == "on")
	return "ok"
}

// rename gives a name these addresses, none to remove it.
func rename(r *vnet.Router, name string, words []string) string {
	var addrs []netip.Addr
	for _, w := range words {
		a, err := netip.ParseAddr(w)
		if err != nil {
			return fmt.Sprintf("error: name %s: %v", name, err)
		}
		addrs = append(addrs, a)
	}
	r.SetName(name, addrs...)
	return "ok"
}
