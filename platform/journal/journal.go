// Package journal remembers on disk what reach64 has changed in the system and
// not yet undone, so that the next start or `reach64 cleanup` can undo what a
// killed process left behind.
//
// It only keeps entries; platform/netcfg makes and undoes the changes. An entry
// is on disk before the change that it stands for is made. The file holds one
// JSON object a line: {"add": entry} or {"done": id}. A torn or damaged line,
// such as a crash leaves, costs only itself.
package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Kind is what sort of change an entry stands for.
type Kind string

// The kinds.
const (
	Address Kind = "address" // Prefix was added to the link
	Route   Kind = "route"   // a route to Prefix over the link was added
)

// Entry is one change. Link names are kept beside indexes, since an index may
// belong to another link after a restart of the machine.
type Entry struct {
	ID     uint64       `json:"id"`
	Kind   Kind         `json:"kind"`
	Link   string       `json:"link"`
	Index  int          `json:"index"`
	Prefix netip.Prefix `json:"prefix,omitzero"`
	Metric int          `json:"metric,omitempty"`
}

// String says what the entry stands for.
func (e Entry) String() string {
	return fmt.Sprintf("%s %s on %s", e.Kind, e.Prefix, e.Link)
}

// line is one line of the file.
type line struct {
	Add  *Entry `json:"add,omitempty"`
	Done uint64 `json:"done,omitempty"`
}

// maxLines is how many lines are written before the file is rewritten without
// what is done.
const maxLines = 1000

// maxID is more than any journal counts to; beyond it a line is damaged.
const maxID = 1 << 62

// file is what the journal does with its open file.
type file interface {
	Write(b []byte) (int, error)
	Sync() error
	Close() error
}

// Journal is an open journal. It may be used concurrently; mu guards all fields.
type Journal struct {
	path string

	mu      sync.Mutex
	f       file
	torn    bool // the last line may lack its end
	lines   int  // written since the file was rewritten
	open    map[uint64]Entry
	last    uint64
	damaged int
}

// Open reads the journal at path, which need not exist, and rewrites it without
// the entries that are done. The folder is made with mode 0700.
func Open(path string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make folder of journal: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	j := &Journal{path: path, open: make(map[uint64]Entry)}
	j.read(text)
	if err := j.rewrite(); err != nil {
		if j.f != nil {
			_ = j.f.Close()
		}
		return nil, fmt.Errorf("rewrite journal: %w", err)
	}
	return j, nil
}

// read takes in the lines of a journal file.
func (j *Journal) read(text []byte) {
	for raw := range bytes.Lines(text) {
		var l line
		raw = bytes.TrimSpace(raw)
		if len(raw) == 0 {
			continue
		}
		if err := json.Unmarshal(raw, &l); err != nil || (l.Add == nil) == (l.Done == 0) ||
			l.Add != nil && (l.Add.ID == 0 || l.Add.ID > maxID) {
			j.damaged++
			continue
		}
		if l.Add != nil {
			j.open[l.Add.ID] = *l.Add
			j.last = max(j.last, l.Add.ID)
		}
		delete(j.open, l.Done)
	}
}

// rewrite puts a file with the open entries alone in the place of the old one.
// The folder is not synced: what a loss of power takes, it takes from the kernel too.
func (j *Journal) rewrite() error {
	if err := j.writeNew(j.path + ".new"); err != nil {
		return err
	}
	if j.f != nil {
		_ = j.f.Close() // Windows renames onto no file that is open
	}
	renamed := os.Rename(j.path+".new", j.path)
	f, err := os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(renamed, err)
	}
	j.f = f
	if renamed == nil {
		j.torn, j.lines = false, 0
	}
	return renamed
}

// writeNew makes a file of the open entries, for its owner alone.
func (j *Journal) writeNew(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	made := &Journal{f: f}
	for _, e := range j.sorted() {
		if err := made.put(line{Add: &e}); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}

// put writes a line and waits until it is on disk.
func (j *Journal) put(l line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if j.torn {
		b = append([]byte{'\n'}, b...)
	}
	j.torn = true
	if _, err := j.f.Write(append(b, '\n')); err != nil {
		return err
	}
	j.torn = false
	j.lines++
	return j.f.Sync()
}

// Add writes an entry, whose ID it chooses and returns. When it returns without
// error the entry is on disk and the change may be made.
func (j *Journal) Add(e Entry) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e.ID = j.last
	if err := j.put(line{Add: &e}); err != nil {
		return 0, fmt.Errorf("write journal: %w", err)
	}
	j.open[e.ID] = e
	return e.ID, nil
}

// Done says that the change of an entry is undone, or was never made.
func (j *Journal) Done(id uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.open[id]; !ok {
		return nil
	}
	if err := j.put(line{Done: id}); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	delete(j.open, id)
	if j.lines >= maxLines {
		// Without success the old file serves on, and it is tried again after as many
		// lines. A file that cannot be written any more is the next Add's error.
		j.lines = 0
		_ = j.rewrite()
	}
	return nil
}

// Entries returns what is not undone yet, oldest first.
func (j *Journal) Entries() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.sorted()
}

func (j *Journal) sorted() []Entry {
	return slices.SortedFunc(maps.Values(j.open), func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
}

// Damaged is how many lines could not be read when the journal was opened.
func (j *Journal) Damaged() int { return j.damaged }

// Close closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.f.Close(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}
