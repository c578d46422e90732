package macpkg

import (
	"bytes"
	"fmt"
	"time"
)

// cpio writes the portable ASCII format ("odc", cpio(5)): six and eleven octal
// digits a field, names with their NUL, no padding.
func cpio(files []File, when time.Time) []byte {
	var b bytes.Buffer
	put := func(inode int, f File, links int) {
		name := f.Name
		if name != "." && name != trailer {
			name = "./" + name
		}
		fmt.Fprintf(&b, "070707%06o%06o%06o%06o%06o%06o%06o%011o%06o%011o%s\x00",
			0, inode&0o777777, cpioMode(f), 0, 0, links, 0, cpioTime(f, when), len(name)+1, len(f.Data), name)
		b.Write(f.Data)
	}
	for i, f := range files {
		links := 1
		if f.Mode.IsDir() {
			links = 2
		}
		put(i+1, f, links)
	}
	put(0, File{Name: trailer}, 1)
	return b.Bytes()
}

const trailer = "TRAILER!!!"

func cpioMode(f File) uint32 {
	if f.Name == trailer {
		return 0
	}
	return unixMode(f.Mode)
}

func cpioTime(f File, when time.Time) int64 {
	if f.Name == trailer {
		return 0
	}
	return when.Unix()
}
