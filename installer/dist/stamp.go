package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
)

// summaryInformation is FMTID_SummaryInformation, as it stands in the property set of
// every MSI (MS-OLEPS section 2.21).
var summaryInformation = []byte("\xe0\x85\x9f\xf2\xf9\x4f\x68\x10\xab\x91\x08\x00\x2b\x27\xb3\xd9")

// Properties of the summary (MS-OLEPS section 2.25.1) and the type of their values.
const (
	createdAt  = 12
	savedAt    = 13
	isFiletime = 0x40 // VT_FILETIME
)

// stamp sets the times of creation and change in an MSI, which its tools take from
// the clock. It changes nothing else, and no length.
func stamp(msi []byte, when time.Time) error {
	malformed := errors.New("no summary with two times in it")
	if bytes.Count(msi, summaryInformation) != 1 {
		return malformed
	}
	at := bytes.Index(msi, summaryInformation) + len(summaryInformation)
	// Before the section its place stands, in bytes from the start of the set, which has a
	// header of 28 bytes and this identifier before it.
	word := func(b []byte, i int) int {
		if i < 0 || i+4 > len(b) {
			return -1
		}
		return int(binary.LittleEndian.Uint32(b[i:]))
	}
	start := at - len(summaryInformation) - 28
	place := word(msi, at)
	if start < 0 || place < 0 || place > len(msi) {
		return malformed
	}
	section := msi[min(start+place, len(msi)):]
	set := 0
	for i := range word(section, 4) {
		id, value := word(section, 8+8*i), word(section, 12+8*i)
		if value < 0 {
			return malformed
		}
		if id != createdAt && id != savedAt {
			continue
		}
		if word(section, value) != isFiletime || value+12 > len(section) {
			return malformed
		}
		binary.LittleEndian.PutUint64(section[value+4:], filetime(when))
		set++
	}
	if set != 2 {
		return malformed
	}
	return nil
}

// filetime counts 100 ns since 1601 (MS-DTYP section 2.3.3).
func filetime(t time.Time) uint64 { return uint64(t.Unix()+11644473600) * 10_000_000 }
