package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/reach64/reach64/tunnel/capture"
	"github.com/reach64/reach64/tunnel/siit"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// Reasons that only a capture has, beside siit's.
const (
	droppedCut  = "dropped-cut-by-capture" // only the first bytes of the packet are there
	droppedLink = "dropped-link-type"      // a frame of a kind that is not read
)

// line is what becomes of one packet; each is one line of JSON.
type line struct {
	Index      int    `json:"index"`     // of the packet in the capture, from 0
	Direction  string `json:"direction"` // 4to6, 6to4, none
	Verdict    string `json:"verdict"`   // translated, answered, dropped
	Reason     string `json:"reason"`
	Outputs    int    `json:"outputs"`              // packets written for it
	Suppressed bool   `json:"suppressed,omitempty"` // an answer that the rate limit kept back
}

// translation is one run of the verb.
type translation struct {
	tr    *siit.Translator
	in    *capture.Reader
	lines *json.Encoder // one value for each packet, or nil
	batch *siit.Batch
	limit siit.Limiter

	counts     map[[2]string]int // packets in by direction and reason
	packets    int
	outputs    int
	suppressed int
	unread     int              // packets of link types that are not read
	firstLink  capture.LinkType // of them
}

// run translates all packets. readErr is an input that cannot be read to its end;
// err is any other error.
func (t *translation) run(ctx context.Context, file io.Writer) (readErr, err error) {
	t.counts = make(map[[2]string]int)
	w, err := capture.NewWriter(file, t.in.Micro())
	if err != nil {
		return nil, err
	}
	for {
		p, err := t.in.Next()
		switch {
		case err == io.EOF:
			return nil, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return err, nil
		}
		l := t.one(p)
		if err := t.write(w, p, l); err != nil {
			return nil, err
		}
	}
}

// one translates one packet into the batch.
func (t *translation) one(p capture.Packet) line {
	l := line{Index: t.packets, Direction: siit.DirNone.String(), Verdict: siit.Dropped.String()}
	t.packets++
	t.batch.Reset()
	ip, isIP := p.Link.IP(p.Data)
	switch {
	case !p.Link.Known():
		if t.unread == 0 {
			t.firstLink = p.Link
		}
		t.unread++
		l.Reason = droppedLink
	case p.Cut():
		l.Reason, l.Direction = droppedCut, direction(ip)
	case !isIP:
		l.Reason = siit.NotIP.String()
	default:
		d, v := t.tr.Translate(t.batch, vnethdr.Header{}, ip)
		l.Direction, l.Verdict, l.Reason = d.String(), v.Kind().String(), v.String()
		if v.Kind() == siit.Answered && !t.limit.Allow(p.Time, v) {
			l.Suppressed = true
			t.suppressed++
			t.batch.Reset()
		}
	}
	l.Outputs = len(t.batch.Packets())
	t.outputs += l.Outputs
	t.counts[[2]string{l.Direction, l.Reason}]++
	return l
}

// direction is which way a packet would go that is not whole.
func direction(ip []byte) string {
	switch {
	case len(ip) == 0:
		return siit.DirNone.String()
	case ip[0]>>4 == 4:
		return siit.Dir4to6.String()
	}
	return siit.Dir6to4.String()
}

// write writes what is in the batch, and the line.
func (t *translation) write(w *capture.Writer, p capture.Packet, l line) error {
	for _, o := range t.batch.Packets() {
		if err := w.Write(p.Time, o.Head, o.Tail); err != nil {
			return err
		}
	}
	if t.lines == nil {
		return nil
	}
	return t.lines.Encode(l)
}

// foreign is the error of a capture in which no packet was of a link type that is
// read.
func (t *translation) foreign() error {
	if t.unread == 0 || t.unread < t.packets {
		return nil
	}
	return fmt.Errorf("all %d packets are of link type %v, which is not read: capture Ethernet or raw IP, as with tcpdump -i any", t.packets, t.firstLink)
}

// summary tells a person what became of the packets.
func (t *translation) summary(w io.Writer, in, out string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d packets of %s gave %d in %s\n", t.packets, in, t.outputs, out)
	keys := slices.SortedFunc(maps.Keys(t.counts), func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(t.counts[b], t.counts[a]), cmp.Compare(a[1], b[1]))
	})
	for _, k := range keys {
		fmt.Fprintf(&b, "  %-4s  %7d  %s\n", k[0], t.counts[k], k[1])
	}
	if t.suppressed > 0 {
		fmt.Fprintf(&b, "%d answers were kept back by the rate limit\n", t.suppressed)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
