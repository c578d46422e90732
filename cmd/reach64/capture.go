package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/packet"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/tunnel/capture"
	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// captureFlags are the flags of the verb.
type captureFlags struct {
	out    string
	wait   time.Duration
	snap   int
	size   int64 // MiB
	socket string
}

// Bounds of a capture.
const (
	maxCaptureWait = time.Hour
	maxCaptureSize = 4096 // MiB
	wholePacket    = 1 << 16
)

func captureCommand() *cobra.Command {
	var f captureFlags
	c := &cobra.Command{
		Use:   "capture",
		Short: "Capture both sides of the CLAT, with the verdict on each packet",
		Long: "Capture IPv4 on the CLAT's device and IPv6 of the CLAT on the uplink into one pcapng file.\n" +
			"Each packet that goes into the translator has its verdict and reason as a comment, which\n" +
			"Wireshark and tshark show. The first bytes of each packet are kept, as --snap says: the\n" +
			"headers, unless more is wanted. With the bpf datapath the kernel translates what goes out\n" +
			"before it can be seen, so that it is there on the IPv6 side alone; the relay translates no\n" +
			"packets, and gives no verdicts. It needs root, a running service and its CLAT; Linux alone.",
		RunE: func(c *cobra.Command, _ []string) error { return runCapture(c.Context(), c.OutOrStdout(), f) },
	}
	fl := c.Flags()
	fl.StringVarP(&f.out, "out", "o", "reach64.pcapng", "file to write, - for standard output")
	fl.DurationVar(&f.wait, "for", 30*time.Second, "how long, up to 1h; interrupting ends it too")
	fl.IntVar(&f.snap, "snap", 128, "bytes of each packet to keep")
	fl.Int64Var(&f.size, "max-size", 64, "end when the file is so large, in MiB")
	fl.StringVar(&f.socket, "socket", paths.Socket(), "control socket of the service")
	return c
}

func runCapture(ctx context.Context, out io.Writer, f captureFlags) error {
	switch {
	case f.wait <= 0 || f.wait > maxCaptureWait:
		return &exit{status.ExitUsage, fmt.Errorf("--for %v is not a time up to %v", f.wait, maxCaptureWait)}
	case f.snap < 40 || f.snap > wholePacket:
		return &exit{status.ExitUsage, fmt.Errorf("--snap %d is not from 40 to %d", f.snap, wholePacket)}
	case f.size <= 0 || f.size > maxCaptureSize:
		return &exit{status.ExitUsage, fmt.Errorf("--max-size %d is not from 1 to %d", f.size, maxCaptureSize)}
	}
	s, err := openSides(ctx, f.socket)
	if err != nil {
		return permission(err)
	}
	defer s.close()
	file, err := createOut(f.out)
	if err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	n, err := s.write(limited, file, f.snap, f.size<<20, nil)
	if err != nil {
		file.Discard()
		return fmt.Errorf("capture: %w", err)
	}
	if err := file.Commit(); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	if f.out == "-" {
		return nil
	}
	if s.datapath == "bpf" {
		fmt.Fprintln(out, "the kernel translates what goes out before it can be seen: it is there on the IPv6 side alone")
	}
	_, err = fmt.Fprintf(out, "%d packets in %s, %d lost\n", n, f.out, s.lost())
	return err
}

// sides are both sides of the translator.
type sides struct {
	clat        status.CLAT
	uplink      string
	datapath    string
	prefix      nat64.Prefix
	addr6       netip.Addr       // not valid: flows go on from the host's own address (relay)
	tr          *siit.Translator // nil then: no packet is translated
	four, six   *packet.Sniffer
	application string
}

// openSides asks the service for its CLAT and begins to look at both of its sides.
func openSides(ctx context.Context, socket string) (*sides, error) {
	svc := serviceAt(socket)(ctx)
	st := svc.Status
	switch {
	case !svc.Running:
		return nil, &exit{status.ExitNotRunning, fmt.Errorf("the service does not run (nobody listens at %s), so there is no CLAT to look at", socket)}
	case svc.Err != "":
		return nil, errors.New(svc.Err)
	case st.CLAT == nil || st.Prefix == nil:
		return nil, &exit{status.ExitPathBroken, fmt.Errorf("there is no CLAT to look at: %s", st.Sentence)}
	}
	prefix, err := nat64.Parse(*st.Prefix)
	if err != nil {
		return nil, err
	}
	s := &sides{clat: *st.CLAT, uplink: st.CLAT.Uplink, datapath: deref0(st.Datapath), prefix: prefix, application: "reach64 " + svc.Version}
	if err := s.judge(); err != nil {
		return nil, err
	}
	if s.four, err = packet.Sniff(s.clat.Device, wholePacket); err != nil {
		return nil, err
	}
	if s.six, err = packet.Sniff(s.uplink, wholePacket); err != nil {
		s.four.Close()
		return nil, err
	}
	return s, nil
}

// judge makes a translator like the service's. What the service refuses under the
// well-known prefix is not told; nothing is refused here.
func (s *sides) judge() error {
	if s.clat.IPv6 == nil {
		return nil
	}
	clat4, err4 := netip.ParseAddr(s.clat.IPv4)
	addr6, err6 := netip.ParseAddr(*s.clat.IPv6)
	if err := errors.Join(err4, err6); err != nil {
		return fmt.Errorf("judge packets: %w", err)
	}
	var err error
	s.addr6 = addr6
	s.tr, err = siit.New(siit.Config{Prefix: s.prefix, CLAT4: clat4, CLAT6: addr6, MTU4: s.clat.MTU, MTU6: s.clat.MTU + 20, NonGlobal: nat64.NonGlobalAlways})
	if err != nil {
		return fmt.Errorf("judge packets: %w", err)
	}
	return nil
}

func (s *sides) close() {
	_ = s.four.Close()
	_ = s.six.Close()
}

func (s *sides) lost() int { return s.four.Lost() + s.six.Lost() }

// write writes both sides until ctx ends or the file is as large as limit. hide, if
// set, makes packets anonymous. It waits for its two readers, one for each side.
func (s *sides) write(ctx context.Context, w io.Writer, snap int, limit int64, hide func([]byte) []byte) (packets int, err error) {
	buffered := bufio.NewWriterSize(w, 1<<16)
	ng, err := capture.NewNGWriter(buffered, s.application)
	if err != nil {
		return 0, err
	}
	for _, l := range [][2]string{{s.clat.Device, "IPv4 side of the CLAT"}, {s.uplink, "IPv6 side of the CLAT"}} {
		if _, err := ng.Interface(l[0], l[1]); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex // over what follows and ng
	var wg sync.WaitGroup
	read := func(link int, from *packet.Sniffer, wanted func([]byte) bool) {
		batch := siit.NewBatch()
		for {
			p, rerr := from.Next(ctx)
			if ctx.Err() != nil {
				return
			}
			now := time.Now()
			mu.Lock()
			if rerr == nil && wanted(p.Data) {
				comment := s.verdict(batch, link, p)
				data := p.Data[:min(len(p.Data), snap)]
				if hide != nil {
					data = hide(p.Data)
				}
				rerr = ng.Write(link, now, data, p.Length, directionOf(p), comment)
				packets++
			}
			err = cmp.Or(err, rerr)
			over := err != nil || ng.Size() >= limit
			mu.Unlock()
			if over {
				cancel()
				return
			}
		}
	}
	wg.Go(func() { read(0, s.four, func(ip []byte) bool { return len(ip) > 0 && ip[0]>>4 == 4 }) })
	wg.Go(func() { read(1, s.six, s.ours) })
	wg.Wait()
	return packets, cmp.Or(err, buffered.Flush())
}

// ours tells whether an IPv6 packet belongs to the CLAT.
func (s *sides) ours(ip []byte) bool {
	if len(ip) < 40 || ip[0]>>4 != 6 {
		return false
	}
	src, _ := netip.AddrFromSlice(ip[8:24])
	dst, _ := netip.AddrFromSlice(ip[24:40])
	if s.addr6.IsValid() {
		return src == s.addr6 || dst == s.addr6
	}
	return s.prefix.Contains(src) || s.prefix.Contains(dst)
}

// verdict says what becomes of a packet that goes into the translator; "" for one that
// came out of it.
func (s *sides) verdict(batch *siit.Batch, link int, p packet.Sniffed) string {
	into := link == 0 && p.Outbound || link == 1 && !p.Outbound
	if s.tr == nil || !into || len(p.Data) < p.Length {
		return ""
	}
	batch.Reset()
	d, v := s.tr.Translate(batch, vnethdr.Header{}, p.Data)
	return fmt.Sprintf("reach64: %s %s, %s", d, v.Kind(), v)
}

func directionOf(p packet.Sniffed) capture.Direction {
	if p.Outbound {
		return capture.Outbound
	}
	return capture.Inbound
}
