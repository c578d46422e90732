package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/reach64/reach64/agent/metrics"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/tunnel/forward"
)

// forwardFlags are the flags of the verb.
type forwardFlags struct {
	network     networkFlags
	listen, to  string
	socks, http string
	metrics     string
	remote      bool
	idle        time.Duration
	conns       int
}

func forwardCommand() *cobra.Command {
	var f forwardFlags
	c := &cobra.Command{
		Use:   "forward",
		Short: "Listen on this machine and lead connections to a server, without privilege",
		Long: "Listen on this machine and lead connections to a server by whatever path works. It\n" +
			"needs no service and no administrator rights. Give one or more of:\n\n" +
			"  --listen 127.0.0.1:8443 --to backup.example.com:443   a port for one server\n" +
			"  --socks 127.0.0.1:1080                                a SOCKS5 proxy\n" +
			"  --http 127.0.0.1:3128                                 an HTTP proxy for CONNECT\n\n" +
			"It serves until it is interrupted.",
		RunE: func(c *cobra.Command, _ []string) error {
			log := logrus.New()
			log.SetOutput(c.ErrOrStderr())
			return runForward(c.Context(), log, f)
		},
	}
	f.network.add(c.Flags())
	fl := c.Flags()
	fl.StringVar(&f.listen, "listen", "", "ADDR:PORT to listen on for --to")
	fl.StringVar(&f.to, "to", "", "HOST:PORT that connections to --listen go to")
	fl.StringVar(&f.socks, "socks", "", "ADDR:PORT of a SOCKS5 proxy")
	fl.StringVar(&f.http, "http", "", "ADDR:PORT of an HTTP proxy for CONNECT")
	fl.StringVar(&f.metrics, "metrics", "", "ADDR:PORT where Prometheus finds /metrics")
	fl.BoolVar(&f.remote, "allow-remote", false, "listen on addresses that other machines can reach, too: anybody may use it then")
	fl.DurationVar(&f.idle, "idle", forward.DefaultIdle, "close connections in which nothing moves for this long")
	fl.IntVar(&f.conns, "max-connections", forward.DefaultConns, "connections of each listener at once")
	return c
}

// connDialer is the dialler as package forward wants it.
type connDialer struct{ n *network }

func (d connDialer) Dial(ctx context.Context, host string, port uint16) (net.Conn, error) {
	conn, _, err := d.n.dialer().Dial(ctx, host, port)
	return conn, err
}

func runForward(ctx context.Context, log logrus.FieldLogger, f forwardFlags) error {
	usage := func(format string, args ...any) error { return &exit{status.ExitUsage, fmt.Errorf(format, args...)} }
	switch {
	case (f.listen == "") != (f.to == ""):
		return usage("--listen and --to belong together")
	case f.listen == "" && f.socks == "" && f.http == "":
		return usage("forward needs --listen with --to, --socks, or --http; see reach64 forward --help")
	case f.idle <= 0 || f.conns <= 0:
		return usage("--idle and --max-connections must be above zero")
	}
	n, err := f.network.open()
	if err != nil {
		return err
	}
	s := &forward.Server{Dialer: connDialer{n}, Log: log, Idle: f.idle, Conns: f.conns}
	serve := []struct {
		addr, what string
		run        func(context.Context, net.Listener) error
	}{{f.socks, "SOCKS5 proxy", s.SOCKS5}, {f.http, "HTTP proxy", s.Connect}}
	if f.to != "" {
		host, port, err := hostPort(f.to)
		if err != nil {
			return err
		}
		serve = append(serve, struct {
			addr, what string
			run        func(context.Context, net.Listener) error
		}{f.listen, "port for " + f.to, func(ctx context.Context, l net.Listener) error { return s.To(ctx, l, host, port) }})
	}
	group, ctx := errgroup.WithContext(ctx)
	if f.metrics != "" {
		at, err := localAddr(f.metrics, f.remote)
		if err != nil {
			return err
		}
		m := metrics.New(version)
		m.ShowForward(s.Stats)
		group.Go(func() error { return m.Serve(ctx, log, at) })
	}
	for _, one := range serve {
		if one.addr == "" {
			continue
		}
		l, err := listenLocal(one.addr, f.remote)
		if err != nil {
			return err
		}
		defer l.Close()
		log.WithField("address", l.Addr().String()).Info("listening: " + one.what)
		group.Go(func() error { return one.run(ctx, l) })
	}
	return group.Wait()
}

// localAddr reads an address to listen on, and refuses those that others can reach
// unless remote is set.
func localAddr(text string, remote bool) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, &exit{status.ExitUsage, fmt.Errorf("listen on %q: it is not an address and a port such as 127.0.0.1:1080", text)}
	}
	if !addr.Addr().Unmap().IsLoopback() && !remote {
		return addr, &exit{status.ExitUsage, fmt.Errorf("listen on %s: other machines could use it; choose a loopback address, or add --allow-remote", addr)}
	}
	return addr, nil
}

// listenLocal opens a listener on such an address.
func listenLocal(text string, remote bool) (net.Listener, error) {
	addr, err := localAddr(text, remote)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}
