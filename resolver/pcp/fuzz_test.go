package pcp

import "testing"

// FuzzParse: nothing panics, what comes out is legal, and an error response never
// brings a prefix.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, header+wkpOption))
	f.Add(unhex(f, "02810000 00000078 00000064 00000000 00000000 00000000 01020304 05060708 090a0b0c 11000000 00091234 00000000 00000000 0000ffff c0000201"+wkpOption))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if r.Result != Success && len(r.Prefixes) > 0 {
			t.Fatalf("%s with prefixes %v", r.Result, r.Prefixes)
		}
		for _, p := range r.Prefixes {
			if !p.Prefix.IsValid() {
				t.Fatal("a prefix that is none")
			}
			for _, l := range p.IPv4 {
				if !l.IsValid() || !l.Addr().Is4() || l != l.Masked() {
					t.Fatalf("IPv4 prefix %v", l)
				}
			}
		}
		for _, i := range r.Ignored {
			if i.Offset < headerLen || i.Offset >= len(b) || i.Why == "" {
				t.Fatalf("ignored %+v of %d bytes", i, len(b))
			}
		}
		if err == nil && r.Version == Version && (len(b) < headerLen || len(b) > MaxMessage || len(b)%4 != 0) {
			t.Fatalf("%d bytes were taken", len(b))
		}
	})
}
