package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/bundle"
	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/agent/report"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/nat64"
)

// bundleFlags are the flags of the verb.
type bundleFlags struct {
	doctor    doctorFlags
	out       string
	anonymize string // "", names, strict
	wait      time.Duration
	capture   bool
}

// bundleCapture bounds the capture in a bundle, bytes.
const bundleCapture = 16 << 20

// maxBundleWait bounds --for.
const maxBundleWait = time.Hour

func bundleCommand() *cobra.Command {
	var f bundleFlags
	c := &cobra.Command{
		Use:   "bundle [HOST[:PORT]]",
		Short: "Write a zip with all that a support engineer needs",
		Long: "Write a zip with the doctor's report, status, transitions, log, network state, DNS answers,\n" +
			"metrics, goroutines and configuration; its README names each file. Passwords, tokens and\n" +
			"keys are left out. --for 2m waits so long and writes down what changes meanwhile: reproduce\n" +
			"the trouble then. --anonymize replaces addresses, link addresses and the names that are\n" +
			"known by pseudonyms that keep their relations; with =strict every word that looks like a\n" +
			"host name, too. As root the bundle holds more.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &exit{status.ExitUsage, fmt.Errorf("bundle takes one HOST[:PORT] at most, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			f.doctor.named = c.Flags().Changed("config")
			return runBundle(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), f, append(args, "")[0])
		},
	}
	f.doctor.from.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.doctor.socket, "socket", "", "control socket of the service (default: that of the configuration, or of this system)")
	fl.StringVarP(&f.out, "out", "o", "", "file to write (default: reach64-bundle-TIME.zip in this folder), - for standard output")
	fl.StringVar(&f.anonymize, "anonymize", "", "replace names and addresses: names, strict")
	fl.Lookup("anonymize").NoOptDefVal = "names"
	fl.DurationVar(&f.wait, "for", 0, "watch for so long first, up to 1h")
	fl.BoolVar(&f.capture, "capture", false, "capture both sides of the CLAT meanwhile: headers alone, up to 16 MiB (root; with --for)")
	return c
}

func runBundle(ctx context.Context, out, stderr io.Writer, f bundleFlags, host string) error {
	var a *bundle.Anonymizer
	switch f.anonymize {
	case "":
	case "names", "strict":
		a = bundle.NewAnonymizer(f.anonymize == "strict")
	default:
		return &exit{status.ExitUsage, fmt.Errorf("--anonymize %q is none of names, strict", f.anonymize)}
	}
	if f.wait < 0 || f.wait > maxBundleWait {
		return &exit{status.ExitUsage, fmt.Errorf("--for %v is not a time up to %v", f.wait, maxBundleWait)}
	}
	if f.capture && f.wait == 0 {
		return &exit{status.ExitUsage, errors.New("--capture needs --for: how long to capture")}
	}
	now := time.Now()
	folder := "reach64-bundle-" + now.UTC().Format("20060102-150405")
	if f.out == "" {
		f.out = folder + ".zip"
	}
	files, err := collect(ctx, stderr, f, host, a)
	if err != nil {
		return err
	}
	o, err := createOut(f.out)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	if err := bundle.Write(o, folder, now, files, a); err != nil {
		o.Discard()
		return err
	}
	if err := o.Commit(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	if f.out != "-" {
		_, err = fmt.Fprintf(out, "%s\n", f.out)
	}
	return err
}

// collect gathers the files. a learns the names that are to be replaced.
func collect(ctx context.Context, stderr io.Writer, f bundleFlags, host string, a *bundle.Anonymizer) ([]bundle.File, error) {
	var files []bundle.File
	add := func(name, about string, data []byte, err error) {
		file := bundle.File{Name: name, About: about, Data: data}
		if err != nil {
			file.Why = err.Error()
		}
		files = append(files, file)
	}
	socket := f.doctor.socket
	if socket == "" {
		socket = socketOf(f.doctor)
	}
	var packets bytes.Buffer
	captured := make(chan error, 1) // one value, from the goroutine below
	if f.capture {
		// Names and prefixes have to be known before the first packet is made anonymous.
		if a != nil {
			if _, e, err := examine(ctx, f.doctor, host, nil); err == nil {
				learnNames(a, e)
			}
		}
		go func() { captured <- captureInto(ctx, socket, f.wait, &packets, a) }()
	}
	sampled := make(chan []report.Sample, 1) // one value, from the goroutine below
	go func() { sampled <- samples(ctx, socket, f.wait) }()
	changes, err := transitions(ctx, stderr, socket, f.wait)
	seen := <-sampled
	var perr error
	if f.capture {
		perr = <-captured
	}
	found, e, derr := examine(ctx, f.doctor, host, progress(stderr, false))
	if derr != nil {
		return nil, derr
	}
	if ctx.Err() != nil {
		return nil, &exit{code: status.ExitInterrupted}
	}
	if a != nil {
		learnNames(a, e)
	}
	var text bytes.Buffer
	terr := found.Text(&text, status.Style{Verbose: true})
	add("doctor.txt", "every check with all its evidence", text.Bytes(), terr)
	doc, jerr := envelope(found)
	add("doctor.json", "the same for programs", doc, jerr)
	var page bytes.Buffer
	herr := report.Write(&page, report.Page{At: time.Now(), Version: version, Doctor: found, Samples: seen})
	add("report.html", "the same as a page, with the path as a picture and the status over time", page.Bytes(), herr)
	doc, serr := control.Get(ctx, socket, "/v1/status")
	add("status.json", "the service's status", doc, serr)
	add("transitions.jsonl", "the status at the beginning and after each change, one a line", changes, err)
	var log bytes.Buffer
	lerr := control.Logs(ctx, socket, ringLines, false, &log)
	add("logs.txt", "the last lines of the service's log", log.Bytes(), lerr)
	doc, jerr = json.MarshalIndent(e.Net, "", "  ")
	if e.NetErr != "" {
		jerr = errors.New(e.NetErr)
	}
	add("network.json", "links, addresses, routes and DNS servers of this machine", doc, jerr)
	doc, jerr = json.MarshalIndent(dnsState(e), "", "  ")
	add("dns.json", "what each DNS server says, and what programs get", doc, jerr)
	doc, merr := control.Get(ctx, socket, "/v1/metrics")
	add("metrics.txt", "the service's counters", doc, merr)
	doc, gerr := control.Get(ctx, socket, "/v1/goroutines")
	add("goroutines.txt", "what each goroutine of the service is at", doc, gerr)
	files[len(files)-1].Code = true
	if f.capture {
		add("capture.pcapng", "both sides of the CLAT, headers alone, with the verdict on each packet", packets.Bytes(), perr)
		files[len(files)-1].Binary = true
	}
	var conf bytes.Buffer
	cerr := e.Config.Err
	if cerr == "" {
		cerr = e.Config.Closed
	}
	if cerr == "" {
		if err := showValues(&conf, e.Config.Values, true); err != nil {
			return nil, err
		}
	}
	add("config.toml", "the configuration in force, and where each key comes from", conf.Bytes(), errorOf(cerr))
	doc, jerr = json.MarshalIndent(versions(), "", "  ")
	add("versions.json", "programs and system", doc, jerr)
	return files, nil
}

// captureInto captures both sides of the CLAT for so long; what it writes is anonymous
// when a is not nil.
func captureInto(ctx context.Context, socket string, wait time.Duration, w io.Writer, a *bundle.Anonymizer) error {
	s, err := openSides(ctx, socket)
	if err != nil {
		return err
	}
	defer s.close()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var hide func([]byte) []byte
	if a != nil {
		hide = a.Packet
	}
	_, err = s.write(ctx, w, captureHeaders, bundleCapture, hide)
	return err
}

// captureHeaders is how much of each packet a bundle holds: addresses and ports.
const captureHeaders = 60

func errorOf(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

func envelope(result any) ([]byte, error) {
	var b bytes.Buffer
	err := printJSON(&b, result)
	return b.Bytes(), err
}

// transitions writes the status down, now and after each change until wait is over.
func transitions(ctx context.Context, stderr io.Writer, socket string, wait time.Duration) ([]byte, error) {
	var b bytes.Buffer
	if wait > 0 && terminal(stderr) {
		fmt.Fprintf(stderr, "watching for %v; reproduce the trouble now\n", wait)
	}
	limit := max(wait, time.Second)
	watching, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := control.Watch(watching, socket, func(doc []byte) error {
		b.Write(doc)
		b.WriteByte('\n')
		if wait == 0 {
			cancel()
		}
		return nil
	})
	if watching.Err() != nil && b.Len() > 0 {
		err = nil
	}
	return b.Bytes(), err
}

// learnNames makes the names of servers, of this machine and of certificates known.
func learnNames(a *bundle.Anonymizer, e *diag.Evidence) {
	a.Keep(config.Keys()...)
	a.Keep(diag.Codes()...)
	for _, s := range e.Sources {
		for _, p := range append(append([]nat64.Prefix{}, s.Prefixes...), s.Refused...) {
			a.Prefix(p)
		}
	}
	if host, err := os.Hostname(); err == nil {
		a.Name(host)
	}
	for _, variable := range []string{"USER", "LOGNAME", "SUDO_USER", "USERNAME", "USERDOMAIN"} {
		if v := os.Getenv(variable); v != "root" {
			a.Name(v)
		}
	}
	for _, s := range e.Config.Conf.Servers {
		a.Name(s.Name)
		a.Name(s.ServerName)
	}
	if u, err := url.Parse(e.Config.Conf.Probe.PortalURL); err == nil {
		a.Name(u.Hostname())
	}
	d := e.Config.Conf.Discovery
	for _, n := range append(append([]string{}, d.TrustedDomains...), d.NAT64Names...) {
		a.Name(n)
	}
	for _, s := range e.Servers {
		a.Name(s.Name)
		a.Name(s.Identity.ServerName)
		for _, answer := range s.Answers {
			for _, alias := range answer.Chain.Aliases {
				a.Name(alias)
			}
		}
		for _, p := range s.Paths {
			for _, c := range p.Result.Chain {
				a.Name(c.Issuer.CommonName)
				a.Name(c.Subject.CommonName)
				for _, n := range append(append(append([]string{}, c.DNSNames...), c.Subject.Organization...), c.Issuer.Organization...) {
					a.Name(n)
				}
			}
		}
	}
}
