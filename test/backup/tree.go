package backup

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// MakeTree writes a folder with files of size bytes in all: a third of the bytes
// in documents of up to 256 KiB that repeat themselves, the rest in images of up to 32 MiB
// that do not; an empty file and an empty folder besides. The same seed gives the
// same tree. Names and types are those that every system knows.
func MakeTree(dir string, size int64, seed uint64) error {
	m := maker{dir: dir, rng: rand.New(rand.NewPCG(seed, uint64(size)))}
	if err := os.MkdirAll(filepath.Join(dir, "empty folder"), 0o755); err != nil {
		return fmt.Errorf("make tree: %w", err)
	}
	if err := m.file("empty.txt", 0, false); err != nil {
		return err
	}
	for n, left := 0, size/3; left > 0; n++ {
		length := min(left, 1+m.rng.Int64N(1<<(10+m.rng.IntN(9)))) // 1 KiB to 256 KiB at most
		if err := m.file(filepath.Join("documents", fmt.Sprintf("%02d", n%23), fmt.Sprintf("report %d.txt", n)), length, true); err != nil {
			return err
		}
		left -= length
	}
	for n, left := 0, size-size/3; left > 0; n++ {
		length := min(left, 8<<20+m.rng.Int64N(24<<20))
		if err := m.file(filepath.Join("images", fmt.Sprintf("disk-%d.img", n)), length, false); err != nil {
			return err
		}
		left -= length
	}
	return nil
}

type maker struct {
	dir string
	rng *rand.Rand
}

func (m *maker) file(name string, size int64, text bool) error {
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make tree: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make tree: %w", err)
	}
	if text {
		err = m.prose(f, size)
	} else {
		var key [32]byte
		for i := range key {
			key[i] = byte(m.rng.Uint32())
		}
		_, err = io.CopyN(f, rand.NewChaCha8(key), size)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("make tree: %w", err)
	}
	return nil
}

func (m *maker) prose(f io.Writer, size int64) error {
	w := bufio.NewWriter(f)
	for size > 0 {
		line := fmt.Sprintf("On day %d the backup saved %d files.\n", m.rng.IntN(365), m.rng.IntN(1e6))
		n, err := w.WriteString(line[:min(int64(len(line)), size)])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return w.Flush()
}

// Compare returns nil when two folders have the same folders, files and content,
// by SHA-256; else what differs first, in the order of the names. Times and
// permissions are not compared.
func Compare(a, b string) error {
	one, err := digest(a)
	if err != nil {
		return err
	}
	two, err := digest(b)
	if err != nil {
		return err
	}
	all := maps.Clone(one)
	maps.Copy(all, two)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		x, inA := one[name]
		y, inB := two[name]
		switch {
		case !inB:
			return fmt.Errorf("compare %s with %s: %s is only in the first", a, b, name)
		case !inA:
			return fmt.Errorf("compare %s with %s: %s is only in the second", a, b, name)
		case x != y:
			return fmt.Errorf("compare %s with %s: %s differs: %s and %s", a, b, name, x, y)
		}
	}
	return nil
}

// digest lists a folder: by name "folder", or the size and SHA-256 of a file.
func digest(dir string) (map[string]string, error) {
	all := map[string]string{}
	buf := make([]byte, chunkSize)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			all[name] = "folder"
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		n, err := io.CopyBuffer(h, struct{ io.Reader }{f}, buf)
		all[name] = fmt.Sprintf("%d bytes, SHA-256 %x", n, h.Sum(nil))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	return all, nil
}
