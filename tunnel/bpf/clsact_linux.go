package bpf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Where our filters stand on a clsact qdisc. Together with the name they tell
// ours from others'.
const (
	filterPriority = 64
	filterHandle   = 0x64
)

// filterTag is the name of a filter of ours. Any program can read it, also when
// the process that attached it is dead.
type filterTag struct {
	program   string
	pid       int
	started   uint64 // of the process, clock ticks since boot: a pid comes again
	madeQdisc bool
}

// String returns text such as "reach64_up_eth pid=12 started=3456 qdisc=made".
func (t filterTag) String() string {
	qdisc := "found"
	if t.madeQdisc {
		qdisc = "made"
	}
	return fmt.Sprintf("%s pid=%d started=%d qdisc=%s", t.program, t.pid, t.started, qdisc)
}

// parseFilterTag reads what String writes; false: not ours.
func parseFilterTag(s string) (filterTag, bool) {
	var t filterTag
	var qdisc string
	n, err := fmt.Sscanf(s, "%s pid=%d started=%d qdisc=%s", &t.program, &t.pid, &t.started, &qdisc)
	if n != 4 || err != nil {
		return filterTag{}, false
	}
	t.madeQdisc = qdisc == "made"
	switch t.program {
	case steerProgReach64UpEth, steerProgReach64UpRaw, steerProgReach64TunEth, steerProgReach64TunRaw,
		steerProgReach64OutEth, steerProgReach64OutRaw:
		return t, t.String() == s
	}
	return filterTag{}, false
}

// startedAt returns when process pid began, in clock ticks since boot: field 22
// of /proc/PID/stat. False: there is no such process.
func startedAt(pid int) (uint64, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The second field is in parentheses and may hold anything.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 20 {
		return 0, false
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	return ticks, err == nil
}

// alive tells whether the process that made the filter still runs.
func (t filterTag) alive() bool {
	started, found := startedAt(t.pid)
	return found && started == t.started
}

// clsactFilter is one attached filter of this process.
type clsactFilter struct {
	hook
	filter    *netlink.BpfFilter
	madeQdisc bool
}

// parent is where the hook's filters hang.
func (h hook) parent() uint32 {
	if h.egress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// hooks are both of an interface.
func hooks(index int) []hook { return []hook{{index, false}, {index, true}} }

func attachClsact(h hook, p *ebpf.Program, name string) (handle, error) {
	if err := cleanIndex(h.index); err != nil {
		return nil, err
	}
	made, err := addClsact(h.index)
	if err != nil {
		return nil, fmt.Errorf("add clsact qdisc: %w", err)
	}
	f := &clsactFilter{madeQdisc: made, hook: h, filter: &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: h.index,
			Parent:    h.parent(),
			Handle:    filterHandle,
			Priority:  filterPriority,
			Protocol:  unix.ETH_P_IPV6,
		},
		Fd:           p.FD(),
		DirectAction: true,
	}}
	if h.egress {
		f.filter.Protocol = unix.ETH_P_IP
	}
	started, _ := startedAt(os.Getpid())
	f.filter.Name = filterTag{program: name, pid: os.Getpid(), started: started, madeQdisc: made}.String()
	if err := netlink.FilterAdd(f.filter); err != nil {
		err = fmt.Errorf("add clsact filter of priority %d: %w", filterPriority, err)
		if made {
			err = errors.Join(err, delClsact(h.index))
		}
		return nil, err
	}
	return f, nil
}

func (f *clsactFilter) replace(p *ebpf.Program) error {
	f.filter.Fd = p.FD()
	return netlink.FilterReplace(f.filter)
}

// Close removes the filter, if it is still ours, and the qdisc if we made it.
func (f *clsactFilter) Close() error {
	present, err := ours(f.hook)
	if err != nil {
		return err
	}
	for _, p := range present {
		if p.Name == f.filter.Name {
			if err := gone(netlink.FilterDel(p)); err != nil {
				return fmt.Errorf("remove clsact filter from %v: %w", f.hook, err)
			}
		}
	}
	if f.madeQdisc {
		return delClsact(f.index)
	}
	return nil
}

// byIndex is a link that is known by its index only.
func byIndex(index int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

func clsact(index int) netlink.Qdisc {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}}
}

// addClsact makes the qdisc; false: there was one, which will do.
func addClsact(index int) (made bool, err error) {
	switch err := netlink.QdiscAdd(clsact(index)); {
	case errors.Is(err, unix.EEXIST):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// delClsact removes the qdisc unless someone has a filter on it.
func delClsact(index int) error {
	for _, h := range hooks(index) {
		filters, err := netlink.FilterList(byIndex(index), h.parent())
		if gone(err) != nil {
			return fmt.Errorf("list filters of interface %d: %w", index, err)
		}
		if len(filters) > 0 {
			return nil
		}
	}
	if err := gone(netlink.QdiscDel(clsact(index))); err != nil {
		return fmt.Errorf("remove clsact qdisc from interface %d: %w", index, err)
	}
	return nil
}

// ours lists the filters on a hook that carry our tag, our priority and our handle.
func ours(h hook) ([]*netlink.BpfFilter, error) {
	filters, err := netlink.FilterList(byIndex(h.index), h.parent())
	if gone(err) != nil {
		return nil, fmt.Errorf("list filters on %v: %w", h, err)
	}
	var list []*netlink.BpfFilter
	for _, f := range filters {
		b, isBPF := f.(*netlink.BpfFilter)
		if !isBPF || b.Priority != filterPriority || b.Handle != filterHandle {
			continue
		}
		if _, tagged := parseFilterTag(b.Name); tagged {
			b.Fd = -1 // only for adding
			list = append(list, b)
		}
	}
	return list, nil
}

// gone drops errors that say that the device, the qdisc or the filter is there
// no more.
func gone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

func cleanClsact(name string) error {
	l, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clean clsact of %s: %w", name, err)
	}
	if err := cleanIndex(l.Attrs().Index); err != nil {
		return explain("clean clsact of "+name, err)
	}
	return nil
}

// cleanIndex removes the filters of processes that are dead.
func cleanIndex(index int) error {
	madeQdisc := false
	for _, h := range hooks(index) {
		filters, err := ours(h)
		if err != nil {
			return err
		}
		for _, f := range filters {
			tag, _ := parseFilterTag(f.Name)
			if tag.alive() {
				continue
			}
			if err := gone(netlink.FilterDel(f)); err != nil {
				return fmt.Errorf("remove left clsact filter from %v: %w", h, err)
			}
			madeQdisc = madeQdisc || tag.madeQdisc
		}
	}
	if madeQdisc {
		return delClsact(index)
	}
	return nil
}
