package macpkg

import (
	"encoding/binary"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// store is a BOM store: numbered blocks, and names for some of them. Everything
// is big-endian.
type store struct {
	blocks [][]byte // block 0 is none
	vars   []struct {
		name  string
		block uint32
	}
}

func (s *store) block(data []byte) uint32 {
	s.blocks = append(s.blocks, data)
	return uint32(len(s.blocks) - 1)
}

func (s *store) name(name string, block uint32) {
	s.vars = append(s.vars, struct {
		name  string
		block uint32
	}{name, block})
}

// headSize is how much the header takes, zero-filled.
const headSize = 512

// bytes lays the store out: header, blocks, names, table of blocks.
func (s *store) bytes() []byte {
	out := make([]byte, headSize)
	index := be32(nil, uint32(len(s.blocks)))
	for _, b := range s.blocks {
		at := uint32(len(out))
		if len(b) == 0 {
			at = 0
		}
		index = be32(index, at, uint32(len(b)))
		out = append(out, b...)
	}
	index = be32(index, 0) // the list of free blocks is empty
	vars := be32(nil, uint32(len(s.vars)))
	for _, v := range s.vars {
		vars = append(append(be32(vars, v.block), byte(len(v.name))), v.name...)
	}
	varsAt := len(out)
	out = append(out, vars...)
	indexAt := len(out)
	out = append(out, index...)
	copy(out, "BOMStore")
	copy(out[8:], be32(nil, 1, uint32(len(s.blocks)-1), uint32(indexAt), uint32(len(index)), uint32(varsAt), uint32(len(vars))))
	return out
}

// bom lists the files with owner, mode, time, size and checksum.
func bom(files []File, when time.Time) []byte {
	s := &store{blocks: make([][]byte, 1)}
	ids := map[string]uint32{".": 1}
	total := uint32(0)
	leaf := []pair{}
	// The tree is sorted by parent, then by name.
	byParent := slices.Clone(files)
	for i, f := range byParent {
		ids[f.Name] = uint32(i + 1)
		total += uint32(len(f.Data))
	}
	parent := func(f File) uint32 {
		if f.Name == "." {
			return 0
		}
		return ids[path.Dir(f.Name)]
	}
	slices.SortStableFunc(byParent, func(a, b File) int {
		if pa, pb := parent(a), parent(b); pa != pb {
			return int(pa) - int(pb)
		}
		return strings.Compare(path.Base(a.Name), path.Base(b.Name))
	})
	for _, f := range byParent {
		info := s.block(pathInfo(f, when))
		leaf = append(leaf, pair{
			value: s.block(be32(nil, ids[f.Name], info)),
			key:   s.block(append(append(be32(nil, parent(f)), path.Base(f.Name)...), 0)),
		})
	}
	s.name("BomInfo", s.block(be32(nil, 1, uint32(len(files)), 1, 0, 0, total, 0)))
	s.name("Paths", s.tree(leaf, 4096))
	s.name("HLIndex", s.tree(nil, 4096))
	s.name("VIndex", s.block(append(be32(nil, 1, s.tree(nil, 128), 0), 0)))
	s.name("Size64", s.tree(nil, 4096))
	return s.bytes()
}

// pair is one entry of a tree: the numbers of two blocks.
type pair struct{ value, key uint32 }

// perLeaf is how many entries fit into a leaf of 4096 bytes.
const perLeaf = (4096 - 12) / 8

// tree writes a tree of leaves, with one page above them when there are several.
func (s *store) tree(entries []pair, pageSize uint32) uint32 {
	var leaves []uint32
	var last []uint32 // key of each leaf's last entry
	first := uint32(len(s.blocks))
	pages := max(1, (len(entries)+perLeaf-1)/perLeaf)
	for i := range pages {
		part := entries[i*perLeaf : min(len(entries), (i+1)*perLeaf)]
		forward, backward := uint32(0), uint32(0)
		if i+1 < pages {
			forward = first + uint32(i) + 1
		}
		if i > 0 {
			backward = first + uint32(i) - 1
		}
		leaves = append(leaves, s.block(page(1, forward, backward, part, pageSize)))
		if len(part) > 0 {
			last = append(last, part[len(part)-1].key)
		}
	}
	root := leaves[0]
	if len(leaves) > 1 {
		var above []pair
		for i := range leaves {
			above = append(above, pair{leaves[i], last[i]})
		}
		root = s.block(page(0, 0, 0, above, pageSize))
	}
	return s.block(append(be32([]byte("tree"), 1, root, pageSize, uint32(len(entries))), 0))
}

// page is a leaf or the page above the leaves, filled up to its size.
func page(isLeaf uint16, forward, backward uint32, entries []pair, size uint32) []byte {
	b := binary.BigEndian.AppendUint16(nil, isLeaf)
	b = binary.BigEndian.AppendUint16(b, uint16(len(entries)))
	b = be32(b, forward, backward)
	for _, e := range entries {
		b = be32(b, e.value, e.key)
	}
	return append(b, make([]byte, max(0, int(size)-len(b)))...)
}

// The types of a path.
const (
	bomFile = 1
	bomDir  = 2
	bomLink = 3
)

// pathInfo tells what one path is.
func pathInfo(f File, when time.Time) []byte {
	kind := byte(bomFile)
	switch {
	case f.Mode.IsDir():
		kind = bomDir
	case f.Mode&fs.ModeSymlink != 0:
		kind = bomLink
	}
	b := []byte{kind, 1}
	b = binary.BigEndian.AppendUint16(b, 3) // any processor
	b = binary.BigEndian.AppendUint16(b, uint16(unixMode(f.Mode)))
	b = be32(b, 0, 0, uint32(when.Unix()), uint32(len(f.Data))) // root, wheel
	b = append(b, 1)
	switch kind {
	case bomFile:
		return be32(b, cksum(f.Data), 0)
	case bomLink:
		b = be32(b, cksum(f.Data), uint32(len(f.Data)+1))
		return append(append(b, f.Data...), 0)
	}
	return be32(b, 0, 0)
}

func be32(b []byte, values ...uint32) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}
