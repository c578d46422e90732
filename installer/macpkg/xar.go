package macpkg

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"time"
)

// entry is a file or, with files, a folder of an xar archive.
type entry struct {
	name  string
	data  []byte
	files []entry
}

// The table of contents (xar(1)).
type (
	toc struct {
		XMLName  xml.Name  `xml:"xar"`
		Checksum tocSum    `xml:"toc>checksum"`
		Created  string    `xml:"toc>creation-time"`
		Files    []tocFile `xml:"toc>file"`
	}
	tocSum struct {
		Style  string `xml:"style,attr"`
		Size   int    `xml:"size"`
		Offset int    `xml:"offset"`
	}
	tocFile struct {
		ID    int       `xml:"id,attr"`
		Name  string    `xml:"name"`
		Type  string    `xml:"type"`
		Mode  string    `xml:"mode"`
		Data  *tocData  `xml:"data"`
		Files []tocFile `xml:"file"`
	}
	tocData struct {
		Archived  tocHash `xml:"archived-checksum"`
		Extracted tocHash `xml:"extracted-checksum"`
		Encoding  struct {
			Style string `xml:"style,attr"`
		} `xml:"encoding"`
		Size   int `xml:"size"`
		Offset int `xml:"offset"`
		Length int `xml:"length"`
	}
	tocHash struct {
		Style string `xml:"style,attr"`
		Hex   string `xml:",chardata"`
	}
)

// xar writes an archive whose files are stored as they are: header, table of
// contents (zlib), and the heap, which begins with the SHA-1 of the table.
func xar(entries []entry, when time.Time) ([]byte, error) {
	w := &xarWriter{heap: make([]byte, sha1.Size)}
	contents := toc{Checksum: tocSum{Style: "sha1", Size: sha1.Size}, Created: when.UTC().Format("2006-01-02T15:04:05"), Files: w.add(entries)}
	text, err := xml.Marshal(contents)
	if err != nil {
		return nil, fmt.Errorf("write table of contents: %w", err)
	}
	text = append([]byte(xml.Header), text...)
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		return nil, fmt.Errorf("compress table of contents: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compress table of contents: %w", err)
	}
	sum := sha1.Sum(packed.Bytes())
	copy(w.heap, sum[:])
	out := []byte("xar!")
	out = binary.BigEndian.AppendUint16(out, 28) // header size
	out = binary.BigEndian.AppendUint16(out, 1)  // version
	out = binary.BigEndian.AppendUint64(out, uint64(packed.Len()))
	out = binary.BigEndian.AppendUint64(out, uint64(len(text)))
	out = be32(out, 1) // SHA-1
	return append(append(out, packed.Bytes()...), w.heap...), nil
}

// xarWriter numbers files and fills the heap.
type xarWriter struct {
	last int
	heap []byte
}

func (w *xarWriter) add(entries []entry) (out []tocFile) {
	for _, e := range entries {
		w.last++
		f := tocFile{ID: w.last, Name: e.name, Type: "directory", Mode: "0755"}
		if e.files != nil {
			f.Files = w.add(e.files)
			out = append(out, f)
			continue
		}
		sum := tocHash{Style: "sha1", Hex: fmt.Sprintf("%x", sha1.Sum(e.data))}
		f.Type, f.Mode = "file", "0644"
		f.Data = &tocData{Archived: sum, Extracted: sum, Size: len(e.data), Length: len(e.data), Offset: len(w.heap)}
		f.Data.Encoding.Style = "application/octet-stream"
		w.heap = append(w.heap, e.data...)
		out = append(out, f)
	}
	return out
}
