package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/reach64/reach64/test/bench/report"
)

// The network: addresses are for documentation (RFC 5737, RFC 3849).
const (
	native  = "native" // the contender that the others are compared with
	prefix  = "2001:db8:64:ff9b::/96"
	server4 = "198.51.100.10"
	server6 = "2001:db8:64:ff9b::c633:640a" // server4 in prefix
	port    = 7000
)

// bench is one run.
type bench struct {
	opt        options
	self       string // this program
	dir        string // logs and configurations; goes in the end
	doc        *report.Doc
	congestion string // TCP congestion control of both ends; empty: the machine's
	peer       *space
	server     *process
	softirq    []int
	contenders []*contender // those that are available
	spaces     []*space
	processes  []*process
}

// contender is one way from a namespace to the peer.
type contender struct {
	name   string
	space  *space
	family string // "-4" or "-6", for ping
	host   string // the peer's address
	proc   *process
	ready  time.Duration // from start to the path being there
	cpu    time.Duration // used till then
}

func (c *contender) addr() string {
	return netip.AddrPortFrom(netip.MustParseAddr(c.host), port).String()
}

// isReach64 tells whether the contender is one of reach64's datapaths.
func (c *contender) isReach64() bool { return c.name != native && c.name != "tayga" }

// pids are the processes of the contender.
func (c *contender) pids() []int {
	if c.proc == nil {
		return nil
	}
	return []int{c.proc.pid()}
}

func newBench(ctx context.Context, o options) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return nil, err
	}
	b := &bench{opt: o, self: self, doc: newDoc(o), softirq: softirqThreads()}
	if b.dir, err = os.MkdirTemp("", "r64b"); err != nil {
		return nil, err
	}
	if err := b.makePeer(); err != nil {
		return nil, errors.Join(fmt.Errorf("make the peer: %w", err), b.close())
	}
	b.describe(ctx)
	return b, nil
}

// makePeer makes a host that owns every address of the prefix.
func (b *bench) makePeer() (err error) {
	if b.peer, err = b.space("peer"); err != nil {
		return err
	}
	// A datagram's answer can only come from an address that is somebody's own.
	if err := b.peer.ip("-6 route add local " + prefix + " dev lo\n addr add " + server6 + "/128 dev lo nodad"); err != nil {
		return err
	}
	b.server, err = b.peer.start("server", b.self, "play-serve", fmt.Sprintf("[::]:%d", port))
	return err
}

// client makes a namespace with a cable to the peer.
func (b *bench) client(name string, n int) (*space, error) {
	s, err := b.space(name)
	if err != nil {
		return nil, err
	}
	return s, errors.Join(
		b.peer.ip(fmt.Sprintf("link add c%[1]d type veth peer name eth0 netns %[2]s\n addr add 2001:db8:%[3]d::1/64 dev c%[1]d nodad\n link set c%[1]d up", n, s.name, 100+n)),
		s.ip(fmt.Sprintf("addr add 2001:db8:%[1]d::2/64 dev eth0 nodad\n link set eth0 up\n -6 route add default via 2001:db8:%[1]d::1", 100+n)))
}

// setUp makes all contenders. One that cannot be had is noted with the reason.
func (b *bench) setUp(ctx context.Context) {
	for i, try := range []struct {
		name, what string
		open       func(context.Context, *contender, int) error
	}{
		{native, "IPv6 to the peer's own address, nothing in between", b.openNative},
		{"bpf", "reach64, path.datapath = \"bpf\"", b.openReach64},
		{"tun", "reach64, path.datapath = \"tun\"", b.openReach64},
		{"relay", "reach64, path.datapath = \"relay\"", b.openReach64},
		{"tayga", "tayga as CLAT, " + packageVersion(ctx, "tayga"), b.openTayga},
	} {
		if len(b.opt.contenders) > 0 && !slices.Contains(b.opt.contenders, try.name) || ctx.Err() != nil {
			continue
		}
		c := &contender{name: try.name, family: "-4", host: server4}
		entry := report.Contender{Name: try.name, What: try.what}
		err := try.open(ctx, c, i)
		if err == nil {
			err = b.await(ctx, c)
		}
		if err != nil {
			entry.Reason = err.Error()
			if c.proc != nil {
				c.proc.stop()
			}
		} else {
			b.contenders = append(b.contenders, c)
		}
		progress("%s: %s", c.name, cmpOr(entry.Reason, "ready"))
		b.doc.Contenders = append(b.doc.Contenders, entry)
	}
}

// await waits until the peer answers. Both ends' link-local addresses are new, and a
// kernel asks for no neighbour before its own address is known to be unique.
func (b *bench) await(ctx context.Context, c *contender) (err error) {
	for i := 0; i < 10 && ctx.Err() == nil; i++ {
		if _, _, err = c.space.output(ctx, "ping", c.family, "-n", "-c", "1", "-W", "1", c.host); err == nil {
			return nil
		}
	}
	return errors.Join(ctx.Err(), err)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

func (b *bench) openNative(_ context.Context, c *contender, n int) (err error) {
	c.family, c.host = "-6", fmt.Sprintf("2001:db8:%d::1", 100+n)
	c.space, err = b.client(c.name, n)
	return err
}

func (b *bench) openReach64(ctx context.Context, c *contender, n int) (err error) {
	if c.space, err = b.client(c.name, n); err != nil {
		return err
	}
	return b.startReach64(ctx, c, 1)
}

// startReach64 starts the service for that many servers and waits for the path.
func (b *bench) startReach64(ctx context.Context, c *contender, servers int) (err error) {
	var conf strings.Builder
	fmt.Fprintf(&conf, "[path]\ndatapath = %q\n[discovery]\nprefixes = [%q]\n", c.name, prefix)
	addr := netip.MustParseAddr(server4)
	for range servers {
		fmt.Fprintf(&conf, "[[server]]\nname = %q\nport = %d\ntls = false\n", addr, port)
		addr = addr.Next()
	}
	file := filepath.Join(b.dir, c.space.name+".toml")
	if err := errors.Join(os.MkdirAll(filepath.Join(b.dir, c.space.name), 0o755), os.WriteFile(file, []byte(conf.String()), 0o644)); err != nil {
		return err
	}
	begin := time.Now()
	if c.proc, err = c.space.start("reach64", b.opt.binary, "run", "--config", file); err != nil {
		return err
	}
	last := "no status"
	for time.Since(begin) < 30*time.Second && ctx.Err() == nil {
		select {
		case <-c.proc.done:
			_, text, _ := strings.Cut(reason(c.proc.lastLine()), file+": ") // not the file, which goes
			return errors.New(cmpOr(text, reason(c.proc.lastLine())))
		case <-time.After(100 * time.Millisecond):
		}
		st, err := b.status(ctx, c)
		switch {
		case err != nil:
			last = err.Error()
		case (st.Path == "clat" || st.Path == "relay") && st.Datapath == c.name && len(st.CLAT.Routes) >= servers:
			c.ready, c.cpu = time.Since(begin), cpuTime(c.proc.pid())
			return nil
		default:
			last = fmt.Sprintf("class %s, path %s, datapath %q, reason %s %s", st.Class, st.Path, st.Datapath, st.Reason, st.Detail)
		}
	}
	return fmt.Errorf("no path after 30 s: %s", last)
}

// status is what the bench reads of `reach64 status --json`.
type status struct {
	Class    string `json:"class"`
	Path     string `json:"path"`
	Datapath string `json:"datapath"`
	Reason   string `json:"reason"`
	Detail   string `json:"detail"`
	CLAT     struct {
		Routes []string `json:"routes"`
	} `json:"clat"`
	Counters map[string]uint64 `json:"counters"`
}

func (b *bench) status(ctx context.Context, c *contender) (status, error) {
	var doc struct {
		Result status `json:"result"`
	}
	// The exit code tells of health; the document is there in any case.
	out, _, err := c.space.output(ctx, b.opt.binary, "status", "--json")
	if e := json.Unmarshal([]byte(out), &doc); e != nil {
		return status{}, errors.Join(err, e)
	}
	return doc.Result, nil
}

// reason shortens a line of a log to what it says.
func reason(line string) string {
	for _, mark := range []string{"error=", "msg="} {
		if _, rest, ok := strings.Cut(line, mark); ok {
			return strings.Trim(rest, `" `)
		}
	}
	return line
}

// openTayga sets tayga up as clatd does: it needs forwarding in both families.
func (b *bench) openTayga(_ context.Context, c *contender, n int) (err error) {
	if _, err := exec.LookPath("tayga"); err != nil {
		return err
	}
	if c.space, err = b.client(c.name, n); err != nil {
		return err
	}
	clat6 := fmt.Sprintf("2001:db8:%d::c1a7", 100+n)
	file := filepath.Join(b.dir, "tayga.conf")
	conf := fmt.Sprintf("tun-device nat64\nipv4-addr 192.0.2.254\nipv6-addr 2001:db8:ffff::64\nprefix %s\nmap 192.0.2.5 %s\ndata-dir %s\n", prefix, clat6, b.dir)
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return err
	}
	ctx := context.Background()
	if _, _, err := c.space.output(ctx, "tayga", "--config", file, "--mktun"); err != nil {
		return err
	}
	if _, _, err := c.space.output(ctx, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; echo 1 >/proc/sys/net/ipv4/ip_forward"); err != nil {
		return err
	}
	if err := errors.Join(
		c.space.ip("link set nat64 mtu 1480\n link set nat64 up\n addr add 192.0.2.5/32 dev nat64\n route add "+server4+"/32 dev nat64 src 192.0.2.5\n -6 route add "+clat6+"/128 dev nat64"),
		b.peer.ip(fmt.Sprintf("-6 route add %s/128 via 2001:db8:%d::2", clat6, 100+n))); err != nil {
		return err
	}
	c.proc, err = c.space.start("tayga", "tayga", "--config", file, "-d")
	return err
}

// packageVersion asks Debian's package manager.
func packageVersion(ctx context.Context, name string) string {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", name).Output()
	if err != nil {
		return "version not known"
	}
	return string(out)
}

// describe notes what the figures depend on.
func (b *bench) describe(ctx context.Context) {
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			return "not known"
		}
		return strings.TrimSpace(string(text))
	}
	version, _ := exec.CommandContext(ctx, b.opt.binary, "version").Output()
	first, _, _ := strings.Cut(string(version), "\n")
	model := "not known"
	for line := range strings.Lines(read("/proc/cpuinfo")) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			model = strings.TrimSpace(v)
			break
		}
	}
	b.doc.Machine = []report.Fact{
		{Name: "reach64", Value: first},
		{Name: "kernel", Value: read("/proc/sys/kernel/osrelease")},
		{Name: "processors", Value: fmt.Sprintf("%d, %s", runtime.NumCPU(), model)},
		{Name: "TCP congestion control", Value: cmpOr(b.congestion, read("/proc/sys/net/ipv4/tcp_congestion_control"))},
		{Name: "load before", Value: read("/proc/loadavg")},
		{Name: "Go", Value: runtime.Version()},
	}
}

// close ends every process and removes every namespace and file.
func (b *bench) close() error {
	var errs []error
	for _, p := range slices.Backward(b.processes) {
		p.stop()
	}
	for _, s := range b.spaces {
		errs = append(errs, ip("netns", "del", s.name), os.RemoveAll(filepath.Join("/etc/netns", s.name)))
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}
