package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/ipc"
	"github.com/reach64/reach64/platform/tun"
)

// netnsStage is three network namespaces: the endpoint, the router, the server.
// It owns the processes that it starts in them.
type netnsStage struct {
	dir     string
	self    string // this program
	reach64 string // the product
	client  string // names of the namespaces
	router  string
	server  string
	service *exec.Cmd
	helpers []*exec.Cmd
	log     *os.File // of the service
}

// canNamespaces says why network namespaces cannot be made here, nil if they can.
func canNamespaces() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("not root on Linux, but uid %d on %s", os.Geteuid(), platform.Name())
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("the program ip (package iproute2) is missing")
	}
	return tun.Check()
}

func newNetnsStage(ctx context.Context, dir string) (_ *netnsStage, err error) {
	s := &netnsStage{dir: dir}
	if s.self, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	s.reach64 = filepath.Join(filepath.Dir(s.self), "reach64")
	if _, err := os.Stat(s.reach64); err != nil {
		return nil, fmt.Errorf("find reach64 beside this program (make build): %w", err)
	}
	pid := os.Getpid()
	s.client, s.router, s.server = fmt.Sprintf("r64demo-%d-client", pid), fmt.Sprintf("r64demo-%d-router", pid), fmt.Sprintf("r64demo-%d-server", pid)
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	for _, args := range s.topology() {
		if err := ip(args...); err != nil {
			return nil, err
		}
	}
	if err := s.serve(ctx, s.server, "backup-server", "--listen", demoServer+":"+demoPort, "--store", filepath.Join(dir, "store"), "--ca-out", s.ca()); err != nil {
		return nil, err
	}
	return s, s.serve(ctx, s.router, "router", "--link", "lan", "--prefix", demoPrefix, "--pio", demoLAN,
		"--zone", "backup.example.test="+demoServer)
}

// topology is the list of ip commands that makes the namespaces and cables.
func (s *netnsStage) topology() [][]string {
	in := func(ns, rest string) []string { return append([]string{"-n", ns}, strings.Fields(rest)...) }
	return [][]string{
		{"netns", "add", s.client}, {"netns", "add", s.router}, {"netns", "add", s.server},
		in(s.client, "link set lo up"), in(s.router, "link set lo up"), in(s.server, "link set lo up"),
		in(s.router, "link add lan type veth peer name eth0 netns "+s.client),
		in(s.router, "link add wan type veth peer name eth0 netns "+s.server),
		// The embedded router is a program: the kernel shall not answer on its link.
		in(s.router, "link set lan addrgenmode none"),
		in(s.router, "addr add 198.51.100.1/24 dev wan"), in(s.server, "addr add "+demoServer+"/24 dev eth0"),
		in(s.router, "link set wan up"), in(s.server, "link set eth0 up"),
		in(s.router, "link set lan up"), in(s.client, "link set eth0 up"),
	}
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func (s *netnsStage) ca() string     { return filepath.Join(s.dir, "ca.pem") }
func (s *netnsStage) socket() string { return filepath.Join(s.dir, "run", "reach64.sock") }

// command runs a program in a namespace.
func (s *netnsStage) command(ctx context.Context, ns, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns, program}, args...)...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 5 * time.Second
	c.Env = append(os.Environ(), "REACH64_STATE_DIR="+filepath.Join(s.dir, "state"), "REACH64_RUN_DIR="+filepath.Join(s.dir, "run"))
	return c
}

// serve starts a subcommand of this program in a namespace and waits until it
// says that it is ready. It ends with Close.
func (s *netnsStage) serve(ctx context.Context, ns string, args ...string) error {
	c := s.command(context.WithoutCancel(ctx), ns, s.self, args...)
	out, err := c.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	s.helpers = append(s.helpers, c)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "ready") {
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
			return nil
		}
	}
	return fmt.Errorf("start %s: it ended: %s", args[0], bytes.TrimSpace(stderr.Bytes()))
}

func (s *netnsStage) Describe() string {
	return fmt.Sprintf(`  endpoint (%s)        router (%s)              server (%s)
  eth0, only IPv6  ------------  lan: RA with PREF64, DNS64
                                 NAT64 %s
                                 wan: 198.51.100.1  ------------  %s:%s, only IPv4, TLS`,
		s.client, s.router, s.server, demoPrefix, demoServer, demoPort)
}

// configure writes the service's configuration file and returns its name. The
// socket is where `reach64 status` looks for it.
func (s *netnsStage) configure() (string, error) {
	conf := filepath.Join(s.dir, "reach64.toml")
	text := fmt.Sprintf("[[server]]\nname = %q\nport = %s\nca_file = %q\n", demoServer, demoPort, s.ca())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write configuration: %w", err)
	}
	return conf, nil
}

func (s *netnsStage) Start(ctx context.Context) error {
	conf, err := s.configure()
	if err != nil {
		return err
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "reach64.log")); err != nil {
		return fmt.Errorf("make log file: %w", err)
	}
	s.service = s.command(context.WithoutCancel(ctx), s.client, s.reach64, "run", "--config", conf)
	s.service.Stderr = s.log
	return s.service.Start()
}

// Stop ends the service as a service manager does, and waits.
func (s *netnsStage) Stop(context.Context) error {
	if s.service == nil {
		return nil
	}
	c := s.service
	s.service = nil
	defer s.log.Close()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("end service: %w", err)
	}
	if err := c.Wait(); err != nil {
		text, _ := os.ReadFile(s.log.Name())
		return fmt.Errorf("service ended: %w; its log:\n%s", err, text)
	}
	return nil
}

// Status asks the service over its socket, as `reach64 status` does.
func (s *netnsStage) Status(ctx context.Context) (status.Status, error) {
	body, err := control.Get(ctx, s.socket(), "/v1/status")
	if errors.Is(err, ipc.ErrNotRunning) {
		return status.Status{}, errNoService
	}
	if err != nil {
		return status.Status{}, err
	}
	var doc struct {
		Result status.Status `json:"result"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return status.Status{}, fmt.Errorf("read status document: %w", err)
	}
	return doc.Result, nil
}

// runClient runs the backup client, a program of its own, in the endpoint's
// namespace, and returns the last line that it prints.
func (s *netnsStage) runClient(ctx context.Context, progress io.Writer, args ...string) (string, error) {
	args = append([]string{"backup-client", "--server", demoServer + ":" + demoPort, "--ca", s.ca(), "--connect-timeout", "3s"}, args...)
	c := s.command(ctx, s.client, s.self, args...)
	var out, stderr bytes.Buffer
	c.Stdout, c.Stderr = &out, io.MultiWriter(progress, &stderr)
	if err := c.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("%s", lines[len(lines)-1])
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return lines[len(lines)-1], nil
}

func (s *netnsStage) Backup(ctx context.Context, src string, progress io.Writer) (string, error) {
	return s.runClient(ctx, progress, "--src", src)
}

func (s *netnsStage) Restore(ctx context.Context, id, dst string, progress io.Writer) error {
	_, err := s.runClient(ctx, progress, "--snapshot", id, "--restore-to", dst)
	return err
}

func (s *netnsStage) Settled() (bool, error) {
	addrs, err := exec.Command("ip", "-n", s.client, "-6", "addr", "show", "dev", "eth0", "scope", "global").Output()
	if err != nil {
		return false, fmt.Errorf("list addresses: %w", err)
	}
	routes, err := exec.Command("ip", "-n", s.client, "-6", "route", "show", "default").Output()
	if err != nil {
		return false, fmt.Errorf("list routes: %w", err)
	}
	return len(routes) > 0 && len(addrs) > 0 && !bytes.Contains(addrs, []byte("tentative")), nil
}

func (s *netnsStage) State() (string, error) {
	var all strings.Builder
	for _, what := range []string{"-br link", "-br addr", "-4 route show table all", "-6 route show table all"} {
		out, err := exec.Command("ip", append([]string{"-n", s.client}, strings.Fields(what)...)...).Output()
		if err != nil {
			return "", fmt.Errorf("ip %s: %w", what, err)
		}
		for line := range strings.Lines(string(out)) {
			// Lifetimes run on; they are not ours.
			before, _, _ := strings.Cut(line, " expires ")
			all.WriteString(strings.TrimSpace(before) + "\n")
		}
	}
	return all.String(), nil
}

// Close ends what was started, by process, and removes the namespaces.
func (s *netnsStage) Close() error {
	err := s.Stop(context.Background())
	for _, c := range s.helpers {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait() // its exit code is of no interest any more
	}
	for _, ns := range []string{s.client, s.router, s.server} {
		if _, serr := os.Stat("/run/netns/" + ns); serr == nil {
			err = errors.Join(err, ip("netns", "del", ns))
		}
	}
	return err
}
