package netcfg

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netstate"
)

func quiet() logrus.FieldLogger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

func openJournal(t *testing.T) (*journal.Journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	return reopen(t, path), path
}

// opened are the journals of the tests by path.
var opened = map[string]*journal.Journal{}

// reopen opens a journal as the next process does: the system has closed the file of
// the one before, and Windows would not rename onto it otherwise.
func reopen(t *testing.T, path string) *journal.Journal {
	t.Helper()
	if last := opened[path]; last != nil {
		_ = last.Close()
	}
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	opened[path] = j
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// fake is an operating system with only addresses and routes. before is called
// at each change.
type fake struct {
	objects []string
	fail    map[string]error
	before  func()
}

func (f *fake) change(s Step) error {
	if f.before != nil {
		f.before()
	}
	if err := f.fail[s.String()]; err != nil {
		return err
	}
	i := slices.Index(f.objects, s.key())
	switch {
	case s.Op == Add && i >= 0:
		return fs.ErrExist
	case s.Op == Add:
		f.objects = append(f.objects, s.key())
	case i < 0:
		return fs.ErrNotExist
	default:
		f.objects = slices.Delete(f.objects, i, i+1)
	}
	return nil
}

func (f *fake) SetDevice(Device) error { return nil }
func (f *fake) AddAddr(a Addr) error   { return f.change(Step{Addr: a}) }
func (f *fake) DelAddr(a Addr) error   { return f.change(Step{Op: Remove, Addr: a}) }
func (f *fake) AddRoute(r Route) error { return f.change(Step{Route: r}) }
func (f *fake) DelRoute(r Route) error { return f.change(Step{Op: Remove, Route: r}) }

var all = []string{"address 2001:db8:1::c1a7/128 on link 2", "address 192.0.0.3/32 on link 9", "route to 198.51.100.10/32 over link 9 metric 2048"}

func TestApplyTwiceIsApplyOnce(t *testing.T) {
	j, _ := openJournal(t)
	f := &fake{}
	c := NewOn(f, j, quiet())
	for range 2 {
		if err := c.Apply(t.Context(), there(), whole); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(all, f.objects); d != "" {
			t.Fatal(d)
		}
	}
	if err := c.Apply(t.Context(), there(), Want{}); err != nil {
		t.Fatal(err)
	}
	if len(f.objects) != 0 {
		t.Errorf("left: %v", f.objects)
	}
	if left := j.Entries(); len(left) != 0 {
		t.Errorf("journal still holds %v", left)
	}
}

func TestEveryAdditionIsJournalledBeforeItIsMade(t *testing.T) {
	j, _ := openJournal(t)
	f := &fake{}
	f.before = func() {
		if got, made := len(j.Entries()), len(f.objects); got != made+1 {
			t.Errorf("%d entries for %d things made and one to come", got, made)
		}
	}
	if err := NewOn(f, j, quiet()).Apply(t.Context(), there(), whole); err != nil {
		t.Fatal(err)
	}
	if len(f.objects) != 3 {
		t.Errorf("made %v", f.objects)
	}
}

func TestWhatOthersMadeIsNotAdopted(t *testing.T) {
	j, _ := openJournal(t)
	f := &fake{objects: []string{all[0]}}
	c := NewOn(f, j, quiet())
	if err := c.Apply(t.Context(), there(), whole); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("err = %v, want one that says that it is somebody else's", err)
	}
	if err := c.Apply(t.Context(), there(), Want{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.objects, all[:1]) {
		t.Errorf("objects = %v, want the other's address untouched", f.objects)
	}
}

func TestSnapshotFromBeforeOurAdditionIsNoStranger(t *testing.T) {
	j, path := openJournal(t)
	f := &fake{}
	c := NewOn(f, j, quiet())
	before := there()
	before.Links[0].Addrs, before.Routes = nil, nil
	for range 2 {
		if err := c.Apply(t.Context(), before, whole); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(all, f.objects); d != "" {
		t.Error(d)
	}
	if got := len(reopen(t, path).Entries()); got != 3 {
		t.Errorf("journal has %d entries, want two addresses and the route", got)
	}
}

func TestFailedRepairStaysInTheJournal(t *testing.T) {
	j, path := openJournal(t)
	f := &fake{}
	c := NewOn(f, j, quiet())
	if err := c.Apply(t.Context(), there(), whole); err != nil {
		t.Fatal(err)
	}
	before := there()
	before.Routes = nil
	refused := errors.New("refused") // which says nothing about whether the route is there
	f.fail = map[string]error{"add " + all[2]: refused}
	if err := c.Apply(t.Context(), before, whole); !errors.Is(err, refused) {
		t.Fatalf("err = %v", err)
	}
	if got := len(reopen(t, path).Entries()); got != 3 {
		t.Errorf("journal has %d entries, want two addresses and the route", got)
	}
}

func TestFailedAdditionIsUndoneByZero(t *testing.T) {
	j, _ := openJournal(t)
	broken := errors.New("broken")
	f := &fake{fail: map[string]error{"add " + all[1]: broken}}
	c := NewOn(f, j, quiet())
	if err := c.Apply(t.Context(), there(), whole); !errors.Is(err, broken) {
		t.Fatalf("err = %v", err)
	}
	if err := c.Apply(t.Context(), there(), Want{}); err != nil || len(f.objects) != 0 {
		t.Errorf("err = %v, left %v", err, f.objects)
	}
}

func TestRemovalThatOthersMadeIsNoError(t *testing.T) {
	j, _ := openJournal(t)
	f := &fake{}
	c := NewOn(f, j, quiet())
	if err := c.Apply(t.Context(), there(), whole); err != nil {
		t.Fatal(err)
	}
	f.objects = nil
	if err := c.Apply(t.Context(), there(), Want{}); err != nil {
		t.Error(err)
	}
}

// The next process finds the link by name, whatever its index is now.
func TestNextProcessUndoesWhatAKilledOneLeft(t *testing.T) {
	lo := loopback(t)
	have := netstate.Snapshot{Links: []netstate.Link{{Index: 2, Name: lo.Name}, {Index: 9, Name: "r64gone"}}}
	j, path := openJournal(t)
	f := &fake{}
	if err := NewOn(f, j, quiet()).Apply(t.Context(), have, whole); err != nil {
		t.Fatal(err)
	}
	next := reopen(t, path)
	left := &fake{objects: []string{Step{Addr: Addr{Link: lo.Index, Prefix: addr6.Prefix}}.key()}}
	undone, err := NewOn(left, next, quiet()).Undo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"address 2001:db8:1::c1a7/128 on " + lo.Name}; !slices.Equal(undone, want) {
		t.Errorf("undone = %v, want %v", undone, want)
	}
	if len(left.objects) != 0 || len(next.Entries()) != 0 {
		t.Errorf("left %v, journal %v", left.objects, next.Entries())
	}
}

// elsewhere is an OS that is not this machine's.
type elsewhere struct {
	*fake
	links map[string]int
}

func (e elsewhere) LinkIndex(name string) (int, error) {
	if i, ok := e.links[name]; ok {
		return i, nil
	}
	return 0, fs.ErrNotExist
}

// An OS that says its links itself is asked for them: this machine has no r64mem0.
func TestUndoOnAnotherMachine(t *testing.T) {
	have := netstate.Snapshot{Links: []netstate.Link{{Index: 2, Name: "r64mem0"}, {Index: 9, Name: "r64mem1"}}}
	j, path := openJournal(t)
	if err := NewOn(&fake{}, j, quiet()).Apply(t.Context(), have, whole); err != nil {
		t.Fatal(err)
	}
	next := reopen(t, path)
	left := elsewhere{&fake{objects: []string{Step{Addr: Addr{Link: 5, Prefix: addr6.Prefix}}.key()}}, map[string]int{"r64mem0": 5}}
	undone, err := NewOn(left, next, quiet()).Undo(t.Context())
	if want := []string{"address 2001:db8:1::c1a7/128 on r64mem0"}; err != nil || !slices.Equal(undone, want) {
		t.Errorf("undone = %v, %v; want %v", undone, err, want)
	}
	if len(left.objects) != 0 || len(next.Entries()) != 0 {
		t.Errorf("left %v, journal %v", left.objects, next.Entries())
	}
}

// The next start must not fail for ever over what another version wrote.
func TestEntryThatCannotBeUndoneIsCrossedOut(t *testing.T) {
	link := loopback(t).Name
	for name, e := range map[string]journal.Entry{
		"other kind": {Kind: "device", Link: link},
		"no prefix":  {Kind: journal.Address, Link: link},
	} {
		t.Run(name, func(t *testing.T) {
			j, path := openJournal(t)
			if _, err := j.Add(e); err != nil {
				t.Fatal(err)
			}
			next := reopen(t, path)
			f := &fake{before: func() { t.Error("changed something") }}
			if undone, err := NewOn(f, next, quiet()).Undo(t.Context()); err != nil || len(undone) != 0 || len(next.Entries()) != 0 {
				t.Errorf("undone %v, err %v, journal %v", undone, err, next.Entries())
			}
		})
	}
}

func TestFailedUndoIsTriedAgain(t *testing.T) {
	lo := loopback(t)
	j, path := openJournal(t)
	if _, err := j.Add(journal.Entry{Kind: journal.Address, Link: lo.Name, Prefix: netip.MustParsePrefix("2001:db8::1/128")}); err != nil {
		t.Fatal(err)
	}
	next := reopen(t, path)
	step := Step{Op: Remove, Addr: Addr{Link: lo.Index, Prefix: netip.MustParsePrefix("2001:db8::1/128")}}
	f := &fake{fail: map[string]error{step.String(): errors.New("busy")}}
	if _, err := NewOn(f, next, quiet()).Undo(t.Context()); err == nil {
		t.Error("no error")
	}
	if len(next.Entries()) != 1 {
		t.Error("the entry was crossed out all the same")
	}
}

func loopback(t *testing.T) net.Interface {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if l.Flags&net.FlagLoopback != 0 {
			return l
		}
	}
	t.Skip("no loopback link")
	return net.Interface{}
}
