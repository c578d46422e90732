// Command bench measures what reach64 costs beside native IPv6 and beside tayga. It
// makes its own network namespaces: one for each contender, and one peer that owns
// all of a NAT64 prefix, so that no NAT64 limits what is measured. The contenders take
// turns within each round; the report has medians of all rounds, and ratios within
// rounds.
//
// It reports and asserts nothing. It needs root on Linux; a contender that cannot be
// had is named with the reason and left out.
//
//	go run ./test/bench [-quick] [-rounds N] [-only WORD,...] [-contenders NAME,...] [-out FOLDER]
//	go run ./test/bench -soak 10m [-contenders NAME,...]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/reach64/reach64/test/bench/load"
	"github.com/reach64/reach64/test/bench/report"
)

// options are the flags.
type options struct {
	quick      bool
	rounds     int
	long       time.Duration
	only       []string
	contenders []string
	out        string
	binary     string
	soak       time.Duration
	congestion string // TCP congestion controls to choose from
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 3 && strings.HasPrefix(os.Args[1], "play-") {
		err = play(ctx, strings.TrimPrefix(os.Args[1], "play-"), os.Args[2])
	} else {
		err = run(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func comma(r rune) bool { return r == ',' }

func parse(args []string) (options, error) {
	var o options
	var only, contenders string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.quick, "quick", false, "fewer and shorter measurements, two rounds: some minutes")
	f.IntVar(&o.rounds, "rounds", 0, "how many `rounds`; 0 takes 2 with -quick, else 5")
	f.DurationVar(&o.long, "long", 0, "how `long` each measurement takes, three times that with many streams; 0 takes 1s with -quick, else 3s")
	f.StringVar(&only, "only", "", "run only steps whose name has one of these `words`, with commas between")
	f.StringVar(&contenders, "contenders", "", "measure only these `names`, with commas between")
	f.StringVar(&o.out, "out", "artifacts/bench", "`folder` for bench.json, bench.md and bench.svg")
	f.StringVar(&o.binary, "binary", "bin/reach64", "the reach64 `program`")
	f.DurationVar(&o.soak, "soak", 0, "instead of measuring, carry mixed traffic for so `long` on each datapath")
	f.StringVar(&o.congestion, "congestion", "cubic,reno", "TCP congestion `controls`, the first that the kernel allows in a namespace is taken; empty leaves the machine's")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is too much", f.Arg(0))
	}
	o.only, o.contenders = strings.FieldsFunc(only, comma), strings.FieldsFunc(contenders, comma)
	if o.rounds == 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 2
		}
	}
	if o.long == 0 {
		o.long = 3 * time.Second
		if o.quick {
			o.long = time.Second
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root: makes network namespaces")
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if o.soak > 0 {
		b.setUp(ctx)
		b.soakAll(ctx)
	} else {
		b.setUp(ctx)
		b.measure(ctx)
		b.scale(ctx)
	}
	return b.write()
}

// write puts the report into the folder and the text onto stdout. What was measured
// before an interrupt is reported too.
func (b *bench) write() error {
	d := b.doc
	d.Took = time.Since(d.Started).Seconds()
	d.Finish()
	doc, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.MkdirAll(b.opt.out, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	name := "bench"
	if b.opt.soak > 0 {
		name = "soak"
	}
	text := d.Markdown()
	for ext, content := range map[string]string{"json": string(doc) + "\n", "md": text, "svg": d.SVG()} {
		if err := os.WriteFile(filepath.Join(b.opt.out, name+"."+ext), []byte(content), 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	fmt.Print(text)
	return nil
}

// play is what the processes in the namespaces do: they are this program too.
func play(ctx context.Context, role, arg string) error {
	var result any
	read := func(v any) error {
		if err := json.Unmarshal([]byte(arg), v); err != nil {
			return fmt.Errorf("read %s: %w", arg, err)
		}
		return nil
	}
	switch role {
	case "serve":
		return load.Serve(ctx, arg)
	case "streams":
		var s load.Streams
		if err := read(&s); err != nil {
			return err
		}
		result = s.Run(ctx)
	case "datagrams":
		var d load.Datagrams
		if err := read(&d); err != nil {
			return err
		}
		result = d.Run(ctx)
	case "connections":
		var c load.Connections
		if err := read(&c); err != nil {
			return err
		}
		result = c.Run(ctx)
	default:
		return fmt.Errorf("no role %q", role)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// newDoc is an empty report.
func newDoc(o options) *report.Doc {
	d := &report.Doc{Schema: 1, Started: time.Now(), Mode: "full", Rounds: o.rounds, Baseline: native}
	if o.quick {
		d.Mode = "quick"
	}
	if o.soak > 0 {
		d.Mode, d.Rounds = "soak", 1
	}
	return d
}
