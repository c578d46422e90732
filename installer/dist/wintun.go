package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A wintun is the driver's library as its authors publish it, unpacked.
type wintun struct {
	folder string            // has bin/ARCH/wintun.dll and LICENSE.txt; "": none is packed
	sums   map[string]string // SHA-256 in hex by processor
}

func (w wintun) library(arch string) string {
	return filepath.Join(w.folder, "bin", arch, "wintun.dll")
}
func (w wintun) licence() string { return filepath.Join(w.folder, "LICENSE.txt") }

// findWintun reads which library the programs are built for, by default that of
// wintun.sha256, and checks the one that is to be packed.
func findWintun() (wintun, error) {
	w := wintun{folder: os.Getenv("WINTUN"), sums: make(map[string]string)}
	file := os.Getenv("WINTUN_SHA256")
	if file == "" {
		file = "installer/windows/wintun.sha256"
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return wintun{}, fmt.Errorf("read the hashes of wintun.dll: %w", err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		for line := range strings.Lines(string(text)) {
			if sum, ok := strings.CutSuffix(strings.TrimSpace(line), "  bin/"+arch+"/wintun.dll"); ok && len(sum) == 2*sha256.Size {
				w.sums[arch] = strings.ToLower(sum)
			}
		}
		if w.sums[arch] == "" {
			return wintun{}, fmt.Errorf("%s: no SHA-256 for bin/%s/wintun.dll", file, arch)
		}
		if w.folder == "" {
			continue
		}
		library, err := os.ReadFile(w.library(arch))
		if err != nil {
			return wintun{}, fmt.Errorf("read wintun.dll (WINTUN names the unpacked wintun archive): %w", err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(library)); got != w.sums[arch] {
			return wintun{}, fmt.Errorf("%s has SHA-256 %s, want %s of %s", w.library(arch), got, w.sums[arch], file)
		}
	}
	return w, nil
}
