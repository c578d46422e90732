package lock

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMain plays the other process when it is told to.
func TestMain(m *testing.M) {
	if path := os.Getenv("REACH64_TEST_HOLD"); path != "" {
		l, err := Acquire(path)
		if err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent closes it
		_ = l.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestSecondProcessIsToldWhoHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "x.lock")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "REACH64_TEST_HOLD="+path)
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(stdout).Scan() {
		t.Skip("this system has no file locks yet")
	}
	_, err = Acquire(path)
	var held *HeldError
	if !errors.As(err, &held) {
		t.Fatalf("second Acquire = %v, want a HeldError", err)
	}
	if d := cmp.Diff(HeldError{PID: other.Process.Pid, Path: path}, *held); d != "" {
		t.Error(d)
	}
	_ = stdin.Close()
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	l, err := Acquire(path)
	if err != nil {
		t.Fatalf("Acquire after the holder ended: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
