package backup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrograms(t *testing.T) {
	dir, src := t.TempDir(), tree(t, testBytes)
	ca := filepath.Join(dir, "ca.pem")
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := ServerMain(ctx, []string{"--listen", "127.0.0.1:0", "--store", filepath.Join(dir, "store"), "--ca-out", ca, "--name", "backup.example.test"}, w)
		w.CloseWithError(io.EOF)
		done <- err
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		t.Fatalf("server printed %q, %v; want ready", line, err)
	}
	client := func(args ...string) (stdout, stderr string) {
		t.Helper()
		var out, progress bytes.Buffer
		if err := ClientMain(t.Context(), append([]string{"--server", addr, "--ca", ca, "--connect-timeout", "5s"}, args...), &out, &progress); err != nil {
			t.Fatal(err)
		}
		return out.String(), progress.String()
	}
	out, progress := client("--src", src)
	id := strings.TrimSpace(out)
	if len(id) != 64 || !strings.Contains(progress, "saved 5 of 5 MB (100 %)") {
		t.Errorf("printed %q, progress %q", out, progress)
	}
	restored := filepath.Join(dir, "restored")
	client("--restore-to", restored, "--snapshot", id)
	if err := Compare(src, restored); err != nil {
		t.Error(err)
	}
	out, _ = client("--src", src, "--restore-to", filepath.Join(dir, "again"), "--json")
	var result Result
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.Snapshot != id || result.Saved.Carried != 0 || result.Restored.Bytes != testBytes {
		t.Errorf("printed %q: %+v, %v", out, result, err)
	}
}

func TestProgramsRefuse(t *testing.T) {
	tests := []struct {
		name string
		main func(args []string) error
		args string
		want string
	}{
		{"server on all addresses", serverMain, "--listen 0.0.0.0:1 --store x --ca-out y", "want one IPv4 address"},
		{"server on IPv6", serverMain, "--listen [::1]:1 --store x --ca-out y", "want one IPv4 address"},
		{"server without a store", serverMain, "--ca-out y", "--store"},
		{"an unknown flag", serverMain, "--liste", "liste"},
		{"words", serverMain, "now", "too much"},
		{"client without work", clientMain, "--server 127.0.0.1:1", "--src"},
		{"client without a snapshot", clientMain, "--restore-to x", "--snapshot"},
		{"client without a CA", clientMain, "--src x --ca /none", "read CA"},
		{"client with a bad CA", clientMain, "--src x --ca main_test.go", "no certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.main(strings.Fields(tt.args)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func serverMain(args []string) error { return ServerMain(context.Background(), args, io.Discard) }
func clientMain(args []string) error {
	return ClientMain(context.Background(), args, io.Discard, io.Discard)
}
