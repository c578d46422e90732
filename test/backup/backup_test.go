package backup

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var dialer net.Dialer

// world is a server on loopback and what its client needs.
type world struct {
	addr  string
	store string
	cfg   *tls.Config
}

func newWorld(t testing.TB) world {
	t.Helper()
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ca.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := world{addr: l.Addr().String(), store: t.TempDir(), cfg: ca.Client()}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, cfg, w.store) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return w
}

// chunks lists the files of the store.
func (w world) chunks(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(w.store, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func tree(t testing.TB, size int64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "files")
	if err := MakeTree(dir, size, 1); err != nil {
		t.Fatal(err)
	}
	return dir
}

const testBytes = 5<<20 + 12345

func TestBackupAndRestore(t *testing.T) {
	w, src, dst := newWorld(t), tree(t, testBytes), filepath.Join(t.TempDir(), "deep", "restored")
	if err := os.Chmod(filepath.Join(src, "empty.txt"), 0o444); err != nil {
		t.Fatal(err)
	}
	var last, total atomic.Int64
	progress := func(done, all int64) {
		if done <= last.Load() {
			t.Errorf("progress went from %d to %d", last.Load(), done)
		}
		last.Store(done)
		total.Store(all)
	}
	id, saved, err := Backup(t.Context(), dialer.DialContext, w.addr, w.cfg, src, progress)
	if err != nil {
		t.Fatal(err)
	}
	if last.Load() != testBytes || total.Load() != testBytes || saved.Bytes != testBytes || saved.Carried != testBytes {
		t.Errorf("progress %d of %d, stats %+v; want %d everywhere", last.Load(), total.Load(), saved, testBytes)
	}
	last.Store(0)
	restored, err := Restore(t.Context(), dialer.DialContext, w.addr, w.cfg, id, dst, progress)
	if err != nil {
		t.Fatal(err)
	}
	if last.Load() != testBytes || restored.Files != saved.Files || restored.Folders != saved.Folders || restored.Bytes != testBytes {
		t.Errorf("progress %d, restored %+v, saved %+v", last.Load(), restored, saved)
	}
	if err := Compare(src, dst); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"empty.txt", "images"} {
		a, errA := os.Stat(filepath.Join(src, name))
		b, errB := os.Stat(filepath.Join(dst, name))
		if errA != nil || errB != nil || a.Mode() != b.Mode() || !a.ModTime().Equal(b.ModTime()) {
			t.Errorf("%s: %v %v %v and %v %v %v, want the same", name, a.Mode(), a.ModTime(), errA, b.Mode(), b.ModTime(), errB)
		}
	}
}

func TestSecondBackupCarriesOnlyWhatIsNew(t *testing.T) {
	w, src := newWorld(t), tree(t, testBytes)
	first, _, err := Backup(t.Context(), dialer.DialContext, w.addr, w.cfg, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, stats, err := Backup(t.Context(), dialer.DialContext, w.addr, w.cfg, src, nil)
	if err != nil || again != first || stats.Carried != 0 {
		t.Errorf("same files: snapshot %s, %d bytes carried, %v; want %s, 0", again, stats.Carried, err, first)
	}
	if err := os.WriteFile(filepath.Join(src, "new.txt"), []byte("news"), 0o600); err != nil {
		t.Fatal(err)
	}
	second, stats, err := Backup(t.Context(), dialer.DialContext, w.addr, w.cfg, src, nil)
	if err != nil || second == first || stats.Carried != 4 {
		t.Errorf("one more file: snapshot %s, %d bytes carried, %v; want another one, 4", second, stats.Carried, err)
	}
}

func TestSameContentIsCarriedOnce(t *testing.T) {
	w, src := newWorld(t), t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(src, name), []byte("the same"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id, stats, err := Backup(t.Context(), dialer.DialContext, w.addr, w.cfg, src, nil)
	if err != nil || stats.Carried != 8 {
		t.Fatalf("%d bytes carried, %v; want 8", stats.Carried, err)
	}
	dst := t.TempDir()
	if _, err := Restore(t.Context(), dialer.DialContext, w.addr, w.cfg, id, dst, nil); err != nil {
		t.Fatal(err)
	}
	if err := Compare(src, dst); err != nil {
		t.Error(err)
	}
}

func TestDamagedStoreIsNoticed(t *testing.T) {
	w, src := newWorld(t), tree(t, testBytes)
	id, _, err := Backup(t.Context(), dialer.DialContext, w.addr, w.cfg, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range w.chunks(t) {
		if filepath.Base(file) == id {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Restore(t.Context(), dialer.DialContext, w.addr, w.cfg, id, t.TempDir(), nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("restore from a damaged store: %v, want %v", err, ErrDamaged)
	}
}

func TestLostChunkIsNamed(t *testing.T) {
	w, src := newWorld(t), tree(t, testBytes)
	id, _, err := Backup(t.Context(), dialer.DialContext, w.addr, w.cfg, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range w.chunks(t) {
		if info, err := os.Stat(file); err == nil && info.Size() == chunkSize {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = Restore(t.Context(), dialer.DialContext, w.addr, w.cfg, id, t.TempDir(), nil)
	if err == nil || !strings.Contains(err.Error(), "no chunk or snapshot") {
		t.Errorf("restore without a chunk: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	w, other, src := newWorld(t), newWorld(t), tree(t, 1000)
	tests := []struct {
		name, addr string
		cfg        *tls.Config
		src, want  string
	}{
		{"a server of another authority", w.addr, other.cfg, src, "unknown authority"},
		{"a host name", "localhost:443", w.cfg, src, "want an IPv4 address"},
		{"an IPv6 address", "[::1]:443", w.cfg, src, "want an IPv4 address"},
		{"an address without port", "127.0.0.1", w.cfg, src, "want an IPv4 address"},
		{"no such folder", w.addr, w.cfg, filepath.Join(src, "none"), "list files"},
		{"a file in place of a folder", w.addr, w.cfg, filepath.Join(src, "empty.txt"), "not a folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Backup(t.Context(), dialer.DialContext, tt.addr, tt.cfg, tt.src, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	for _, id := range []string{"", "xyz", strings.Repeat("0", 63), strings.Repeat("0", 64)} {
		if _, err := Restore(t.Context(), dialer.DialContext, w.addr, w.cfg, id, t.TempDir(), nil); err == nil {
			t.Errorf("restore of snapshot %q gave no error", id)
		}
	}
}

// cut dials connections that break after some bytes in either direction.
type cutter struct {
	left  atomic.Int64
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp4" {
		return nil, errors.New("network " + network)
	}
	raw, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, raw)
	return cutConn{raw, c}, nil
}

type cutConn struct {
	net.Conn
	c *cutter
}

func (c cutConn) count(n int, err error) (int, error) {
	if c.c.left.Add(-int64(n)) < 0 {
		c.c.mu.Lock()
		defer c.c.mu.Unlock()
		for _, raw := range c.c.conns {
			raw.Close()
		}
	}
	return n, err
}
func (c cutConn) Read(b []byte) (int, error)  { return c.count(c.Conn.Read(b)) }
func (c cutConn) Write(b []byte) (int, error) { return c.count(c.Conn.Write(b)) }

func TestInterruptedConnection(t *testing.T) {
	w, src := newWorld(t), tree(t, testBytes)
	var c cutter
	c.left.Store(testBytes / 2)
	id, _, err := Backup(t.Context(), c.dial, w.addr, w.cfg, src, nil)
	if err == nil || id != "" || !strings.Contains(err.Error(), w.addr) {
		t.Errorf("cut backup: snapshot %q, error %v; want an error that names %s", id, err, w.addr)
	}
	if id, _, err = Backup(t.Context(), dialer.DialContext, w.addr, w.cfg, src, nil); err != nil {
		t.Fatalf("backup after a cut one: %v", err)
	}
	dst := t.TempDir()
	c = cutter{}
	c.left.Store(testBytes / 2)
	if _, err := Restore(t.Context(), c.dial, w.addr, w.cfg, id, dst, nil); err == nil {
		t.Error("cut restore gave no error")
	}
	if _, err := Restore(t.Context(), dialer.DialContext, w.addr, w.cfg, id, dst, nil); err != nil {
		t.Fatalf("restore after a cut one: %v", err)
	}
	if err := Compare(src, dst); err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	w, src := newWorld(t), tree(t, testBytes)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := Backup(ctx, dialer.DialContext, w.addr, w.cfg, src, func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled backup: %v, want %v", err, context.Canceled)
	}
}

func TestOnlyFilesAndFoldersAreSaved(t *testing.T) {
	w, src := newWorld(t), t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(src, "link")); err != nil {
		t.Skip("symbolic links cannot be made here:", err)
	}
	if _, _, err := Backup(t.Context(), dialer.DialContext, w.addr, w.cfg, src, nil); err == nil || !strings.Contains(err.Error(), "neither file nor folder") {
		t.Errorf("backup of a symbolic link: %v", err)
	}
}

// BenchmarkBackup saves over TLS on loopback; the bytes differ each time.
func BenchmarkBackup(b *testing.B) {
	const size = 256 << 20
	src := tree(b, size)
	b.SetBytes(size)
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b)
		b.StartTimer()
		if _, _, err := Backup(b.Context(), dialer.DialContext, w.addr, w.cfg, src, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRestore(b *testing.B) {
	const size = 256 << 20
	src, w := tree(b, size), newWorld(b)
	id, _, err := Backup(b.Context(), dialer.DialContext, w.addr, w.cfg, src, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		if _, err := Restore(b.Context(), dialer.DialContext, w.addr, w.cfg, id, b.TempDir(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
