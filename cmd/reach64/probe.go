package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/probe"
	"github.com/reach64/reach64/tunnel/dial"
)

// probeFlags are the flags of the verb.
type probeFlags struct {
	network    networkFlags
	plain      bool
	serverName string
	ca         string
	pins       []string
	timeout    time.Duration
	json       bool
}

func probeCommand() *cobra.Command {
	var f probeFlags
	c := &cobra.Command{
		Use:   "probe [HOST:PORT]",
		Short: "Connect to a server, check its certificate, and say by which path",
		Long: "Connect to a server by whatever path works, complete a TLS handshake, and print path,\n" +
			"times and certificate. Nothing is sent after the handshake. Without HOST:PORT the\n" +
			"servers of the configuration are probed, with the identity that is configured.\n\n" +
			"Exit codes: 0 every server is reached, 10 some are not, 11 none is.",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &exit{status.ExitUsage, fmt.Errorf("probe takes one HOST:PORT at most, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runProbe(c.Context(), c.OutOrStdout(), f, args) },
	}
	f.network.add(c.Flags())
	fl := c.Flags()
	fl.BoolVar(&f.plain, "no-tls", false, "be content with a TCP connection")
	fl.StringVar(&f.serverName, "server-name", "", "name that the certificate must carry (default: HOST)")
	fl.StringVar(&f.ca, "ca", "", "PEM file of certificate authorities (default: the system's)")
	fl.StringArrayVar(&f.pins, "pin", nil, "SHA-256 in hex of the certificate or its key, in place of the authority check (may be repeated)")
	fl.DurationVar(&f.timeout, "timeout", 15*time.Second, "for one server")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	return c
}

// probed is what is printed about one server.
type probed struct {
	Host      string      `json:"host"`
	Port      uint16      `json:"port"`
	Reachable bool        `json:"reachable"`
	Path      *string     `json:"path"`
	Address   *string     `json:"address"`
	RTT       *float64    `json:"rtt"`       // seconds, of the TCP handshake
	Handshake *float64    `json:"handshake"` // seconds, of the TLS handshake
	Reason    string      `json:"reason"`
	Error     *string     `json:"error"`
	Cert      *certInfo   `json:"certificate"`
	Race      dial.Report `json:"race"`
}

// certInfo is the server's own certificate.
type certInfo struct {
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	Names      []string  `json:"names"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	SHA256     string    `json:"sha256"`
	KeySHA256  string    `json:"key_sha256"`
	Trusted    bool      `json:"trusted"`
	Unverified string    `json:"unverified,omitempty"` // why it is not trusted
}

func runProbe(ctx context.Context, out io.Writer, f probeFlags, args []string) error {
	n, err := f.network.open()
	if err != nil {
		return err
	}
	targets, err := f.targets(n, args)
	if err != nil {
		return err
	}
	var results []probed
	reached := 0
	for _, t := range targets {
		r := f.probe(ctx, n, t)
		if r.Reachable {
			reached++
		}
		results = append(results, r)
	}
	if err := showProbed(out, results, f.json); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	switch {
	case reached == len(results):
		return nil
	case reached > 0:
		return &exit{code: status.ExitDegraded}
	}
	return &exit{code: status.ExitPathBroken}
}

// target is one server to probe. Addr of what is embedded is set by the race.
type probeTarget struct {
	probe.Target
	port uint16
}

// targets are the server that was asked for, with the identity of the
// configuration where that knows it, or all of the configuration.
func (f probeFlags) targets(n *network, args []string) ([]probeTarget, error) {
	var all []probeTarget
	for _, s := range n.conf.Servers {
		all = append(all, probeTarget{probe.Target{Name: s.Name, TLS: s.TLS, ServerName: s.ServerName, CAs: s.CAs, PinSHA256: s.Pins}, s.Port})
	}
	if len(args) == 0 {
		if len(all) == 0 {
			return nil, &exit{status.ExitUsage, fmt.Errorf("probe needs HOST:PORT: no server is configured in %s", f.network.config)}
		}
		return all, nil
	}
	host, port, err := hostPort(args[0])
	if err != nil {
		return nil, err
	}
	t := probeTarget{probe.Target{Name: host, TLS: true}, port}
	for _, s := range all {
		if strings.EqualFold(s.Name, host) && s.port == port {
			t = s
		}
	}
	return f.identity(t)
}

// identity applies the flags to a target.
func (f probeFlags) identity(t probeTarget) ([]probeTarget, error) {
	t.TLS = t.TLS && !f.plain
	if f.serverName != "" {
		t.ServerName = f.serverName
	}
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, &exit{status.ExitUsage, fmt.Errorf("read --ca: %w", err)}
		}
		t.CAs = x509.NewCertPool()
		if !t.CAs.AppendCertsFromPEM(text) {
			return nil, &exit{status.ExitUsage, fmt.Errorf("read --ca: %s holds no certificate in PEM", f.ca)}
		}
	}
	for _, p := range f.pins {
		b, err := hex.DecodeString(strings.ReplaceAll(p, ":", ""))
		if err != nil || len(b) != sha256.Size {
			return nil, &exit{status.ExitUsage, fmt.Errorf("--pin %q is not a SHA-256 of 64 hex digits", p)}
		}
		t.PinSHA256 = append(t.PinSHA256, b)
	}
	return []probeTarget{t}, nil
}

// probe races to one server. A path whose other end does not prove to be the
// server loses, and the next one is tried.
func (f probeFlags) probe(ctx context.Context, n *network, t probeTarget) probed {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	results := make(chan probe.Result, 128) // one for each attempt, which are fewer
	d := n.dialer()
	d.Check = func(ctx context.Context, conn net.Conn) (net.Conn, error) {
		target := t.Target
		target.Addr, _ = netip.ParseAddrPort(conn.RemoteAddr().String())
		r := probe.Probe(ctx, connected{conn}, target)
		results <- r
		if !r.Reachable {
			return nil, fmt.Errorf("%s: %s", r.Reason, r.Err)
		}
		return conn, nil // closed by the probe
	}
	_, report, err := d.Dial(ctx, t.Name, t.port)
	close(results)
	out := probed{Host: t.Name, Port: t.port, Race: report, Reason: probe.OK}
	for r := range results {
		out.take(r)
	}
	if err != nil {
		if out.Reason == probe.OK {
			out.Reason = reasonOf(err)
		}
		out.Error = status.Ptr(err.Error())
		return out
	}
	w := report.Winner
	out.Reachable, out.Reason = true, probe.OK
	out.Path, out.Address = status.Ptr(string(w.Kind)), status.Ptr(w.Addr.String())
	out.RTT = status.Ptr(max(0, w.Seconds-deref(out.Handshake)))
	return out
}

func deref(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

// reasonOf is the word for a race that no connection came out of.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return probe.Timeout
	case strings.Contains(err.Error(), "no address to try"):
		return "no-address"
	case strings.Contains(err.Error(), "refused"):
		return probe.Refused
	}
	return probe.Unreachable
}

// take takes in what one attempt found; a later one that succeeded wins.
func (p *probed) take(r probe.Result) {
	p.Reason = r.Reason
	if r.Handshake > 0 {
		p.Handshake = status.Seconds(r.Handshake)
	}
	if len(r.Chain) == 0 {
		return
	}
	leaf := r.Chain[0]
	cert, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	p.Cert = &certInfo{Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Names: leaf.DNSNames, NotBefore: leaf.NotBefore,
		NotAfter: leaf.NotAfter, SHA256: hex.EncodeToString(cert[:]), KeySHA256: hex.EncodeToString(key[:]), Trusted: r.Reachable, Unverified: r.Err}
	for _, ip := range leaf.IPAddresses {
		p.Cert.Names = append(p.Cert.Names, ip.String())
	}
}

// connected is a dialler whose connection stands already.
type connected struct{ net.Conn }

func (c connected) DialContext(context.Context, string, string) (net.Conn, error) { return c.Conn, nil }

func showProbed(out io.Writer, results []probed, asJSON bool) error {
	if asJSON {
		return printJSON(out, map[string]any{"servers": results})
	}
	for _, r := range results {
		var b strings.Builder
		fmt.Fprintf(&b, "%s: ", net.JoinHostPort(r.Host, fmt.Sprint(r.Port)))
		if r.Reachable {
			fmt.Fprintf(&b, "reached by %s at %s, TCP in %.1f ms", *r.Path, *r.Address, deref(r.RTT)*1000)
			if r.Handshake != nil {
				fmt.Fprintf(&b, ", TLS in %.1f ms", *r.Handshake*1000)
			}
			b.WriteByte('\n')
		} else {
			fmt.Fprintf(&b, "not reached: %s\n", r.Reason)
			for _, a := range r.Race.Attempts {
				fmt.Fprintf(&b, "  %s by %s: %s\n", a.Addr, a.Kind, a.Err)
			}
			for _, l := range r.Race.Lookups {
				if l.Err != "" {
					fmt.Fprintf(&b, "  look up %s: %s\n", l.Type, l.Err)
				}
			}
		}
		if c := r.Cert; c != nil {
			fmt.Fprintf(&b, "  certificate %s, issued by %s\n  for %s, valid %s to %s\n  SHA-256 %s\n  key SHA-256 %s\n", c.Subject, c.Issuer,
				strings.Join(c.Names, ", "), c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly), c.SHA256, c.KeySHA256)
		}
		if _, err := io.WriteString(out, b.String()); err != nil {
			return err
		}
	}
	return nil
}
