package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/probe"
)

// doctorFlags are the flags of the verb.
type doctorFlags struct {
	from    configuration
	named   bool // --config was given
	socket  string
	only    []string
	failOn  string
	html    string
	json    bool
	verbose bool
}

const defaultPort = 443

func doctorCommand() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor [HOST[:PORT]]",
		Short: "Find the broken step on the way to the backup servers",
		Long: "Walk the way to the backup servers step by step: interfaces, addresses, routes, DNS servers,\n" +
			"names, DNS64, the NAT64 prefix and the NAT64, packet sizes, the server's TCP, TLS and\n" +
			"certificate, the CLAT, other CLATs and VPNs, service, clock, configuration and policy. Each\n" +
			"step is a check with its evidence; the first FAIL is the broken one, and says what to do.\n" +
			"What follows from it is skipped. Without HOST the servers of the configuration are looked\n" +
			"at. It works with and without the service and without root; what cannot be seen is UNKNOWN.\n\n" +
			"Nothing is changed. To servers go handshakes and echo requests, nothing else.\n\n" +
			"Exit codes: 0 nothing failed, 10 something failed but applications reach the server, 11 they\n" +
			"do not, 12 they do not and no step is found to be broken; when the first failure is the\n" +
			"service 3, a permission 4, the configuration 5, another CLAT 13. --fail-on warn or unknown\n" +
			"makes these fail too (10, 12), --fail-on never ends with 0.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &exit{status.ExitUsage, fmt.Errorf("doctor takes one HOST[:PORT] at most, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			f.named = c.Flags().Changed("config")
			return runDoctor(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), f, args)
		},
	}
	f.from.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.socket, "socket", "", "control socket of the service (default: that of the configuration, or of this system)")
	fl.StringSliceVar(&f.only, "only", nil, "just these checks, by code: "+strings.Join(diag.Codes(), ", "))
	fl.StringVar(&f.failOn, "fail-on", string(diag.OnFail), "worst verdict that is no failure is the one before: fail, warn, unknown, never")
	fl.StringVar(&f.html, "html", "", "write the report as a page to this file, too")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "show all the evidence of what is well, too")
	return c
}

func runDoctor(ctx context.Context, out, stderr io.Writer, f doctorFlags, args []string) error {
	on, err := diag.ParseFailOn(f.failOn)
	if err != nil {
		return &exit{status.ExitUsage, err}
	}
	for _, code := range f.only {
		if !slices.Contains(diag.Codes(), code) {
			return &exit{status.ExitUsage, fmt.Errorf("--only: there is no check %q; there are %s", code, strings.Join(diag.Codes(), ", "))}
		}
	}
	host := ""
	if len(args) == 1 {
		host = args[0]
	}
	report, _, err := examine(ctx, f, host, progress(stderr, f.json))
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &exit{code: status.ExitInterrupted}
	}
	if f.html != "" {
		socket := f.socket
		if socket == "" {
			socket = socketOf(f)
		}
		if err := writeHTML(f.html, report, samples(ctx, socket, 0)); err != nil {
			return err
		}
	}
	if f.json {
		err = printJSON(out, report)
	} else {
		err = report.Text(out, status.Style{Color: colored(out), Verbose: f.verbose})
	}
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return exitWith(report.Exit(on))
}

// examine gathers and judges.
func examine(ctx context.Context, f doctorFlags, host string, tell diag.Tell) (diag.Report, *diag.Evidence, error) {
	q := diag.Question{Version: version, Built: built(), DNS: map[string][]netip.Addr{}, Topics: diag.TopicsOf(f.only)}
	ports, socket := doctorPorts(), f.socket
	if !f.named {
		f.from.file = fileOfService(ctx, socket, f.from.file)
	}
	q.Config = readConfig(f.from)
	if socket == "" {
		socket = q.Config.Conf.Control.Socket
	}
	ports.Service = serviceAt(socket)
	var err error
	if q.Servers, err = doctorTargets(q.Config.Conf.Servers, host); err != nil {
		return diag.Report{}, nil, err
	}
	names := readRules(q.Config.Conf)
	for _, s := range q.Servers {
		q.DNS[s.Name], _ = names.of(s.Name)
	}
	e := diag.Gather(ctx, ports, q, tell)
	return diag.Make(e, f.only), e, nil
}

// doctorTargets are the server that was asked for, with its identity where the
// configuration knows it, or all of the configuration.
func doctorTargets(known []config.Server, text string) (out []diag.Server, err error) {
	for _, s := range known {
		_, err := netip.ParseAddr(s.Name)
		out = append(out, diag.Server{Name: s.Name, Port: s.Port, Literal: err == nil, Given: s.IPv4,
			Identity: probe.Target{Name: s.Name, TLS: s.TLS, ServerName: s.ServerName, CAs: s.CAs, PinSHA256: s.Pins}})
	}
	if text == "" {
		return out, nil
	}
	host, port, err := hostPort(text)
	if _, aerr := netip.ParseAddr(strings.Trim(text, "[]")); err != nil && (aerr == nil || !strings.Contains(text, ":")) {
		host, port, err = strings.Trim(text, "[]"), 0, nil
	}
	if err != nil {
		return nil, err
	}
	for _, s := range out {
		if strings.EqualFold(s.Name, host) && (port == 0 || s.Port == port) {
			return []diag.Server{s}, nil
		}
	}
	if port == 0 {
		port = defaultPort
	}
	s := diag.Server{Name: host, Port: port, Identity: probe.Target{Name: host, TLS: true}}
	if a, err := netip.ParseAddr(host); err == nil {
		s.Literal = true
		if a = a.Unmap(); a.Is4() {
			s.Given = []netip.Addr{a}
		}
	}
	return []diag.Server{s}, nil
}

// progress says on a terminal what is being looked at.
func progress(w io.Writer, quiet bool) diag.Tell {
	if quiet || !terminal(w) {
		return nil
	}
	var open []string
	return func(t diag.Topic, done bool) {
		if done {
			open = slices.DeleteFunc(open, func(o string) bool { return o == string(t) })
		} else {
			open = append(open, string(t))
		}
		line := ""
		if len(open) > 0 {
			line = "looking at " + strings.Join(open, ", ") + " ..."
		}
		fmt.Fprintf(w, "\r\x1b[K%.79s", line)
	}
}

// terminal tells whether a person sees what is written.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// colored tells whether colour may be added (https://no-color.org).
func colored(w io.Writer) bool { return terminal(w) && os.Getenv("NO_COLOR") == "" }
