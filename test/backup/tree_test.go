package backup

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMakeTree(t *testing.T) {
	for _, size := range []int64{0, 1, 2, 1000, 40 << 20} {
		dir := tree(t, size)
		var got int64
		files := 0
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				got += info.Size()
				files++
			}
			return err
		})
		if err != nil || got != size {
			t.Errorf("MakeTree(%d) made %d bytes, %v", size, got, err)
		}
		if size == 40<<20 && files < 50 {
			t.Errorf("MakeTree(%d) made %d files, want many", size, files)
		}
	}
}

func TestMakeTreeIsTheSameForASeed(t *testing.T) {
	a, b := tree(t, 3<<20), tree(t, 3<<20)
	if err := Compare(a, b); err != nil {
		t.Error(err)
	}
	c := t.TempDir()
	if err := MakeTree(c, 3<<20, 2); err != nil {
		t.Fatal(err)
	}
	if Compare(a, c) == nil {
		t.Error("another seed made the same tree")
	}
}

func TestCompare(t *testing.T) {
	tests := []struct {
		name   string
		change func(dir string) error
		want   string
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"a byte", func(d string) error { return os.WriteFile(filepath.Join(d, "empty.txt"), []byte{0}, 0o600) }, "empty.txt differs"},
		{"a file more", func(d string) error { return os.WriteFile(filepath.Join(d, "x"), nil, 0o600) }, "x is only in the second"},
		{"a file less", func(d string) error { return os.Remove(filepath.Join(d, "empty.txt")) }, "empty.txt is only in the first"},
		{"an empty folder less", func(d string) error { return os.Remove(filepath.Join(d, "empty folder")) }, "empty folder is only in the first"},
		{"a folder in place of a file", func(d string) error {
			if err := os.Remove(filepath.Join(d, "empty.txt")); err != nil {
				return err
			}
			return os.Mkdir(filepath.Join(d, "empty.txt"), 0o700)
		}, "empty.txt differs"},
		{"the whole folder", os.RemoveAll, "compare"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := tree(t, 1000), tree(t, 1000)
			if err := tt.change(b); err != nil {
				t.Fatal(err)
			}
			err := Compare(a, b)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
