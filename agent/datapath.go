package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/reach"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/siit"
)

// datapaths are those that there are, fastest first.
var datapaths = []string{config.DatapathBPF, config.DatapathTUN}

// allowed lists the datapaths to try for a value of path.datapath.
func allowed(value string) []string {
	if value == config.DatapathAuto {
		return datapaths
	}
	return []string{value}
}

// carry has the instance's packets carried by the best datapath that is wanted and
// can be had, and notes why that is not a faster one. It is called again when the
// configuration or the servers' addresses have changed: flows live on.
func (a *Agent) carry(have netstate.Snapshot, in *instance) error {
	var refused []error
	in.nextHop = nextHop(have, in.want)
	for _, d := range allowed(a.conf.Path.Datapath) {
		err := a.attach(in, d)
		if err == nil {
			n := note(a.conf.Path.Datapath, refused)
			if in.datapath != "" && (in.datapath != d || in.note != n) {
				a.log.WithFields(logrus.Fields{"device": in.devName, "datapath": d, "note": n}).Info("datapath changed")
			}
			in.datapath, in.note = d, n
			return nil
		}
		refused = append(refused, fmt.Errorf("%s: %w", d, err))
	}
	return fmt.Errorf("no datapath: %w", errors.Join(refused...))
}

// nextHop is the router to the NAT64, not valid where there is none or a choice.
func nextHop(have netstate.Snapshot, c reach.CLAT) netip.Addr {
	router, _ := have.NextHop(c.Uplink, c.Prefix.Netip())
	return router
}

// attach sets the datapath up, or changes the one that is there into it.
func (a *Agent) attach(in *instance, datapath string) error {
	s := Steer{Device: in.dev.Index(), Uplink: in.want.Uplink, Ethernet: in.want.Ethernet, CLAT6: in.addr6,
		Prefixes: []nat64.Prefix{in.want.Prefix}, NextHop: in.nextHop}
	if datapath == config.DatapathBPF {
		// What ICMP errors depend on is left out: they are not translated there.
		c := a.translation(in)
		slices.SortFunc(c.AlwaysAllow, netip.Addr.Compare)
		s.Translate = &c
	}
	if in.steer != nil {
		return in.steer.Change(s)
	}
	st, err := a.edges.Steer(s)
	if err == nil {
		in.steer = st
	}
	return err
}

// translation is what the instance's translators share.
func (a *Agent) translation(in *instance) siit.Config {
	c := siit.Config{Prefix: in.want.Prefix, CLAT4: in.want.IPv4, CLAT6: in.addr6, MTU4: mtu4(in.want), MTU6: in.want.MTU6,
		NonGlobal: a.conf.Discovery.NonGlobal, AlwaysAllow: a.always()}
	return c
}

// note says why the datapath in use is not a faster one, and what would allow that;
// "" when there is none. wanted is path.datapath, refused what was tried before.
func note(wanted string, refused []error) string {
	if wanted != config.DatapathAuto {
		if wanted == datapaths[0] {
			return ""
		}
		return fmt.Sprintf("path.datapath is %q; \"auto\" would try %s first", wanted, datapaths[0])
	}
	var parts []string
	for _, err := range refused {
		parts = append(parts, fmt.Sprintf("not %v; %s", err, remedy(err)))
	}
	return strings.Join(parts, "; ")
}

// remedy says what would allow a datapath that was refused.
func remedy(err error) string {
	var denied *platform.PermissionError
	switch {
	case errors.As(err, &denied):
		return "it needs " + denied.Need
	case errors.Is(err, errors.ErrUnsupported):
		return "it needs Linux 5.10 or later with BPF"
	}
	return "tried again when the network or the configuration changes"
}
