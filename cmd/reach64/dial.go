package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/tunnel/dial"
)

func dialCommand() *cobra.Command {
	var f networkFlags
	var explain, asJSON bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "dial HOST:PORT",
		Short: "Connect to a server by whatever path works, and pipe standard input and output",
		Long: "Connect to a server by whatever path works - native IPv6, the network's NAT64, the\n" +
			"CLAT, native IPv4 - and pipe standard input and output through the connection. It\n" +
			"needs no service and no privilege, and serves as an SSH ProxyCommand:\n\n" +
			"  ssh -o ProxyCommand='reach64 dial %h:%p' host\n\n" +
			"Exit codes: 0 the connection stood and ended, 11 no path works.",
		Args: oneArgument("HOST:PORT"),
		RunE: func(c *cobra.Command, args []string) error {
			host, port, err := hostPort(args[0])
			if err != nil {
				return err
			}
			n, err := f.open()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			conn, report, err := n.dialer().Dial(ctx, host, port)
			if explain || asJSON {
				return showRace(c.OutOrStdout(), conn, report, err, n, asJSON)
			}
			if err != nil {
				return noPath(err)
			}
			return pipe(c.Context(), conn, c.InOrStdin(), c.OutOrStdout())
		},
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&explain, "explain", false, "print what was tried, and close the connection")
	c.Flags().BoolVar(&asJSON, "json", false, "print what was tried as JSON, and close the connection")
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "for the connection to stand")
	return c
}

// oneArgument wants exactly one argument.
func oneArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return &exit{status.ExitUsage, fmt.Errorf("%s takes one %s, got %d arguments", c.Name(), what, len(args))}
		}
		return nil
	}
}

// noPath gives the error of a race its exit code.
func noPath(err error) error {
	var e *dial.Error
	if errors.As(err, &e) && !errors.Is(err, context.Canceled) {
		return &exit{status.ExitPathBroken, err}
	}
	return err
}

// linger is how long standard input may pause once the server has said that nothing
// more comes from it. Whether it still reads cannot be seen.
const linger = 2 * time.Second

// pipe copies both ways. The end of each direction is handed on by itself. It
// returns when both have ended; or when the server's has, and standard input has
// not moved for a while.
func pipe(ctx context.Context, conn net.Conn, in io.Reader, out io.Writer) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	up := &counted{r: in}
	sent := make(chan struct{})
	go func() { // ends with standard input or the process, whichever is first
		defer close(sent)
		_, _ = io.Copy(conn, up)
		if h, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = h.CloseWrite()
		}
	}()
	if _, err := io.Copy(out, conn); err != nil && ctx.Err() == nil {
		return fmt.Errorf("pipe: %w", err)
	}
	if c, ok := out.(io.Closer); ok {
		_ = c.Close()
	}
	for seen := int64(-1); seen != up.n.Load(); {
		seen = up.n.Load()
		select {
		case <-sent:
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(linger):
		}
	}
	return nil
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// raceResult is the JSON document of dial --explain.
type raceResult struct {
	dial.Report
	Prefixes []string `json:"prefixes"`
	Origin   string   `json:"prefixes_from"`
	Error    string   `json:"error,omitempty"`
}

// showRace prints a race and closes what it won.
func showRace(out io.Writer, conn net.Conn, r dial.Report, err error, n *network, asJSON bool) error {
	if conn != nil {
		_ = conn.Close()
	}
	result := raceResult{Report: r, Prefixes: []string{}, Origin: n.origin}
	for _, p := range n.known.Prefixes {
		result.Prefixes = append(result.Prefixes, p.String())
	}
	if err != nil {
		result.Error = err.Error()
	}
	var werr error
	if asJSON {
		werr = printJSON(out, result)
	} else {
		_, werr = io.WriteString(out, raceText(result))
	}
	if werr != nil {
		return fmt.Errorf("write race: %w", werr)
	}
	if err != nil {
		return &exit{code: status.ExitPathBroken}
	}
	return nil
}

func raceText(r raceResult) string {
	var b strings.Builder
	if len(r.Prefixes) > 0 {
		fmt.Fprintf(&b, "NAT64 prefix %s, from %s\n", strings.Join(r.Prefixes, ", "), r.Origin)
	} else {
		b.WriteString("No NAT64 prefix is known.\n")
	}
	for _, l := range r.Lookups {
		fmt.Fprintf(&b, "%-5s %v in %s", l.Type, l.Addresses, l.Took.Round(time.Microsecond*100))
		if l.Err != "" {
			fmt.Fprintf(&b, ": %s", l.Err)
		}
		b.WriteByte('\n')
	}
	for _, a := range r.Attempts {
		fmt.Fprintf(&b, "%+8.1f ms  %-18s %-45s %s", a.Start*1000, a.Kind, a.Addr, a.State)
		if a.State != "given-up" {
			fmt.Fprintf(&b, " after %.1f ms", a.Seconds*1000)
		}
		if a.Err != "" {
			fmt.Fprintf(&b, ": %s", a.Err)
		}
		b.WriteByte('\n')
	}
	if r.Winner == nil {
		fmt.Fprintf(&b, "No path to %s works.\n", net.JoinHostPort(r.Host, fmt.Sprint(r.Port)))
	}
	return b.String()
}
