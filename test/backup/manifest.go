package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"
)

const (
	maxManifest = 64 << 20                // bytes
	maxRoot     = maxManifest / chunkSize // chunks of a manifest
)

// An entry is a file or folder of a snapshot.
type entry struct {
	Path     string    `json:"path"` // relative, with slashes
	Folder   bool      `json:"folder,omitempty"`
	Size     int64     `json:"size"` // bytes
	Mode     uint32    `json:"mode"` // permission bits
	Modified time.Time `json:"modified"`
	Chunks   []Sum     `json:"chunks,omitempty"`

	pieces []*piece // of a backup under way
}

// saveManifest saves the list of files, then the list of its chunks, the root.
// A snapshot is whole when its root is there.
func (s *saver) saveManifest(ctx context.Context, entries []*entry) (Sum, error) {
	for _, e := range entries {
		for _, p := range e.pieces {
			e.Chunks = append(e.Chunks, p.sum)
		}
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return Sum{}, fmt.Errorf("write list of files: %w", err)
	}
	if len(text) > maxManifest {
		return Sum{}, fmt.Errorf("write list of files: it has %d bytes, at most %d: save fewer files at once", len(text), maxManifest)
	}
	var root []byte
	err = s.session(ctx, func(c *conn) error {
		for len(text) > 0 {
			n := min(len(text), chunkSize)
			sum, err := c.put(text[:n])
			if err != nil {
				return err
			}
			root = append(root, sum[:]...)
			text = text[n:]
		}
		_, err := c.put(root)
		return err
	})
	return sha256.Sum256(root), cause(ctx, err)
}

// loadManifest reads the list of files of a snapshot.
func loadManifest(c *conn, id Sum) ([]*entry, error) {
	root, err := c.get(id, chunkSize)
	if err != nil {
		return nil, err
	}
	if len(root)%sha256.Size != 0 || len(root)/sha256.Size > maxRoot {
		return nil, fmt.Errorf("read snapshot %v: its root has %d bytes; is this the ID of a snapshot?", id, len(root))
	}
	root = bytes.Clone(root) // the connection's buffer is used again
	var text []byte
	for ; len(root) > 0; root = root[sha256.Size:] {
		part, err := c.get(Sum(root[:sha256.Size]), chunkSize)
		if err != nil {
			return nil, err
		}
		text = append(text, part...)
	}
	return parseManifest(text)
}

// parseManifest reads a list of files and checks that it can be restored.
func parseManifest(text []byte) ([]*entry, error) {
	var entries []*entry
	if err := json.Unmarshal(text, &entries); err != nil {
		return nil, fmt.Errorf("read list of files: %w", err)
	}
	for i, e := range entries {
		switch {
		case e == nil:
			return nil, fmt.Errorf("read list of files: entry %d is null", i)
		case !filepath.IsLocal(filepath.FromSlash(e.Path)) || e.Path == ".":
			return nil, fmt.Errorf("read list of files: path %q leaves the folder", e.Path)
		case e.Size < 0 || e.Size > int64(len(e.Chunks))*chunkSize || (e.Size+chunkSize-1)/chunkSize != int64(len(e.Chunks)):
			return nil, fmt.Errorf("read list of files: %q has %d bytes and %d chunks", e.Path, e.Size, len(e.Chunks))
		}
	}
	return entries, nil
}
