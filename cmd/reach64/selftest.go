package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/netmon"
	"github.com/reach64/reach64/platform/netstate"
)

// selftestLimit is how long all of it may take.
const selftestLimit = time.Minute

func selftestCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "selftest",
		Short: "Try on this machine what reach64 needs of the operating system, and undo it",
		Long: "Try on this machine what reach64 needs of the operating system: the network's state, a TUN\n" +
			"device with an address and a route, packets through it, the control socket. All of it is\n" +
			"undone. Stop the service first. Without the rights of an administrator the device is left\n" +
			"out. The report can be pasted into an issue: it has no names and addresses of this machine.\n\n" +
			"Exit codes: 0 all works, 1 something does not, 13 the service runs.",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), selftestLimit)
			defer cancel()
			held, err := acquire()
			switch {
			case err == nil:
				defer held.Close()
			case !isPermission(err):
				return err
			}
			log := logrus.New()
			log.SetOutput(io.Discard)
			r := &selftest{log: log, free: err == nil}
			r.run(ctx)
			if asJSON {
				err = printJSON(c.OutOrStdout(), r.Report)
			} else {
				_, err = io.WriteString(c.OutOrStdout(), r.text())
			}
			if err != nil {
				return fmt.Errorf("write report: %w", err)
			}
			if r.Report.Failed > 0 {
				return &exit{code: status.ExitFailed}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func isPermission(err error) bool {
	var e *exit
	return errors.As(err, &e) && e.code == status.ExitNotPermitted
}

// trial is the result of one check: pass, fail or skip, and what was seen.
type trial struct {
	Name    string  `json:"name"`
	Verdict string  `json:"verdict"`
	Seen    string  `json:"seen"`
	Took    float64 `json:"took"` // seconds
}

// selftestReport is what is printed.
type selftestReport struct {
	Version  string  `json:"version"`
	Platform string  `json:"platform"`
	Go       string  `json:"go"`
	Trials   []trial `json:"trials"`
	Passed   int     `json:"passed"`
	Failed   int     `json:"failed"`
	Skipped  int     `json:"skipped"`
}

// selftest runs the checks. free: it holds the lock, and so may change the network.
type selftest struct {
	Report selftestReport
	log    *logrus.Logger
	free   bool
	before netstate.Snapshot
}

// errSkip is the cause when a check cannot be made here.
var errSkip = errors.New("not checked")

// try makes one check.
func (s *selftest) try(name string, check func() (seen string, err error)) bool {
	start := time.Now()
	seen, err := check()
	t := trial{Name: name, Verdict: "pass", Seen: seen, Took: time.Since(start).Seconds()}
	switch {
	case err == nil:
		s.Report.Passed++
	case errors.Is(err, errSkip):
		t.Verdict, t.Seen = "skip", err.Error()
		s.Report.Skipped++
	default:
		t.Verdict, t.Seen = "fail", err.Error()
		s.Report.Failed++
	}
	s.Report.Trials = append(s.Report.Trials, t)
	return err == nil
}

func (s *selftest) run(ctx context.Context) {
	s.Report = selftestReport{Version: version, Platform: platform.Name(), Go: runtime.Version()}
	monitor, err := netmon.New(s.log)
	if err != nil {
		s.try("network state", func() (string, error) { return "", err })
		return
	}
	s.try("network state", func() (string, error) { return s.state(monitor) })
	s.try("state agrees with the Go library", func() (string, error) { return agrees(s.before) })
	s.try("name servers", func() (string, error) { return nameServersSeen(s.before) })
	s.try("router advertisements", func() (string, error) { return routersHeard(ctx, s.before) })
	s.try("the system's own CLAT", func() (string, error) { return ownCLATSeen(s.before) })
	s.try("DirectAccess policy", policySeen)
	s.try("policy for reach64", ownPolicySeen)
	s.try("control socket", func() (string, error) { return controlSocket(ctx) })
	s.try("service manager", serviceSeen)
	s.device(ctx, monitor)
}

// state reads the network's state and says what kinds of things are there.
func (s *selftest) state(m *netmon.Monitor) (string, error) {
	snap, err := m.Snapshot()
	if err != nil {
		return "", err
	}
	s.before = snap
	var up, tunnels, addrs int
	for _, l := range snap.Links {
		addrs += len(l.Addrs)
		if l.Up {
			up++
		}
		if l.Tunnel {
			tunnels++
		}
	}
	_, four := snap.Default(false)
	_, six := snap.Default(true)
	return fmt.Sprintf("%d links, %d up, %d tunnels, %d addresses, %d routes; default route IPv4 %v, IPv6 %v", len(snap.Links), up, tunnels, addrs, len(snap.Routes), four, six), nil
}

// text is the report for people.
func (s *selftest) text() string {
	var b strings.Builder
	r := s.Report
	fmt.Fprintf(&b, "reach64 %s selftest on %s, %s\n\n", r.Version, r.Platform, r.Go)
	for _, t := range r.Trials {
		fmt.Fprintf(&b, "%-4s  %-34s %s\n", strings.ToUpper(t.Verdict), t.Name, t.Seen)
	}
	fmt.Fprintf(&b, "\n%d passed, %d failed, %d skipped\n", r.Passed, r.Failed, r.Skipped)
	return b.String()
}
