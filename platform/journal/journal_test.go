package journal

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var cmpPrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func address(link, prefix string) Entry {
	return Entry{Kind: Address, Link: link, Index: 2, Prefix: netip.MustParsePrefix(prefix)}
}

// opened are the journals of the tests by path.
var opened = map[string]*Journal{}

// open opens a journal as the next process does: the system has closed the file of
// the one before, and Windows would not rename onto it otherwise.
func open(t *testing.T, path string) *Journal {
	t.Helper()
	if last := opened[path]; last != nil {
		_ = last.Close()
	}
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	opened[path] = j
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func add(t *testing.T, j *Journal, e Entry) uint64 {
	t.Helper()
	id, err := j.Add(e)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestWhatIsNotDoneIsFoundByTheNextProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "journal")
	j := open(t, path)
	first := add(t, j, address("eth0", "2001:db8::1/128"))
	second := add(t, j, address("clat0", "192.0.0.3/32"))
	if err := j.Done(first); err != nil {
		t.Fatal(err)
	}
	// No Close: the process was killed.
	want := address("clat0", "192.0.0.3/32")
	want.ID = second
	next := open(t, path)
	if d := cmp.Diff([]Entry{want}, next.Entries(), cmpPrefix); d != "" {
		t.Error(d)
	}
	if id := add(t, next, address("eth1", "2001:db8::2/128")); id <= second {
		t.Errorf("id %d was given twice", id)
	}
}

func TestTornAndDamagedLinesCostOnlyThemselves(t *testing.T) {
	good := `{"add":{"id":7,"kind":"address","link":"eth0","index":2,"prefix":"2001:db8::1/128"}}`
	tests := map[string]struct {
		text    string
		entries int
		damaged int
	}{
		"empty":                {"", 0, 0},
		"whole":                {good + "\n", 1, 0},
		"torn last line":       {good + "\n" + good[:40], 1, 1},
		"zeros after a crash":  {good + "\n\x00\x00\x00\x00\n", 1, 1},
		"foreign text":         {"hello\n" + good + "\n", 1, 1},
		"neither add nor done": {"{}\n" + good + "\n", 1, 1},
		"no id":                {`{"add":{"kind":"address"}}` + "\n" + good + "\n", 1, 1},
		"impossible id":        {`{"add":{"id":18446744073709551615}}` + "\n" + good + "\n", 1, 1},
		"bad prefix":           {`{"add":{"id":1,"kind":"address","prefix":"x"}}` + "\n", 0, 1},
		"done before add":      {`{"done":7}` + "\n" + good + "\n", 1, 0},
		"added and done":       {good + "\n" + `{"done":7}` + "\n", 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, path)
			if got := len(j.Entries()); got != tt.entries {
				t.Errorf("%d entries, want %d", got, tt.entries)
			}
			if got := j.Damaged(); got != tt.damaged {
				t.Errorf("%d damaged lines, want %d", got, tt.damaged)
			}
		})
	}
}

func TestOpenRewritesWithoutWhatIsDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	for range 50 {
		if err := j.Done(add(t, j, address("eth0", "2001:db8::1/128"))); err != nil {
			t.Fatal(err)
		}
	}
	open(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != 0 {
		t.Errorf("%d bytes are left of a journal with nothing open", info.Size())
	}
}

// A full disk tears a line in the middle of the file. What is written after it
// must not be lost with it.
func TestLineAfterATornOneIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	first := add(t, j, address("eth0", "2001:db8::1/128"))
	whole := j.f
	j.f = tearing{whole}
	if _, err := j.Add(address("eth0", "2001:db8::2/128")); err == nil {
		t.Error("a torn line is no error")
	}
	j.f = whole
	third := add(t, j, address("eth0", "2001:db8::3/128"))
	var got []uint64
	for _, e := range open(t, path).Entries() {
		got = append(got, e.ID)
	}
	if want := []uint64{first, third}; !slices.Equal(got, want) {
		t.Errorf("entries %v, want %v", got, want)
	}
}

// tearing writes only the first half of what it is given.
type tearing struct{ file }

func (f tearing) Write(b []byte) (int, error) {
	n, _ := f.file.Write(b[:len(b)/2])
	return n, io.ErrShortWrite
}

func TestOthersCannotReadTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "journal")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".new"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	add(t, open(t, path), address("eth0", "2001:db8::1/128"))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("journal has mode %v, want 0600", info.Mode())
	}
}

// A service that runs for years through many networks does not fill the disk.
func TestLongRunDoesNotGrow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	keep := add(t, j, address("eth0", "2001:db8::1/128"))
	for range 3 * maxLines {
		if err := j.Done(add(t, j, address("clat0", "192.0.0.3/32"))); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n > maxLines+2 {
		t.Errorf("%d lines for one open entry", n)
	}
	last := add(t, j, address("eth1", "2001:db8::2/128"))
	var got []uint64
	for _, e := range open(t, path).Entries() {
		got = append(got, e.ID)
	}
	if want := []uint64{keep, last}; !slices.Equal(got, want) {
		t.Errorf("entries %v, want %v", got, want)
	}
}

// Whatever a crash leaves in the file, a new entry can be added and is found.
func FuzzJournal(f *testing.F) {
	f.Add(`{"add":{"id":7,"kind":"address","link":"eth0","index":2,"prefix":"2001:db8::1/128"}}` + "\n{\"done\":7}\n{\"add")
	f.Add("\x00\n{}\n[]\nnull\n" + `{"add":{"id":18446744073709551615}}`)
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, path)
		before := len(j.Entries())
		add(t, j, address("eth0", "2001:db8::1/128"))
		if got := len(open(t, path).Entries()); got != before+1 {
			t.Errorf("%d entries after one was added to %d", got, before)
		}
	})
}
