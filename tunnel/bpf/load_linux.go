package bpf

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/resolver/nat64"
)

// programs are those of one configuration, by place; out is nil without
// translation. Whoever loads them closes them.
type programs struct {
	uplink, tun, out  *ebpf.Program
	counters, detours *ebpf.Map // go on when others take over
}

func (p *programs) close() error {
	err := errors.Join(p.uplink.Close(), p.tun.Close(), p.counters.Close(), p.detours.Close())
	if p.out != nil {
		err = errors.Join(err, p.out.Close())
	}
	return err
}

// names returns the programs for the kind of uplink: on its ingress, on the TUN's
// ingress and on the TUN's egress.
func names(ethernet bool) (uplink, tun, out string) {
	if ethernet {
		return steerProgReach64UpEth, steerProgReach64TunEth, steerProgReach64OutEth
	}
	return steerProgReach64UpRaw, steerProgReach64TunRaw, steerProgReach64OutRaw
}

// load puts the programs for c into the kernel, with the counters of old if that is
// not nil. c is valid.
func load(c Config, old *programs) (*programs, error) {
	coll, err := newCollection(c, old)
	if errors.Is(err, unix.EPERM) && raiseMemlock() == nil {
		coll, err = newCollection(c, old)
	}
	if err != nil {
		return nil, explain("load BPF programs", err)
	}
	defer coll.Close() // what was detached from it stays
	p := &programs{counters: coll.DetachMap(steerMapCounters), detours: coll.DetachMap(steerMapDetours)}
	uplink, tun, out := names(c.Ethernet)
	p.uplink, p.tun, p.out = coll.DetachProgram(uplink), coll.DetachProgram(tun), coll.DetachProgram(out)
	return p, nil
}

func newCollection(c Config, old *programs) (*ebpf.Collection, error) {
	spec, err := loadSteer()
	if err != nil {
		return nil, err
	}
	uplink, tun, out := names(c.Ethernet)
	for name := range spec.Programs {
		if name != uplink && name != tun && (name != out || c.Translate == nil) {
			delete(spec.Programs, name)
		}
	}
	values, blocks := constants(c), map[blockKey]uint8(nil)
	if c.Translate != nil {
		var more map[string]any
		if more, blocks, err = translation(*c.Translate); err != nil {
			return nil, err
		}
		maps.Copy(values, more)
	}
	for name, value := range values {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	var options ebpf.CollectionOptions
	if old != nil {
		options.MapReplacements = map[string]*ebpf.Map{steerMapCounters: old.counters, steerMapDetours: old.detours}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, options)
	if err != nil {
		return nil, err
	}
	if err := fill(coll.Maps[steerMapBlocks], blocks); err != nil {
		coll.Close()
		return nil, err
	}
	return coll, nil
}

// netMask is struct prefix of steer.c, in network byte order.
type netMask struct{ Net, Mask [16]byte }

// constants returns the values of the C program's constants.
func constants(c Config) map[string]any {
	var list [MaxPrefixes]netMask
	for i, p := range c.Prefixes {
		list[i] = words(p)
	}
	values := map[string]any{
		steerVarTunIndex:    uint32(c.TUN),
		steerVarUplinkIndex: uint32(c.Uplink),
		steerVarClat:        c.CLAT6.As16(),
		steerVarPrefixCount: uint32(len(c.Prefixes)),
		steerVarPrefixes:    list,
	}
	if c.NextHop.IsValid() {
		values[steerVarNextHop], values[steerVarHasNextHop] = c.NextHop.As16(), uint32(1)
	}
	return values
}

func words(p nat64.Prefix) netMask {
	m := netMask{Net: p.Netip().Addr().As16()}
	for bit := range p.Bits() {
		m.Mask[bit/8] |= 0x80 >> (bit % 8)
	}
	return m
}

// raiseMemlock lifts the limit that kernels before 5.11 count BPF memory
// against. It fails when there is nothing to lift or no right to.
func raiseMemlock() error {
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &now); err != nil {
		return err
	}
	if now == unlimited {
		return unix.EINVAL
	}
	return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited)
}

// explain turns an error of the kernel or of the loader into one that a person
// can act on.
func explain(doing string, err error) error {
	var verifier *ebpf.VerifierError
	var errno unix.Errno
	switch {
	case errors.As(err, &verifier) && len(verifier.Log) > 0:
		// The verifier says EACCES too, and its log says why.
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		if errors.As(err, &errno) {
			err = errno // the loader's guess at RLIMIT_MEMLOCK was tried by now
		}
		r := readRestrictions()
		if hint := r.hint(); hint != "" {
			err = fmt.Errorf("%w (%s)", err, hint)
		}
		return &platform.PermissionError{Doing: doing, Need: r.need(), Err: err}
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%s: %w: %w", doing, platform.Unsupported("steering by BPF with this kernel"), err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// readRestrictions reads what is to be read; what is not stays empty.
func readRestrictions() restrictions {
	var r restrictions
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // of the calling thread
	var caps [2]unix.CapUserData
	if unix.Capget(&hdr, &caps[0]) == nil {
		r.effective = uint64(caps[1].Effective)<<32 | uint64(caps[0].Effective)
	}
	ids := strings.Fields(readText("/proc/self/uid_map"))
	r.userNamespace = len(ids) > 0 && strings.Join(ids, " ") != "0 0 4294967295"
	r.unprivilegedBPF = readText("/proc/sys/kernel/unprivileged_bpf_disabled")
	r.lockdown = readText("/sys/kernel/security/lockdown")
	for line := range strings.Lines(readText("/proc/thread-self/status")) {
		if mode, found := strings.CutPrefix(line, "Seccomp:"); found {
			r.seccompFiltering = strings.TrimSpace(mode) == "2"
		}
	}
	return r
}

func readText(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// check loads the programs for addresses that are kept for documentation.
func check() error {
	p, err := load(Config{
		TUN: 1, Uplink: 2, Ethernet: true,
		CLAT6:    netip.MustParseAddr("2001:db8::1"),
		Prefixes: []nat64.Prefix{nat64.WellKnown()},
	}, nil)
	if err != nil {
		return err
	}
	return p.close()
}
