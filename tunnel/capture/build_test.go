package capture_test

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// The builders below write files field by field from the formats' texts
// (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng), in either byte order.

// file is a capture in the making.
type file struct {
	order binary.AppendByteOrder
	b     []byte
}

func little() *file { return &file{order: binary.LittleEndian} }
func big() *file    { return &file{order: binary.BigEndian} }

func (f *file) u16(v ...uint16) *file {
	for _, x := range v {
		f.b = f.order.AppendUint16(f.b, x)
	}
	return f
}

func (f *file) u32(v ...uint32) *file {
	for _, x := range v {
		f.b = f.order.AppendUint32(f.b, x)
	}
	return f
}

func (f *file) raw(b []byte) *file {
	f.b = append(f.b, b...)
	return f
}

// pcap begins a classic file.
func (f *file) pcap(magic, link uint32) *file {
	return f.u32(magic).u16(2, 4).u32(0, 0, 65535, link)
}

// record adds a packet of which all was captured.
func (f *file) record(seconds, part uint32, data []byte) *file {
	return f.u32(seconds, part, uint32(len(data)), uint32(len(data))).raw(data)
}

// block adds a pcapng block around what body writes.
func (f *file) block(kind uint32, body func(*file)) *file {
	in := &file{order: f.order}
	body(in)
	for len(in.b)%4 != 0 {
		in.b = append(in.b, 0)
	}
	n := uint32(len(in.b)) + 12
	return f.u32(kind, n).raw(in.b).u32(n)
}

func (f *file) section() *file {
	return f.block(0x0a0d0d0a, func(b *file) { b.u32(0x1a2b3c4d).u16(1, 0).u32(0xffffffff, 0xffffffff) })
}

// link adds an interface; options are code, length and value, padded.
func (f *file) link(kind uint16, snap uint32, options ...byte) *file {
	return f.block(1, func(b *file) { b.u16(kind, 0).u32(snap).raw(options) })
}

// enhanced adds a packet of which all was captured.
func (f *file) enhanced(id uint32, stamp uint64, data []byte) *file {
	n := uint32(len(data))
	return f.block(6, func(b *file) { b.u32(id, uint32(stamp>>32), uint32(stamp), n, n).raw(data) })
}

// with returns a copy of b in which the bytes at an offset are others.
func with(b []byte, at int, v ...byte) []byte {
	b = slices.Clone(b)
	copy(b[at:], v)
	return b
}

// unhex reads words of hexadecimal.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
