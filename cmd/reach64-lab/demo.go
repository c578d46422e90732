package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/test/backup"
)

// The addresses of the demo. 198.51.100.0/24 and 2001:db8::/32 are for
// documentation (RFC 5737, RFC 3849); nothing leaves the machine.
const (
	demoServer = "198.51.100.10"
	demoPort   = "8443"
	demoPrefix = "2001:db8:64:ff9b::/96"
	demoLAN    = "2001:db8:1::/64"
	demoBytes  = 200 << 20
)

// stage is where the demo plays: network namespaces, or one process.
type stage interface {
	// Describe says in a few lines what was set up.
	Describe() string
	// Start starts reach64; Stop ends it and waits.
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	// Status returns what `reach64 status` shows; errNoService when it does not run.
	Status(ctx context.Context) (status.Status, error)
	// Backup and Restore run the IPv4-only client.
	Backup(ctx context.Context, src string, progress io.Writer) (id string, err error)
	Restore(ctx context.Context, id, dst string, progress io.Writer) error
	// Settled tells whether the endpoint has configured itself by the router's
	// advertisements.
	Settled() (bool, error)
	// State lists addresses, routes and links of the endpoint, to see that a stop
	// leaves nothing behind.
	State() (string, error)
	Close() error
}

var errNoService = errors.New("the service does not run")

// demo plays the whole scenario and returns the exit code.
func demo(ctx context.Context, args []string, out io.Writer) int {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	size := fs.Int64("bytes", demoBytes, "how many bytes to back up")
	memory := fs.Bool("memory", false, "play inside this process, without namespaces")
	inside := fs.Bool("inside-user-namespace", false, "set by the demo when it starts itself again in namespaces of its own")
	if fs.Parse(args) != nil {
		return exitUsage
	}
	if !*memory && !*inside && os.Geteuid() != 0 {
		if code, ok := inUserNamespace(ctx, out, append(args, "--inside-user-namespace")); ok {
			return code
		}
	}
	dir, err := os.MkdirTemp("", "reach64-demo-")
	if err != nil {
		fmt.Fprintln(out, "make folder:", err)
		return exitFailed
	}
	defer os.RemoveAll(dir)
	s, err := openStage(ctx, out, dir, *memory)
	if err != nil {
		fmt.Fprintln(out, "set up the demo:", err)
		return exitFailed
	}
	p := &player{out: out, stage: s, dir: dir, size: *size}
	err = p.play(ctx)
	if cerr := s.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("clean up: %w", cerr)
	}
	if err != nil {
		fmt.Fprintf(out, "\nThe demo FAILED: %v\n", err)
		if ctx.Err() != nil {
			return status.ExitInterrupted
		}
		return exitFailed
	}
	fmt.Fprintln(out, "\nThe demo worked. Everything it made is gone again.")
	return exitOK
}

// openStage picks namespaces where it can, and says why where it cannot.
func openStage(ctx context.Context, out io.Writer, dir string, memory bool) (stage, error) {
	if !memory {
		err := canNamespaces()
		if err == nil {
			return newNetnsStage(ctx, dir)
		}
		fmt.Fprintf(out, "Network namespaces cannot be used here (%v).\nThe same scenario plays with the same agent on a network inside this process.\n\n", err)
	}
	return newMemoryStage(ctx, dir)
}

// player plays the scenario on a stage.
type player struct {
	out   io.Writer
	stage stage
	dir   string
	size  int64
	n     int
}

func (p *player) step(format string, args ...any) {
	p.n++
	fmt.Fprintf(p.out, "\n== %d. %s\n", p.n, fmt.Sprintf(format, args...))
}

func (p *player) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

func (p *player) play(ctx context.Context) error {
	p.step("The network")
	p.say("%s", p.stage.Describe())
	src, dst := filepath.Join(p.dir, "files"), filepath.Join(p.dir, "restored")
	if err := backup.MakeTree(src, p.size, 64); err != nil {
		return fmt.Errorf("make files to back up: %w", err)
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	before, err := p.stage.State()
	if err != nil {
		return fmt.Errorf("read network state: %w", err)
	}
	if err := p.without(ctx, src); err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	if err := p.roundTrip(ctx, src, dst); err != nil {
		return err
	}
	return p.stop(ctx, before)
}

// settle waits until the endpoint has an IPv6 address, so that what reach64
// changes can be told from what the network does.
func (p *player) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := p.stage.Settled(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("the endpoint got no IPv6 address from the router")
		case <-tick.C:
		}
	}
}

// without shows that the same client fails as long as reach64 does not run.
func (p *player) without(ctx context.Context, src string) error {
	p.step("Without reach64 the client fails")
	if _, err := p.stage.Status(ctx); errors.Is(err, errNoService) {
		p.say("reach64 status: %v", err)
	} else {
		return fmt.Errorf("reach64 seems to run before it was started: %v", err)
	}
	_, err := p.stage.Backup(ctx, src, io.Discard)
	if err == nil {
		return errors.New("the client reached the server without reach64: this network is not IPv6-only")
	}
	p.say("backup to %s:%s: %v", demoServer, demoPort, err)
	return nil
}

// start starts reach64 and waits until a server answers through the CLAT.
func (p *player) start(ctx context.Context) error {
	p.step("reach64 starts")
	begin := time.Now()
	if err := p.stage.Start(ctx); err != nil {
		return fmt.Errorf("start reach64: %w", err)
	}
	s, err := p.wait(ctx, 30*time.Second)
	if err != nil {
		return err
	}
	p.say("ready %.2f s after its start", time.Since(begin).Seconds())
	if t := s.Times.RAToHandshake; t != nil {
		p.say("from the first router advertisement to the first handshake through the CLAT: %.2f s", *t)
	}
	p.step("The path, as reach64 status shows it")
	return s.Text(p.out, time.Now(), version, status.Style{})
}

// wait polls status, prints each change of it, and returns when a server is
// reached through the CLAT or the relay.
func (p *player) wait(ctx context.Context, limit time.Duration) (status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		s, err := p.stage.Status(ctx)
		if line := fmt.Sprintf("  network %s, path %s: %s", s.Class, s.Path, s.Sentence); err == nil && line != last {
			last = line
			p.say("%s", line)
		}
		if err == nil && (s.Path == "clat" || s.Path == "relay") && s.Exit() == status.ExitOK {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("no server was reached through reach64 within %v (status: %s, %s)", limit, s.Class, s.Reason)
		case <-tick.C:
		}
	}
}

// roundTrip backs up, restores, and compares.
func (p *player) roundTrip(ctx context.Context, src, dst string) error {
	p.step("The same client backs up %d MB to %s:%s", p.size>>20, demoServer, demoPort)
	begin := time.Now()
	id, err := p.stage.Backup(ctx, src, p.out)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	p.rate("saved", begin)
	p.step("It restores snapshot %.12s", id)
	begin = time.Now()
	if err := p.stage.Restore(ctx, id, dst, p.out); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	p.rate("restored", begin)
	if err := backup.Compare(src, dst); err != nil {
		return fmt.Errorf("compare what was restored: %w", err)
	}
	p.say("every file has the same SHA-256 as before")
	return nil
}

func (p *player) rate(what string, begin time.Time) {
	took := time.Since(begin)
	p.say("%s %d MB in %.2f s: %.0f MB/s", what, p.size>>20, took.Seconds(), float64(p.size)/1e6/took.Seconds())
}

// stop ends reach64 and compares the endpoint with what it was before.
func (p *player) stop(ctx context.Context, before string) error {
	p.step("Status after the work, and a clean stop")
	s, err := p.stage.Status(ctx)
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	if err := s.Text(p.out, time.Now(), version, status.Style{}); err != nil {
		return err
	}
	if err := p.stage.Stop(ctx); err != nil {
		return fmt.Errorf("stop reach64: %w", err)
	}
	after, err := p.stage.State()
	if err != nil {
		return fmt.Errorf("read network state: %w", err)
	}
	if before != after {
		return fmt.Errorf("reach64 left something behind; before:\n%s\nafter:\n%s", before, after)
	}
	p.say("\nreach64 stopped; addresses, routes and links are as they were before")
	return nil
}
