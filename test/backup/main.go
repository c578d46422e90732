package backup

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// ServerMain is the backup server as a program: it makes a CA, writes its
// certificate, prints "ready ADDR:PORT" and serves until ctx ends.
func ServerMain(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("backup-server", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8443", "IPv4 `address` and port; port 0 takes a free one")
	store := flags.String("store", "", "`folder` of the chunks")
	caOut := flags.String("ca-out", "", "`file` to write the CA certificate to")
	names := flags.String("name", "", "host `names` in the certificate besides the address, with commas between")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	ap, err := netip.ParseAddrPort(*listen)
	if err != nil || !ap.Addr().Is4() || ap.Addr().IsUnspecified() {
		return fmt.Errorf("--listen %q: want one IPv4 address and a port", *listen)
	}
	if *store == "" || *caOut == "" {
		return errors.New("--store and --ca-out are needed")
	}
	ca, err := NewCA()
	if err != nil {
		return err
	}
	cfg, err := ca.Server(append(strings.FieldsFunc(*names, func(r rune) bool { return r == ',' }), ap.Addr().String())...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(*caOut, ca.PEM(), 0o644); err != nil {
		return fmt.Errorf("write CA: %w", err)
	}
	l, err := net.Listen("tcp4", *listen)
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	fmt.Fprintf(stdout, "ready %v\n", l.Addr())
	return Serve(ctx, l, cfg, *store)
}

func parseFlags(flags *flag.FlagSet, args []string) error {
	flags.SetOutput(io.Discard) // the error says it
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%s: %w", flags.Name(), err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: %q is too much", flags.Name(), flags.Arg(0))
	}
	return nil
}

// Result is what the client program prints with --json.
type Result struct {
	Snapshot string `json:"snapshot"`
	Saved    *Stats `json:"saved"`    // null: nothing was saved
	Restored *Stats `json:"restored"` // null: nothing was restored
}

type clientFlags struct {
	server, ca, src, restoreTo, snapshot string
	timeout                              time.Duration
	json                                 bool
}

// ClientMain is the backup client as a program. With --src it saves, with
// --restore-to it restores --snapshot, or what it has just saved; then it also
// compares. The last line on stdout is the ID of the snapshot, or all as JSON.
// Progress goes to stderr, a line for each tenth.
func ClientMain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var f clientFlags
	flags := flag.NewFlagSet("backup-client", flag.ContinueOnError)
	flags.StringVar(&f.server, "server", "", "IPv4 `address` and port of the server")
	flags.StringVar(&f.ca, "ca", "", "`file` with the CA certificate of the server")
	flags.StringVar(&f.src, "src", "", "`folder` to save")
	flags.StringVar(&f.restoreTo, "restore-to", "", "`folder` to restore to")
	flags.StringVar(&f.snapshot, "snapshot", "", "`ID` of the snapshot to restore")
	flags.DurationVar(&f.timeout, "connect-timeout", 10*time.Second, "how long to wait for a connection")
	flags.BoolVar(&f.json, "json", false, "print the result as JSON")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if f.src == "" && (f.restoreTo == "" || f.snapshot == "") || f.src != "" && f.snapshot != "" {
		return errors.New("want --src, or --restore-to with --snapshot, or --src with --restore-to")
	}
	result, err := f.run(ctx, stderr)
	if err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(stdout).Encode(result)
	}
	_, err = fmt.Fprintln(stdout, result.Snapshot)
	return err
}

func (f *clientFlags) run(ctx context.Context, stderr io.Writer) (Result, error) {
	result := Result{Snapshot: f.snapshot}
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return result, fmt.Errorf("read CA: %w", err)
	}
	cfg, err := trust(text)
	if err != nil {
		return result, err
	}
	dialer := &net.Dialer{Timeout: f.timeout}
	if f.src != "" {
		id, stats, err := Backup(ctx, dialer.DialContext, f.server, cfg, f.src, tenths(stderr, "saved"))
		if err != nil {
			return result, err
		}
		result.Snapshot, result.Saved = id, &stats
	}
	if f.restoreTo == "" {
		return result, nil
	}
	stats, err := Restore(ctx, dialer.DialContext, f.server, cfg, result.Snapshot, f.restoreTo, tenths(stderr, "restored"))
	if err != nil {
		return result, err
	}
	result.Restored = &stats
	if f.src != "" {
		return result, Compare(f.src, f.restoreTo)
	}
	return result, nil
}

// tenths prints a line whenever another tenth is done.
func tenths(w io.Writer, verb string) Progress {
	var last int64
	return func(done, total int64) {
		if tenth := done * 10 / max(total, 1); tenth > last {
			last = tenth
			fmt.Fprintf(w, "%s %d of %d MB (%d %%)\n", verb, done/1e6, total/1e6, tenth*10)
		}
	}
}
