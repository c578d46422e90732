package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// space is a network namespace.
type space struct {
	name string
	b    *bench
}

func (b *bench) space(role string) (*space, error) {
	s := &space{name: fmt.Sprintf("r64b-%d-%s", os.Getpid(), role), b: b}
	if err := ip("netns", "add", s.name); err != nil {
		return nil, err
	}
	b.spaces = append(b.spaces, s)
	// The machine's own resolvers are none of ours.
	dir := filepath.Join("/etc/netns", s.name)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver ::1\n"), 0o644)); err != nil {
		return nil, err
	}
	if err := s.setCongestion(); err != nil {
		return nil, err
	}
	return s, s.ip("link set lo up")
}

// setCongestion takes the first of the congestion controls that a namespace may have
// here; the setting is the namespace's own and ends with it. Endpoints' kernels use
// CUBIC, which at round trips as short as these does what Reno does (RFC 9438
// section 4.3).
func (s *space) setCongestion() error {
	names := strings.FieldsFunc(s.b.opt.congestion, comma)
	for _, name := range names {
		script := "echo " + name + " >/proc/sys/net/ipv4/tcp_congestion_control"
		if _, _, err := s.output(context.Background(), "sh", "-c", script); err == nil {
			s.b.congestion = name
			return nil
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("set congestion control: this kernel allows none of %s in a namespace; -congestion '' leaves its own", s.b.opt.congestion)
	}
	return nil
}

// ip runs ip commands, one a line, in the namespace.
func (s *space) ip(lines string) error {
	for line := range strings.Lines(lines) {
		if f := strings.Fields(line); len(f) > 0 {
			if err := ip(append([]string{"-n", s.name}, f...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func (s *space) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", s.name}, args...)...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 5 * time.Second
	dir := filepath.Join(s.b.dir, s.name)
	c.Env = append(os.Environ(), "REACH64_STATE_DIR="+dir, "REACH64_RUN_DIR="+dir, "LC_ALL=C")
	return c
}

// output runs a program and returns what it printed, and the CPU time that it used.
func (s *space) output(ctx context.Context, args ...string) (string, time.Duration, error) {
	c := s.command(ctx, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, bytes.TrimSpace(errs.Bytes()))
	}
	if c.ProcessState == nil {
		return "", 0, err
	}
	return out.String(), c.ProcessState.UserTime() + c.ProcessState.SystemTime(), err
}

// play lets this program play a role in the namespace.
func (s *space) play(ctx context.Context, role string, config, result any) (time.Duration, error) {
	arg, err := json.Marshal(config)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	out, cpu, err := s.output(ctx, s.b.self, "play-"+role, string(arg))
	if err != nil {
		return cpu, err
	}
	if err := json.Unmarshal([]byte(out), result); err != nil {
		return cpu, fmt.Errorf("read result of %s: %w: %s", role, err, out)
	}
	return cpu, nil
}

// process is a program that goes on running. done is closed when it has ended.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start starts a program whose output goes to a file; bench.close ends it.
func (s *space) start(name string, args ...string) (*process, error) {
	p := &process{log: filepath.Join(s.b.dir, s.name+"-"+name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = s.command(context.Background(), args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // stop and lastLine tell what happened
		close(p.done)
	}()
	s.b.processes = append(s.b.processes, p)
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// lastLine is the last thing that the program said.
func (p *process) lastLine() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}
