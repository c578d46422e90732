package bpf

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/tun"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/siit"
)

// children are what this test binary does when its first argument names one:
// what takes a process of its own, to be killed or to lose capabilities.
var children = map[string]func(args []string){"check": childCheck, "hold": childHold}

// keepOnly leaves the calling thread just these capabilities.
func keepOnly(numbers ...int) error {
	runtime.LockOSThread()
	var caps [2]unix.CapUserData
	for _, n := range numbers {
		caps[n/32].Effective |= 1 << (n % 32)
		caps[n/32].Permitted |= 1 << (n % 32)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return unix.Capset(&hdr, &caps[0])
}

// verdict is what childCheck prints, in JSON.
type verdict struct {
	Works bool
	Need  string // of a PermissionError
	Text  string
}

// childCheck prints what Check says with the capabilities given by number.
func childCheck(args []string) {
	var numbers []int
	for _, a := range args {
		n, _ := strconv.Atoi(a)
		numbers = append(numbers, n)
	}
	var v verdict
	err := keepOnly(numbers...)
	if err == nil {
		err = Check()
	}
	v.Works = err == nil
	var denied *platform.PermissionError
	if errors.As(err, &denied) && errors.Is(err, os.ErrPermission) {
		v.Need = denied.Need
	}
	if err != nil {
		v.Text = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(v)
}

func TestCheckNamesTheCapability(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name string
		keep []int
		want verdict
	}{
		{"the two that are enough", []int{capNetAdmin, capBPF}, verdict{Works: true}},
		{"CAP_SYS_ADMIN for CAP_BPF", []int{capNetAdmin, capSysAdmin}, verdict{Works: true}},
		{"no CAP_BPF", []int{capNetAdmin}, verdict{Need: "CAP_BPF"}},
		{"no CAP_NET_ADMIN", []int{capBPF}, verdict{Need: "CAP_NET_ADMIN"}},
		{"none", nil, verdict{Need: "CAP_BPF and CAP_NET_ADMIN"}},
	} {
		args := []string{"check"}
		for _, n := range c.keep {
			args = append(args, strconv.Itoa(n))
		}
		out, err := exec.Command(os.Args[0], args...).Output()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var got verdict
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v in %q", c.name, err, out)
		}
		if got.Works != c.want.Works || got.Need != c.want.Need {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		if c.want.Need != "" && (!strings.Contains(got.Text, "without "+c.want.Need) || strings.Contains(got.Text, "MEMLOCK")) {
			t.Errorf("%s: text %q, want it to name what is missing and no memory limit", c.name, got.Text)
		}
	}
}

func TestNeedAndHint(t *testing.T) {
	const all = 1<<capNetAdmin | 1<<capBPF
	for _, c := range []struct {
		name       string
		r          restrictions
		need, hint string
	}{
		{"nothing", restrictions{}, "CAP_BPF and CAP_NET_ADMIN", ""},
		{"unprivileged BPF off for good", restrictions{effective: 1 << capNetAdmin, unprivilegedBPF: "1"}, "CAP_BPF", "kernel.unprivileged_bpf_disabled is 1"},
		{"unprivileged BPF on does not help", restrictions{effective: 1 << capNetAdmin, unprivilegedBPF: "0"}, "CAP_BPF", ""},
		{"rootless container", restrictions{effective: all, userNamespace: true}, "CAP_BPF in the initial user namespace", ""},
		{"Docker's seccomp", restrictions{effective: all, seccompFiltering: true, unprivilegedBPF: "2"}, "permission for bpf(2) from seccomp or a security module", "a seccomp filter is on"},
		{"lockdown", restrictions{effective: all, lockdown: "none integrity [confidentiality]"}, "permission for bpf(2) from seccomp or a security module", `kernel lockdown is "confidentiality"`},
		{"no lockdown", restrictions{effective: 1 << capSysAdmin, lockdown: "[none] integrity confidentiality"}, "CAP_NET_ADMIN", ""},
	} {
		if need, hint := c.r.need(), c.r.hint(); need != c.need || hint != c.hint {
			t.Errorf("%s: need %q hint %q, want %q %q", c.name, need, hint, c.need, c.hint)
		}
	}
}

// childHold opens clat0, steers and translates, with no more than the two capabilities, and
// waits to be killed. Arguments: uplink index, mode.
func childHold(args []string) {
	fail := func(err error) {
		fmt.Println(err)
		os.Exit(1)
	}
	uplink, _ := strconv.Atoi(args[0])
	mode, _ := strconv.Atoi(args[1])
	if err := keepOnly(capNetAdmin, capBPF); err != nil {
		fail(err)
	}
	d, err := tun.Open("clat0")
	if err != nil {
		fail(err)
	}
	if _, err := Attach(Config{
		TUN: d.Index(), Uplink: uplink, Ethernet: true, CLAT6: labCLAT,
		Prefixes: []nat64.Prefix{labPrefix}, Mode: Mode(mode),
		Translate: &siit.Config{Prefix: labPrefix, CLAT4: labCLAT4, CLAT6: labCLAT, MTU4: 1480, MTU6: 1500},
	}); err != nil {
		fail(err)
	}
	fmt.Println("steering")
	select {}
}

// hold starts childHold in the client and returns once it steers.
func hold(t *testing.T, l *lab, m Mode) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "hold", strconv.Itoa(l.uplink), strconv.Itoa(int(m)))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if l.client.do(func() { err = cmd.Start() }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	line := make([]byte, 500)
	n, _ := out.Read(line)
	if string(line[:n]) != "steering\n" {
		t.Fatalf("child says %q", line[:n])
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	cmd.Process.Kill() // SIGKILL
	cmd.Wait()
}

func TestKillLeavesNothingWithTCX(t *testing.T) {
	l := newLab(t, "nodad")
	child := hold(t, l, TCX)
	if n := tcxPrograms(t, l, hook{index: l.uplink}); n != 1 {
		t.Fatalf("%d tcx programs while the child lives, want 1", n)
	}
	kill(child)
	for end := time.Now().Add(2 * time.Second); tcxPrograms(t, l, hook{index: l.uplink}) != 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // the kernel closes a dead process's files in its own time
	}
	wantNothingLeft(t, l, l.uplink)
	if links := l.client.run(t, "ip link"); strings.Contains(links, "clat0") {
		t.Errorf("the TUN is left:\n%s", links)
	}
}

func passSpec() *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "MIT", Name: "pass",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	}
}

func dropProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "MIT", Name: "other",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, shot), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// clsactFilters returns the names of the filters on the uplink's ingress.
func clsactFilters(t *testing.T, l *lab) (list []string) {
	t.Helper()
	l.client.do(func() {
		filters, err := netlink.FilterList(byIndex(l.uplink), netlink.HANDLE_MIN_INGRESS)
		if err != nil {
			t.Error(err)
		}
		for _, f := range filters {
			list = append(list, f.(*netlink.BpfFilter).Name)
		}
	})
	return list
}

func clean(t *testing.T, l *lab) {
	t.Helper()
	l.client.do(func() {
		if err := CleanClsact("up0"); err != nil {
			t.Errorf("clean: %v", err)
		}
	})
}

func TestCleanAfterKill(t *testing.T) {
	l := newLab(t, "nodad")
	child := hold(t, l, Clsact)
	clean(t, l)
	if got := clsactFilters(t, l); len(got) != 1 || !strings.HasPrefix(got[0], "reach64_up_eth ") {
		t.Fatalf("filters %q while the child lives, want its own left alone", got)
	}
	kill(child)
	if got := clsactFilters(t, l); len(got) != 1 {
		t.Fatalf("filters %q after the kill, want the one that the kernel leaves", got)
	}
	clean(t, l)
	wantNothingLeft(t, l, l.uplink)
	clean(t, l) // nothing to do
}

func TestCleanKeepsOthers(t *testing.T) {
	l := newLab(t, "nodad")
	kill(hold(t, l, Clsact))
	other := otherFilter(l.uplink, dropProgram(t))
	lookalike := otherFilter(l.uplink, dropProgram(t)) // our name without our place
	lookalike.Priority, lookalike.Name = 66, filterTag{program: steerProgReach64UpEth, pid: 1 << 30, madeQdisc: true}.String()
	l.client.do(func() {
		for _, f := range []*netlink.BpfFilter{other, lookalike} {
			if err := netlink.FilterAdd(f); err != nil {
				t.Error(err)
			}
		}
	})
	clean(t, l)
	if got := clsactFilters(t, l); len(got) != 2 || got[0] != "other" || got[1] != lookalike.Name {
		t.Errorf("filters %q, want just those of others", got)
	}
	l.client.do(func() {
		if !hasClsact(t, l.uplink) {
			t.Error("the qdisc is gone from under others")
		}
	})
}

// TestFoundQdiscStays: a clsact qdisc that was there is not ours to remove.
func TestFoundQdiscStays(t *testing.T) {
	l := newLab(t, "nodad")
	l.client.do(func() {
		if made, err := addClsact(l.uplink); err != nil || !made {
			t.Errorf("add qdisc: %v", err)
		}
	})
	kill(hold(t, l, Clsact))
	clean(t, l)
	if got := clsactFilters(t, l); len(got) != 0 {
		t.Errorf("filters %q are left", got)
	}
	l.client.do(func() {
		if !hasClsact(t, l.uplink) {
			t.Error("the qdisc is gone")
		}
	})
}

// TestAttachAfterKill: the next start works over what the last one left.
func TestAttachAfterKill(t *testing.T) {
	l := newLab(t, "nodad")
	kill(hold(t, l, Clsact))
	l.openTUN(t)
	s := l.attach(t, l.config(Clsact))
	if got := clsactFilters(t, l); len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf("pid=%d ", os.Getpid())) {
		t.Errorf("filters %q, want ours only", got)
	}
	l.client.do(func() {
		if second, err := Attach(l.config(Clsact)); err == nil {
			second.Close()
			t.Error("a second steering of the same uplink was attached")
		} else if !errors.Is(err, unix.EEXIST) {
			t.Errorf("second steering: error %v, want EEXIST", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	wantNothingLeft(t, l, l.uplink, l.tun.Index())
}

func TestCloseAfterDevicesAreGone(t *testing.T) {
	for _, m := range []Mode{TCX, Clsact} {
		l := newLab(t, "nodad")
		l.openTUN(t)
		s := l.attach(t, l.config(m))
		l.tun.Close()
		l.client.run(t, "ip link del up0")
		l.client.do(func() {
			if err := s.Close(); err != nil {
				t.Errorf("%v: close: %v", m, err)
			}
			if err := CleanClsact("up0"); err != nil {
				t.Errorf("clean a link that does not exist: %v", err)
			}
		})
	}
}

func TestFilterTag(t *testing.T) {
	tag := filterTag{program: steerProgReach64TunRaw, pid: 12, started: 3456, madeQdisc: true}
	if got, ok := parseFilterTag(tag.String()); !ok || got != tag {
		t.Errorf("tag %q read back as %+v, %v", tag, got, ok)
	}
	for _, s := range []string{"", "other", "reach64_up_eth", "reach64_up_eth pid=x started=1 qdisc=made",
		"reach64_up_eth pid=1 started=1 qdisc=lost", "other pid=1 started=1 qdisc=made", tag.String() + " more"} {
		if got, ok := parseFilterTag(s); ok {
			t.Errorf("%q was taken for ours: %+v", s, got)
		}
	}
	started, found := startedAt(os.Getpid())
	if !found || started == 0 {
		t.Fatalf("start of this process: %d, %v", started, found)
	}
	if !(filterTag{pid: os.Getpid(), started: started}).alive() {
		t.Error("this process counts as dead")
	}
	if (filterTag{pid: os.Getpid(), started: started - 1}).alive() {
		t.Error("an earlier process with our number counts as alive")
	}
}
