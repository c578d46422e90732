// Package backup is a small backup client and server, real enough to test the
// path between them: many files, large and small, in parallel TLS connections,
// with every byte checked by SHA-256 on both sides.
//
// The client knows its server by IPv4 address and port and opens "tcp4" sockets,
// nothing else, as an old backup client does. The server keeps chunks of up to
// 1 MiB by their SHA-256 in a folder. A snapshot is a list of files with their
// chunks, kept as chunks too; its ID is the SHA-256 of its root.
//
// It is not a product: there is no encryption at rest, no login, no pruning.
package backup

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	chunkSize   = 1 << 20 // bytes, at most
	connections = 4       // of a client at once
	groupParts  = 64      // chunks that go in one exchange, at most
)

// A Sum is the SHA-256 of a chunk and its name.
type Sum [sha256.Size]byte

func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText gives 64 hexadecimal digits.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return fmt.Errorf("read SHA-256 %.80q: want %d hexadecimal digits", text, hex.EncodedLen(len(s)))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// Stats is what a backup or a restore did.
type Stats struct {
	Files   int     `json:"files"`
	Folders int     `json:"folders"`
	Bytes   int64   `json:"bytes"`   // content of files
	Carried int64   `json:"carried"` // content that went over the network
	Seconds float64 `json:"seconds"`
}

// Dial opens a connection. network is always "tcp4", addr an IPv4 address and port.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Progress is told how many of the bytes of content are done. Calls do not overlap.
// It may be nil.
type Progress func(done, total int64)

// Backup saves a folder and returns the ID of the snapshot. addr is an IPv4
// address and port. Chunks that the server has are not sent again.
func Backup(ctx context.Context, dial Dial, addr string, cfg *tls.Config, src string, progress Progress) (string, Stats, error) {
	begin := time.Now()
	entries, stats, err := list(src)
	if err != nil {
		return "", stats, err
	}
	s := &saver{client: newClient(dial, addr, cfg, progress, stats.Bytes), sent: map[Sum]bool{}}
	err = s.run(ctx, func(ctx context.Context, groups chan<- *group) error {
		return s.read(ctx, src, entries, groups)
	})
	if err != nil {
		return "", stats, fmt.Errorf("save %s on %s: %w", src, addr, err)
	}
	id, err := s.saveManifest(ctx, entries)
	if err != nil {
		return "", stats, fmt.Errorf("save snapshot on %s: %w", addr, err)
	}
	stats.Carried = s.carried
	stats.Seconds = time.Since(begin).Seconds()
	return id.String(), stats, nil
}

// list walks a folder. Only folders and regular files can be saved.
func list(src string) ([]*entry, Stats, error) {
	var entries []*entry
	var stats Stats
	err := filepath.WalkDir(src, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := &entry{Path: filepath.ToSlash(rel), Mode: uint32(info.Mode().Perm()), Modified: info.ModTime().UTC()}
		switch {
		case rel == "." && !d.IsDir():
			return fmt.Errorf("%s is not a folder", name)
		case rel == ".":
			return nil
		case d.IsDir():
			e.Folder = true
			stats.Folders++
		case d.Type().IsRegular():
			e.Size = info.Size()
			stats.Files++
			stats.Bytes += e.Size
		default:
			return fmt.Errorf("%s is neither file nor folder", name)
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, stats, fmt.Errorf("list files to save: %w", err)
	}
	return entries, stats, nil
}

// A piece is a chunk on its way to the server.
type piece struct {
	data []byte
	sum  Sum
}

// A group is what one exchange carries: pieces of up to chunkSize bytes in all,
// in one buffer. The reader fills it, then one worker owns it.
type group struct {
	buf    []byte
	pieces []*piece
}

// saver sends chunks over several connections.
type saver struct {
	*client
	mu      sync.Mutex   // guards what follows
	sent    map[Sum]bool // by this run
	carried int64        // bytes
}

// run lets produce make groups and sends them until it returns. It owns the
// goroutines and has joined them when it returns. The channel holds nothing:
// produce waits until a worker is free.
func (s *saver) run(ctx context.Context, produce func(context.Context, chan<- *group) error) error {
	groups := make(chan *group)
	work, workCtx := errgroup.WithContext(ctx)
	for range connections {
		work.Go(func() error {
			return s.session(workCtx, func(c *conn) error {
				for g := range groups {
					if err := s.send(c, g); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	work.Go(func() error {
		defer close(groups)
		return produce(workCtx, groups)
	})
	return cause(ctx, work.Wait())
}

// read cuts files into pieces and packs small ones together.
func (s *saver) read(ctx context.Context, src string, entries []*entry, groups chan<- *group) error {
	p := &packer{ctx: ctx, groups: groups}
	for _, e := range entries {
		if e.Folder || e.Size == 0 {
			continue
		}
		f, err := os.Open(filepath.Join(src, filepath.FromSlash(e.Path)))
		if err != nil {
			return fmt.Errorf("open file to save: %w", err)
		}
		err = p.file(f, e)
		f.Close()
		if err != nil {
			return fmt.Errorf("read %s: %w", e.Path, err)
		}
	}
	return p.flush()
}

// packer fills groups.
type packer struct {
	ctx    context.Context
	groups chan<- *group
	g      *group
}

var errShrank = errors.New("it became shorter while it was read")

func (p *packer) file(r io.Reader, e *entry) error {
	for left := e.Size; left > 0; {
		n := int(min(left, chunkSize))
		pc, err := p.piece(n)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(r, pc.data); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errShrank
		} else if err != nil {
			return err
		}
		e.pieces = append(e.pieces, pc)
		left -= int64(n)
	}
	return nil
}

// piece reserves n bytes in a group.
func (p *packer) piece(n int) (*piece, error) {
	if p.g != nil && (len(p.g.buf)+n > chunkSize || len(p.g.pieces) == groupParts) {
		if err := p.flush(); err != nil {
			return nil, err
		}
	}
	if p.g == nil {
		p.g = groupPool.Get().(*group)
	}
	g := p.g
	at := len(g.buf)
	g.buf = g.buf[:at+n]
	pc := &piece{data: g.buf[at : at+n]}
	g.pieces = append(g.pieces, pc)
	return pc, nil
}

func (p *packer) flush() error {
	if p.g == nil {
		return nil
	}
	select {
	case p.groups <- p.g:
		p.g = nil
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

var groupPool = sync.Pool{New: func() any { return &group{buf: make([]byte, 0, chunkSize)} }}

// send asks which chunks are new, sends these, and waits until they are kept.
func (s *saver) send(c *conn, g *group) error {
	total := len(g.buf)
	fresh := s.claim(g.pieces)
	missing, err := c.missing(fresh)
	if err != nil {
		return err
	}
	var carried int64
	for _, p := range missing {
		carried += int64(len(p.data))
		if err := c.write(kindPut, p.sum[:], p.data); err != nil {
			return err
		}
	}
	for range missing {
		if _, err := c.answer(kindPut, 0); err != nil {
			return err
		}
	}
	for _, p := range g.pieces {
		p.data = nil
	}
	g.buf, g.pieces = g.buf[:0], g.pieces[:0]
	groupPool.Put(g)
	s.mu.Lock()
	s.carried += carried
	s.mu.Unlock()
	s.advance(int64(total))
	return nil
}

// claim names the pieces and returns those that this run has not sent.
func (s *saver) claim(pieces []*piece) []*piece {
	for _, p := range pieces {
		p.sum = sha256.Sum256(p.data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []*piece
	for _, p := range pieces {
		if !s.sent[p.sum] {
			s.sent[p.sum] = true
			fresh = append(fresh, p)
		}
	}
	return fresh
}
