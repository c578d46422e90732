package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPeersAlone checks the lab itself: an IPv6 client reaches the server
// through the NAT64 by the name that DNS64 gives, and an IPv4 client does not.
func TestPeersAlone(t *testing.T) {
	for _, c := range []struct {
		name, server, prefix string
		programs             []string
		router               func(l *lab, prefix string)
	}{
		{"tayga and unbound, own prefix", documentation, ownPrefix, []string{"tayga", "radvd", "unbound"}, taygaUnbound},
		{"tayga and bind9, well-known prefix", "203.0.114.10", wellKnown, []string{"tayga", "radvd", "named"}, taygaNamed},
		{"embedded router, own prefix", documentation, ownPrefix, nil, func(l *lab, prefix string) { l.embedded("--prefix", prefix) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			need(t, c.programs...)
			l := newLab(t, c.server)
			c.router(l, c.prefix)
			l.online()
			eventually(t, 10*time.Second, "an IPv6 client reaches the server through NAT64 and DNS64", func() error {
				_, err := l.client.try(4*time.Second, "curl", "-6", "-sS", "--fail", "--noproxy", "*", "--cacert", l.ca, "--max-time", "3",
					strings.Replace(l.url("/5"), l.server4.String(), serverName, 1))
				return err
			})
			out, err := l.client.try(8*time.Second, "ping", "-6", "-n", "-c", "1", "-W", "2", synthesized(c.prefix, netip.MustParseAddr(c.server)))
			if err != nil {
				t.Error(err, out)
			}
			l.fails()
			l.routerStays()
		})
	}
}

// routerStays checks that the client's kernel keeps its default route when it
// asks whether the router is still there. A neighbour advertisement without the
// router flag takes the route away (RFC 4861 section 7.2.5), some seconds or minutes after the
// start when nobody looks.
func (l *lab) routerStays() {
	l.t.Helper()
	gateway := regexp.MustCompile(`via (fe80\S+)`).FindStringSubmatch(l.client.must("ip", "-6", "route", "show", "default"))
	if gateway == nil {
		l.t.Fatal("no gateway in the default route")
	}
	l.client.ip("neigh change " + gateway[1] + " dev eth0 router nud probe")
	eventually(l.t, 10*time.Second, "the router answers a probe", func() error {
		out, err := l.client.try(time.Second, "ip", "neigh", "show", gateway[1])
		if err == nil && !strings.Contains(out, "REACHABLE") {
			err = errors.New(out)
		}
		return err
	})
	if out := l.client.must("ip", "-6", "route", "show", "default"); !strings.Contains(out, gateway[1]) {
		l.t.Errorf("the default route is gone; the router's neighbour advertisement has no router flag: %q", out)
	}
}

// taygaUnbound and taygaNamed are networks whose prefix is known by DNS alone.
func taygaUnbound(l *lab, prefix string) {
	l.lan()
	l.tayga(prefix)
	l.unbound(prefix)
	l.radvd()
}

func taygaNamed(l *lab, prefix string) {
	l.lan()
	l.tayga(prefix)
	l.named(prefix)
	l.radvd()
}

// TestLabLeavesNothing checks that a lab is gone after its test, with its
// processes and folders.
func TestLabLeavesNothing(t *testing.T) {
	need(t)
	var l *lab
	t.Run("lab", func(t *testing.T) { l = newLab(t, documentation) })
	if l == nil {
		t.Fatal("no lab was built")
	}
	for _, p := range l.processes {
		if !p.ended() {
			t.Errorf("%s still runs", p.name)
		}
	}
	for _, s := range l.spaces {
		for _, path := range []string{"/run/netns/" + s.name, "/etc/netns/" + s.name} {
			if _, err := os.Stat(path); err == nil {
				t.Errorf("%s is still there", path)
			}
		}
	}
	for _, path := range []string{l.dir, l.tmp} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if len(l.spaces) != 3 || len(l.processes) < 2 {
		t.Errorf("the lab had %d namespaces and %d processes, want 3 and at least 2", len(l.spaces), len(l.processes))
	}
}

// TestSweepRemovesWhatADeadTestLeft makes the namespace of a process that does
// not exist.
func TestSweepRemovesWhatADeadTestLeft(t *testing.T) {
	need(t)
	l := bareLab(t)
	const left = "r64-4194305-1-client" // above the kernel's largest process id, 2^22
	if err := ip("netns", "add", left); err != nil {
		t.Fatal(err)
	}
	s := &space{l: l, name: left}
	p := s.start("left", "tail", "-f", "/dev/null")
	eventually(t, 5*time.Second, "the program runs in the namespace", func() error {
		out, err := exec.Command("ip", "netns", "pids", left).Output()
		if err == nil && strings.TrimSpace(string(out)) != strconv.Itoa(p.pid()) {
			err = fmt.Errorf("processes there: %q, want %d", out, p.pid())
		}
		return err
	})
	sweep()
	<-p.done
	if _, err := os.Stat("/run/netns/" + left); err == nil {
		t.Error("the namespace is still there")
	}
}

// TestAChangedSysctlIsSeen is the positive control of the tests that none is.
func TestAChangedSysctlIsSeen(t *testing.T) {
	need(t)
	l := bareLab(t)
	s := l.space("other")
	before := s.sysctls()
	if got := changed(before, s.sysctls()); len(got) > 0 {
		t.Errorf("nothing was written, but these changed: %q", got)
	}
	s.sysctl("ipv6/conf/lo/accept_ra", "2")
	want := []string{`/proc/sys/net/ipv6/conf/lo/accept_ra: before "1\n", now "2\n"`}
	if got := changed(before, s.sysctls()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
