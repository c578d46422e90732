package capture_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/tunnel/capture"
)

// packet is a capture.Packet with its data kept.
type packet struct {
	Time   time.Time
	Link   capture.LinkType
	Length int
	Data   string
}

// readAll reads in to its end or first error.
func readAll(in io.Reader) ([]packet, error) {
	r, err := capture.NewReader(in)
	if err != nil {
		return nil, err
	}
	var all []packet
	for {
		p, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, packet{p.Time, p.Link, p.Length, string(p.Data)})
	}
}

func at(seconds, nanos int64) time.Time { return time.Unix(seconds, nanos).UTC() }

func TestRead(t *testing.T) {
	a, b := []byte("abcd"), []byte("efghi")
	raw := func(when time.Time, data []byte) packet { return packet{when, capture.Raw, len(data), string(data)} }
	two := []packet{raw(at(1000, 7000), a), raw(at(1001, 0), b)}
	tsresol := func(v byte) []byte { return []byte{9, 0, 1, 0, v, 0, 0, 0} }
	for name, c := range map[string]struct {
		file []byte
		want []packet
	}{
		"microseconds, little-endian": {little().pcap(0xa1b2c3d4, 101).record(1000, 7, a).record(1001, 0, b).b, two},
		"microseconds, big-endian":    {big().pcap(0xa1b2c3d4, 101).record(1000, 7, a).record(1001, 0, b).b, two},
		"nanoseconds, little-endian":  {little().pcap(0xa1b23c4d, 101).record(1000, 7000, a).record(1001, 0, b).b, two},
		"nanoseconds, big-endian":     {big().pcap(0xa1b23c4d, 101).record(1000, 7000, a).record(1001, 0, b).b, two},
		"no packet":                   {little().pcap(0xa1b2c3d4, 101).b, nil},
		"an empty packet":             {little().pcap(0xa1b2c3d4, 101).record(5, 0, nil).b, []packet{raw(at(5, 0), nil)}},
		"after 2038":                  {little().pcap(0xa1b2c3d4, 101).record(4294967295, 999999, a).b, []packet{raw(at(4294967295, 999999000), a)}},
		"cut by the snap length": {little().pcap(0xa1b2c3d4, 1).u32(1, 0, 4, 1500).raw(a).b,
			[]packet{{at(1, 0), capture.Ethernet, 1500, "abcd"}}},
		"Ethernet with a check sequence": {little().pcap(0xa1b2c3d4, 0x24000001).record(1, 0, a).b,
			[]packet{{at(1, 0), capture.Ethernet, 4, "abcd"}}},
		"pcapng, little-endian": {little().section().link(101, 0).enhanced(0, 1000_000007, a).enhanced(0, 1001_000000, b).b, two},
		"pcapng, big-endian":    {big().section().link(101, 0).enhanced(0, 1000_000007, a).enhanced(0, 1001_000000, b).b, two},
		"pcapng, nanoseconds":   {little().section().link(101, 0, tsresol(9)...).enhanced(0, 1000_000007000, a).enhanced(0, 1001_000000000, b).b, two},
		"pcapng, seconds":       {little().section().link(101, 0, tsresol(0)...).enhanced(0, 1001, b).b, two[1:]},
		"pcapng, 2^-20 of a second": {little().section().link(101, 0, tsresol(0x80|20)...).enhanced(0, 1000<<20|1<<19, a).b,
			[]packet{raw(at(1000, 500_000_000), a)}},
		"pcapng, time offset": {big().section().link(101, 0, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 3, 232).enhanced(0, 1_000000, b).b, two[1:]},
		"pcapng, options before and behind": {little().section().
			link(101, 0, append([]byte{2, 0, 3, 0, 'e', 't', 'h', 0}, append(tsresol(9), 0, 0, 0, 0)...)...).
			block(6, func(f *file) {
				f.u32(0, 0, 0, 5, 5).raw(b).raw([]byte{0, 0, 0, 1, 0, 2, 0, 'h', 'i', 0, 0, 0, 0, 0, 0})
			}).b, []packet{raw(at(0, 0), b)}},
		"pcapng, simple packets have no time": {little().section().link(101, 4).block(3, func(f *file) { f.u32(5).raw([]byte("efgh")) }).b,
			[]packet{{time.Time{}, capture.Raw, 5, "efgh"}}},
		"pcapng, obsolete packet block": {little().section().link(1, 0).link(101, 0).
			block(2, func(f *file) { f.u16(1, 99).u32(0, 1001_000000, 5, 5).raw(b) }).b, two[1:]},
		"pcapng, interfaces of several kinds": {little().section().link(1, 0).link(101, 0).enhanced(1, 1000_000007, a).enhanced(0, 0, b).b,
			[]packet{two[0], {at(0, 0), capture.Ethernet, 5, "efghi"}}},
		"pcapng, unknown blocks are skipped": {little().section().link(101, 0).block(0xbad, func(f *file) { f.u32(1, 2, 3) }).
			enhanced(0, 1001_000000, b).block(5, func(f *file) { f.u32(0, 0, 0) }).b, two[1:]},
		"pcapng, a second section in the other order": {append(little().section().link(1, 0).link(101, 0).enhanced(1, 1000_000007, a).b,
			big().section().link(101, 0).enhanced(0, 1001_000000, b).b...), two},
		"pcapng, no packet": {little().section().link(101, 0).b, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(iotest.OneByteReader(bytes.NewReader(c.file)))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("packets (-want +got):\n%s", d)
			}
		})
	}
}

func TestNoCapture(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(little().pcap(0xa1b2c3d4, 101).b)
	_ = z.Close()
	whole := little().pcap(0xa1b2c3d4, 101).b
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":           {nil, "the file is empty"},
		"three bytes":     {whole[:3], "only 3 bytes"},
		"header cut":      {whole[:23], "ends within its header"},
		"text":            {[]byte("hello, world"), "neither pcap nor pcapng (it begins with 68 65 6c 6c)"},
		"gzip":            {zipped.Bytes(), "unpack it first"},
		"another version": {with(whole, 4, 9, 0), "version 9.4"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readAll(bytes.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to hold %q", err, c.want)
			}
		})
	}
}

// A damaged file gives the packets before the damage, and its place.
func TestDamage(t *testing.T) {
	a := []byte("abcd")
	classic := func() *file { return little().pcap(0xa1b2c3d4, 101).record(1, 0, a) } // 24 + 20 bytes
	ng := func() *file { return little().section().link(101, 0).enhanced(0, 1, a) }   // 28 + 20 + 36 bytes
	next := ng().enhanced(0, 2, a).b
	for name, c := range map[string]struct {
		file   []byte
		offset int64
		want   string // "" for a file that ends too early
	}{
		"record header cut":                {classic().record(2, 0, a).b[:24+20+15], 44, ""},
		"cut behind the record header":     {classic().record(2, 0, a).b[:24+20+16], 44, ""},
		"data cut":                         {classic().record(2, 0, a).b[:24+20+19], 44, ""},
		"huge record":                      {classic().u32(2, 0, 0xfffffff0, 0xfffffff0).b, 44, "more than any capture has"},
		"record just too large":            {classic().u32(2, 0, 262145, 262145).b, 44, "claims 262145"},
		"largest record, cut":              {classic().u32(2, 0, 262144, 262144).b, 44, ""},
		"block header cut":                 {next[:84+7], 84, ""},
		"packet header cut":                {next[:84+20], 84, ""},
		"packet data cut":                  {next[:84+29], 84, ""},
		"closing length missing":           {next[:84+32], 84, ""},
		"closing length differs":           {with(next, len(next)-4, 40), 84, "ends with the length 40"},
		"block shorter than a block":       {with(next, 84+4, 8), 84, "a block of 8 bytes"},
		"block of odd length":              {with(next, 84+4, 37), 84, "a block of 37 bytes"},
		"block of no length":               {with(next, 84+4, 0), 84, "a block of 0 bytes"},
		"captured more than the block":     {with(next, 84+20, 5), 84, "claims 5 captured bytes, but its block has only 4"},
		"huge block":                       {with(next, 84+4, 0xf0, 0xff, 0xff, 0xff), 84, ""},
		"huge packet in a huge block":      {with(with(next, 84+4, 0xf0, 0xff, 0xff, 0xff), 84+20, 0, 0, 0xff, 0xff), 84, "more than any capture has"},
		"no such interface":                {with(next, 84+8, 1), 84, "from interface 1, which the section does not have (1 are there)"},
		"interface of a section before":    {ng().section().enhanced(0, 2, a).b, 84 + 28, "(0 are there)"},
		"simple packet, no interface":      {ng().section().block(3, func(f *file) { f.u32(4).raw(a) }).b, 84 + 28, "of 0 interfaces"},
		"simple packet, too short":         {ng().block(3, func(*file) {}).b, 84, "body of 0 bytes"},
		"packet block, too short":          {ng().block(6, func(f *file) { f.u32(0, 0, 0, 0) }).b, 84, "shorter than its header"},
		"interface, too short":             {ng().block(1, func(f *file) { f.u32(101) }).b, 84, "an interface description of 4 bytes"},
		"interface, huge":                  {ng().u32(1, 0x7ffffff0).b, 84, "an interface description of 2147483620 bytes"},
		"interface, bad option":            {ng().link(101, 0, 9, 0, 5, 0, 6, 0, 0, 0).b, 84, "option 9 of an interface claims 5 bytes, but 4 are left"},
		"interface, long resolution":       {ng().link(101, 0, 9, 0, 4, 0, 6, 0, 0, 0).b, 84, "option 9 of an interface has 4 bytes"},
		"interface, short offset":          {ng().link(101, 0, 14, 0, 4, 0, 6, 0, 0, 0).b, 84, "option 14 of an interface has 4 bytes"},
		"interface, bad resolution":        {ng().link(101, 0, 9, 0, 1, 0, 20, 0, 0, 0).b, 84, "time resolution 0x14"},
		"interface, bad binary resolution": {ng().link(101, 0, 9, 0, 1, 0, 0xc0, 0, 0, 0).b, 84, "time resolution 0xc0"},
		"section, byte order":              {ng().block(0x0a0d0d0a, func(f *file) { f.u32(1, 2, 3, 4) }).b, 84, "byte order 01 00 00 00"},
		"section, version":                 {ng().block(0x0a0d0d0a, func(f *file) { f.u32(0x1a2b3c4d).u16(2, 0).u32(0, 0) }).b, 84, "version 2.0"},
		"section, length":                  {with(ng().section().b, 84+4, 24), 84, "a section header of 24 bytes"},
		"time after 2106":                  {ng().enhanced(0, 4294967296_000000, a).b, 84, "4294967296 seconds from 1970"},
		"time before 1970":                 {ng().link(101, 0, 14, 0, 8, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff).enhanced(1, 1, a).b, 84 + 32, "-2 seconds from 1970"},
		"time beyond all numbers":          {ng().link(101, 0, 9, 0, 1, 0, 0, 0, 0, 0, 14, 0, 8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f).enhanced(1, 1<<64-1, a).b, 84 + 40, "which pcap cannot say"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(bytes.NewReader(c.file))
			var e *capture.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a *capture.Error", err)
			}
			if len(got) != 1 || got[0].Data != "abcd" {
				t.Errorf("packets before it: %v, want one", got)
			}
			if e.Index != 1 || e.Offset != c.offset {
				t.Errorf("at packet %d, byte %d; want 1, %d (%v)", e.Index, e.Offset, c.offset, err)
			}
			want := c.want
			if want == "" {
				want = "the file ends within this record"
			}
			if errors.Is(err, io.ErrUnexpectedEOF) != (c.want == "") || !strings.Contains(err.Error(), want) {
				t.Errorf("error %q, want it to hold %q", err, want)
			}
		})
	}
}

func TestTooManyInterfaces(t *testing.T) {
	f := little().section()
	one := little().link(101, 0).b
	for range 1<<16 + 1 {
		f.raw(one)
	}
	if _, err := readAll(bytes.NewReader(f.b)); err == nil || !strings.Contains(err.Error(), "more than 65536 interfaces") {
		t.Errorf("error %v, want too many interfaces", err)
	}
}

func TestReadErrorsPass(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, n := range []int{0, 2, 10, 30, 41} {
		file := little().pcap(0xa1b2c3d4, 101).record(1, 0, []byte("abcd")).b[:n]
		if _, err := readAll(io.MultiReader(bytes.NewReader(file), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: error %v, want %v", n, err, broken)
		}
	}
}
