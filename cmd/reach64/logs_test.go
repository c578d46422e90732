package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/agent/config"
)

// TestLogFileIsRotated: no file grows beyond its size, old ones are packed and only as
// many are kept as wanted; a file that another program moved away is let go by a reload.
func TestLogFileIsRotated(t *testing.T) {
	dir := t.TempDir()
	c := config.Log{Level: "info", Format: "json", File: filepath.Join(dir, "reach64.log"), MaxSize: 1, MaxFiles: 2}
	var stderr bytes.Buffer
	l := &logs{log: newLog(&stderr), stderr: &stderr}
	if err := l.apply(c); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		l.log.Info(strings.Repeat("x", 100<<10)) // 5 MB in all
	}
	deadline := time.Now().Add(20 * time.Second) // files are packed beside
	for {
		packed, err := filepath.Glob(filepath.Join(dir, "reach64-*.log.gz"))
		if err != nil {
			t.Fatal(err)
		}
		all, _ := os.ReadDir(dir)
		if len(packed) == 2 && len(all) == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d packed of %v, want 2 and the current one", len(packed), all)
		}
		<-time.After(20 * time.Millisecond)
	}
	if info, err := os.Stat(c.File); err != nil || info.Size() > 1<<20 {
		t.Errorf("%v, %v; want at most 1 MB", info, err)
	}
	if err := os.Rename(c.File, c.File+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.apply(c); err != nil {
		t.Fatal(err)
	}
	l.log.Info("after the move")
	if text, err := os.ReadFile(c.File); err != nil || !strings.Contains(string(text), "after the move") {
		t.Errorf("%s, %v", text, err)
	}
	if err := l.apply(config.Log{Level: "info", File: filepath.Join(dir, "none", "x.log"), MaxSize: 1, MaxFiles: 1}); err == nil {
		t.Error("a folder that is not there is no error")
	}
	l.close()
	l.log.Info("at the end")
	if !strings.Contains(stderr.String(), "at the end") {
		t.Errorf("standard error has %q", stderr.String())
	}
}
