package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/capture"
	"github.com/reach64/reach64/tunnel/siit"
)

// translateFlags are the flags of the verb.
type translateFlags struct {
	prefix, clat4, clat6 string
	mtu4, mtu6           int
	nonGlobal            bool
	in, out              string
	json                 bool
}

func translateCommand() *cobra.Command {
	var f translateFlags
	c := &cobra.Command{
		Use:   "translate --prefix P --clat4 A --clat6 B --in IN.pcap --out OUT.pcap",
		Short: "Translate the packets of a capture as the CLAT would",
		Long: "Translate the packets of a capture as the CLAT would: IPv4 packets of the host to IPv6,\n" +
			"IPv6 packets for the host to IPv4. It needs no service, no privilege and no network.\n\n" +
			"It reads pcap and pcapng of Ethernet (VLAN tags are skipped), raw IP, Linux SLL and\n" +
			"loopback, and writes pcap of raw IP, with the times of the capture. Each packet gives\n" +
			"none, one or more: translated, or answered with an ICMP error to its sender.\n" +
			"The rate limit of such errors goes by the times of the capture.",
		RunE: func(c *cobra.Command, _ []string) error {
			return runTranslate(c, f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.prefix, "prefix", "", "the NAT64 prefix of the network, such as 64:ff9b::/96")
	fl.StringVar(&f.clat4, "clat4", "", "IPv4 address of the CLAT, such as 192.0.0.3")
	fl.StringVar(&f.clat6, "clat6", "", "IPv6 address of the CLAT")
	fl.IntVar(&f.mtu6, "mtu6", 1500, "IPv6 MTU of the uplink in bytes")
	fl.IntVar(&f.mtu4, "mtu4", 0, "IPv4 MTU of the CLAT's device in bytes (default mtu6 less 20)")
	fl.BoolVar(&f.nonGlobal, "wkp-nonglobal", false, "let IPv4 addresses that are not global pass under 64:ff9b::/96 too")
	fl.StringVar(&f.in, "in", "", "capture to read, - for standard input")
	fl.StringVar(&f.out, "out", "", "capture to write, - for standard output")
	fl.BoolVar(&f.json, "json", false, "print one line of JSON for each packet in")
	return c
}

// runTranslate checks the flags, opens the files, and translates.
func runTranslate(c *cobra.Command, f translateFlags) error {
	if !c.Flags().Changed("mtu4") {
		f.mtu4 = f.mtu6 - 20
	}
	tr, err := f.translator()
	if err != nil {
		return &exit{status.ExitUsage, err}
	}
	in, err := openIn(f.in)
	if err != nil {
		return fmt.Errorf("read capture: %w", err)
	}
	defer in.Close()
	r, err := capture.NewReader(interruptible{c.Context(), in})
	if c.Context().Err() != nil {
		return &exit{code: status.ExitInterrupted}
	}
	if err != nil {
		return fmt.Errorf("read capture %s: %w", f.in, err)
	}
	report := c.OutOrStdout()
	if f.out == "-" {
		report = c.ErrOrStderr()
	}
	return f.files(c.Context(), tr, r, report)
}

// files translates r into the output file and reports. A capture that cannot be
// read to its end leaves what came before in the output; any other error leaves
// no output.
func (f translateFlags) files(ctx context.Context, tr *siit.Translator, r *capture.Reader, report io.Writer) error {
	file, err := createOut(f.out)
	if err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	lines := bufio.NewWriter(report)
	job := translation{tr: tr, in: r, batch: siit.NewBatch()}
	if f.json {
		job.lines = json.NewEncoder(lines)
	}
	buffered := bufio.NewWriterSize(file, 1<<16)
	readErr, err := job.run(ctx, buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = job.foreign()
	}
	if err != nil {
		file.Discard()
		_ = lines.Flush() // what is known of the packets before
		if ctx.Err() != nil {
			return &exit{code: status.ExitInterrupted}
		}
		return fmt.Errorf("translate %s into %s: %w", f.in, f.out, err)
	}
	if err := file.Commit(); err != nil {
		return fmt.Errorf("write capture %s: %w", f.out, err)
	}
	if !f.json {
		err = job.summary(lines, f.in, f.out)
	}
	if err = cmp.Or(err, lines.Flush()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if readErr != nil {
		return fmt.Errorf("read capture %s: %w; %s holds what came before", f.in, readErr, f.out)
	}
	return nil
}

// translator reads the flags, and says all that is missing at once.
func (f translateFlags) translator() (*siit.Translator, error) {
	var missing []string
	for _, g := range []struct{ name, value string }{
		{"--prefix", f.prefix}, {"--clat4", f.clat4}, {"--clat6", f.clat6}, {"--in", f.in}, {"--out", f.out},
	} {
		if g.value == "" {
			missing = append(missing, g.name)
		}
	}
	switch {
	case len(missing) > 0:
		return nil, fmt.Errorf("translate needs %s; see reach64 translate --help", strings.Join(missing, ", "))
	case f.json && f.out == "-":
		return nil, errors.New("--json and --out - both write to standard output: give --out a file")
	case sameFile(f.in, f.out):
		return nil, fmt.Errorf("--in %s and --out %s are the same file: give --out another", f.in, f.out)
	}
	prefix, err := nat64.Parse(f.prefix)
	if err != nil {
		return nil, fmt.Errorf("read --prefix: %w", err)
	}
	clat4, err := netip.ParseAddr(f.clat4)
	if err != nil || !clat4.Is4() {
		return nil, fmt.Errorf("read --clat4: %q is not an IPv4 address", f.clat4)
	}
	clat6, err := netip.ParseAddr(f.clat6)
	if err != nil || !clat6.Is6() {
		return nil, fmt.Errorf("read --clat6: %q is not an IPv6 address", f.clat6)
	}
	policy := nat64.NonGlobalNever
	if f.nonGlobal {
		policy = nat64.NonGlobalAlways
	}
	return siit.New(siit.Config{Prefix: prefix, CLAT4: clat4, CLAT6: clat6, MTU4: f.mtu4, MTU6: f.mtu6, NonGlobal: policy})
}
