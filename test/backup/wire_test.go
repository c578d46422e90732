package backup

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"strings"
	"testing"
)

func header(kind byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind}, n)
}

func TestServerRefusesBadRequests(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name    string
		message []byte
		want    string
	}{
		{"a chunk that is not what it says", append(header(kindPut, 33), make([]byte, 33)...), "SHA-256 does not match"},
		{"a chunk without a name", append(header(kindPut, 3), 1, 2, 3), "kind P with 3 bytes"},
		{"a chunk that is too long", header(kindPut, maxPayload+1), "at most"},
		{"a length of 4 GiB", header(kindGet, 1<<32-1), "at most"},
		{"half a SHA-256", append(header(kindHas, 16), make([]byte, 16)...), "kind H with 16 bytes"},
		{"too many SHA-256s", header(kindHas, 65*32), "at most"},
		{"an unknown kind", header('?', 0), "unknown kind"},
		{"a chunk that is not there", append(header(kindGet, 32), make([]byte, 32)...), "no chunk"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := tls.Dial("tcp4", w.addr, w.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if _, err := raw.Write(tt.message); err != nil {
				t.Fatal(err)
			}
			_, err = newConn(raw).answer(kindPut, 0)
			if err == nil || !strings.Contains(err.Error(), "the server says") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("answer %v, want one with %q", err, tt.want)
			}
			if n := len(w.chunks(t)); n != 0 {
				t.Errorf("%d chunks were kept, want none", n)
			}
		})
	}
}

func TestBadManifests(t *testing.T) {
	sum := strings.Repeat("0", 64)
	tests := []struct{ name, text, want string }{
		{"good", `[{"path":"a/b","size":1,"chunks":["` + sum + `"]},{"path":"c","folder":true}]`, ""},
		{"no JSON", "x", "read list"},
		{"null", "[null]", "null"},
		{"a path above", `[{"path":"../a"}]`, "leaves the folder"},
		{"an absolute path", `[{"path":"/etc/passwd"}]`, "leaves the folder"},
		{"no path", `[{"path":""}]`, "leaves the folder"},
		{"the folder itself", `[{"path":"."}]`, "leaves the folder"},
		{"fewer chunks than bytes", `[{"path":"a","size":1048577,"chunks":["` + sum + `"]}]`, "1 chunks"},
		{"more chunks than bytes", `[{"path":"a","size":0,"chunks":["` + sum + `"]}]`, "1 chunks"},
		{"a negative size", `[{"path":"a","size":-1}]`, "-1 bytes"},
		{"the greatest size", `[{"path":"a","size":9223372036854775807}]`, "0 chunks"},
		{"a short SHA-256", `[{"path":"a","size":1,"chunks":["00"]}]`, "64 hexadecimal digits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseManifest([]byte(tt.text))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(header(kindPut, 100))
	f.Add(header('?', 1<<32-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, n, err := readHeader(bytes.NewReader(b))
		if n < 0 || n > maxPayload || err != nil && n != 0 {
			t.Errorf("length %d, error %v", n, err)
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`[{"path":"a/b","size":0}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := parseManifest(b)
		if err != nil {
			return
		}
		for _, p := range cut(entries) {
			if p.at < 0 || p.size < 1 || p.size > chunkSize {
				t.Errorf("part %+v", p)
			}
		}
	})
}
