package backup

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Restore writes a snapshot into a folder, which is made if it is not there.
// Every chunk is checked against its SHA-256 before it is written.
func Restore(ctx context.Context, dial Dial, addr string, cfg *tls.Config, id, dst string, progress Progress) (Stats, error) {
	begin := time.Now()
	var stats Stats
	var sum Sum
	if err := sum.UnmarshalText([]byte(id)); err != nil {
		return stats, fmt.Errorf("restore snapshot: %w", err)
	}
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return stats, fmt.Errorf("restore snapshot: %w", err)
	}
	root, err := os.OpenRoot(dst) // nothing of the list gets out of it
	if err != nil {
		return stats, fmt.Errorf("restore snapshot: %w", err)
	}
	defer root.Close()
	r := &restorer{client: newClient(dial, addr, cfg, progress, 0), root: root}
	err = r.run(ctx, sum, &stats)
	stats.Seconds = time.Since(begin).Seconds()
	if err != nil {
		return stats, fmt.Errorf("restore %.12s from %s: %w", id, addr, cause(ctx, err))
	}
	return stats, nil
}

type restorer struct {
	*client
	root *os.Root
}

func (r *restorer) run(ctx context.Context, id Sum, stats *Stats) error {
	var entries []*entry
	err := r.session(ctx, func(c *conn) (err error) {
		entries, err = loadManifest(c, id)
		return err
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := r.create(e); err != nil {
			return fmt.Errorf("make %s: %w", e.Path, err)
		}
		if e.Folder {
			stats.Folders++
		} else {
			stats.Files++
		}
		stats.Bytes += e.Size
	}
	r.total = stats.Bytes
	if err := r.fetch(ctx, entries); err != nil {
		return err
	}
	stats.Carried = stats.Bytes
	return r.finish(entries)
}

// create makes an entry, a file empty and open for us to write.
func (r *restorer) create(e *entry) error {
	name := filepath.FromSlash(e.Path)
	if e.Folder {
		return r.root.MkdirAll(name, 0o755)
	}
	if err := r.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := r.root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// finish sets what writing changes, the deepest first.
func (r *restorer) finish(entries []*entry) error {
	for _, e := range slices.Backward(entries) {
		name := filepath.FromSlash(e.Path)
		if err := r.root.Chtimes(name, e.Modified, e.Modified); err != nil {
			return fmt.Errorf("set times: %w", err)
		}
		if err := r.root.Chmod(name, fs.FileMode(e.Mode)&fs.ModePerm); err != nil {
			return fmt.Errorf("set permissions: %w", err)
		}
	}
	return nil
}

// A part is a chunk on its way into a file.
type part struct {
	path string
	at   int64 // bytes from the start of the file
	size int   // bytes
	sum  Sum
}

// fetch gets all chunks over several connections. It owns the goroutines and has
// joined them when it returns. The channel holds nothing.
func (r *restorer) fetch(ctx context.Context, entries []*entry) error {
	jobs := make(chan []part)
	work, ctx := errgroup.WithContext(ctx)
	for range connections {
		work.Go(func() error {
			return r.session(ctx, func(c *conn) error {
				for parts := range jobs {
					if err := r.write(c, parts); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	work.Go(func() error {
		defer close(jobs)
		for parts := range slices.Chunk(cut(entries), 8) {
			select {
			case jobs <- parts:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return work.Wait()
}

func cut(entries []*entry) []part {
	var parts []part
	for _, e := range entries {
		for i, sum := range e.Chunks {
			at := int64(i) * chunkSize
			parts = append(parts, part{path: filepath.FromSlash(e.Path), at: at, size: int(min(e.Size-at, chunkSize)), sum: sum})
		}
	}
	return parts
}

// write asks for some chunks at once and writes them as they come.
func (r *restorer) write(c *conn, parts []part) (err error) {
	for _, p := range parts {
		if err := c.write(kindGet, p.sum[:]); err != nil {
			return err
		}
	}
	var f *os.File
	open := ""
	done := func() error {
		if f == nil {
			return nil
		}
		c := f
		f = nil
		return c.Close()
	}
	defer func() {
		if cerr := done(); err == nil {
			err = cerr
		}
	}()
	for _, p := range parts {
		data, err := c.chunk(p.sum, p.size)
		if err != nil {
			return fmt.Errorf("%s: %w", p.path, err)
		}
		if f == nil || open != p.path {
			if err := done(); err != nil {
				return err
			}
			if f, err = r.root.OpenFile(p.path, os.O_WRONLY, 0); err != nil {
				return err
			}
			open = p.path
		}
		if _, err := f.WriteAt(data, p.at); err != nil {
			return err
		}
		r.advance(int64(len(data)))
	}
	return nil
}
