package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// space is one network namespace of a lab.
type space struct {
	l    *lab
	name string
}

// command prepares a program in the namespace. `ip netns exec` becomes the
// program, so the process is the program's own.
func (s *space) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", s.name, program}, args...)...)
	c.WaitDelay = time.Second
	c.Env = append(os.Environ(), s.l.env...)
	return c
}

// try runs a program in the namespace, for at most limit, and returns what it
// printed on both outputs.
func (s *space) try(limit time.Duration, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := s.command(ctx, program, args...).CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("not done after %v", limit)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), err
}

// must runs a program in the namespace; an error ends the test.
func (s *space) must(program string, args ...string) string {
	s.l.t.Helper()
	out, err := s.try(30*time.Second, program, args...)
	if err != nil {
		s.l.t.Fatal(err)
	}
	return out
}

// ip runs ip commands, one a line, in the namespace.
func (s *space) ip(lines string) {
	s.l.t.Helper()
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := ip(append([]string{"-n", s.name}, strings.Fields(line)...)...); err != nil {
			s.l.t.Fatal(err)
		}
	}
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// sysctl writes one below /proc/sys/net. Never the client's.
func (s *space) sysctl(name, value string) {
	s.l.t.Helper()
	if s == s.l.client {
		s.l.t.Fatalf("the lab must not write %s in the client's namespace", name)
	}
	s.must("sh", "-c", "echo "+value+" > /proc/sys/net/"+name)
}

// process is a program that goes on running in a namespace. A goroutine of its
// own waits for it; done is closed when it has ended.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	log  string // its output
	done chan struct{}
	err  error // of Wait; read after done
}

// start starts a program in the namespace; the lab ends it. Its output goes to NAME.log.
func (s *space) start(name, program string, args ...string) *process {
	s.l.t.Helper()
	return s.l.run(name, s.command(context.Background(), program, args...))
}

// run starts a program, whose output goes to NAME.log; the lab ends it.
func (l *lab) run(name string, c *exec.Cmd) *process {
	l.t.Helper()
	p := &process{t: l.t, name: name, log: filepath.Join(l.dir, name+".log"), done: make(chan struct{}), cmd: c}
	out, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		l.t.Fatal(err)
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		l.t.Fatalf("start %s: %v", name, err)
	}
	l.processes = append(l.processes, p)
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// output is what the program has printed so far.
func (p *process) output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// waitFor waits until the program has printed text.
func (p *process) waitFor(text string) {
	p.t.Helper()
	eventually(p.t, 15*time.Second, p.name+" prints "+text, func() error {
		switch out := p.output(); {
		case strings.Contains(out, text):
			return nil
		case p.ended():
			p.t.Fatalf("%s ended: %v\n%s", p.name, p.err, out)
		}
		return errors.New("it has not")
	})
}

// end sends a signal and waits for the end, at most limit; then the program is
// killed, which is an error. It returns the exit code, -1 for a signal. A Go
// program first gets a chance to write down what its goroutines wait for.
func (p *process) end(sig os.Signal, limit time.Duration) (int, error) {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, fmt.Errorf("signal %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(limit):
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // whoever ignores it is killed
	select {
	case <-p.done:
	case <-time.After(time.Second):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return -1, fmt.Errorf("%s did not end %v after %v, it was killed", p.name, limit, sig)
}

// stop ends the program as a service manager would.
func (p *process) stop() error {
	_, err := p.end(syscall.SIGTERM, 10*time.Second)
	return err
}

// pollEvery is how often a condition is looked at.
const pollEvery = 25 * time.Millisecond

// eventually waits until ok returns nil; its last error ends the test.
func eventually(t *testing.T, limit time.Duration, what string, ok func() error) {
	t.Helper()
	if err := poll(limit, ok); err != nil {
		t.Fatalf("%s: not within %v: %v", what, limit, err)
	}
}

// poll calls ok until it returns nil or limit has passed, and returns the last
// error.
func poll(limit time.Duration, ok func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		err := ok()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}
