package lock

import (
	"bufio"
	"errors"
	"io"
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
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent closes it
		_ = l.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hold starts another process, which holds the lock at path until its standard
// input is closed.
func hold(t *testing.T, path string) (other *exec.Cmd, stdin io.Closer) {
	t.Helper()
	if l, err := Acquire(filepath.Join(t.TempDir(), "x")); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	} else if err == nil {
		_ = l.Close()
	}
	other = exec.Command(os.Args[0])
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
	t.Cleanup(func() { _ = other.Process.Kill() })
	said := bufio.NewScanner(stdout)
	if said.Scan(); said.Text() != "held" {
		t.Fatalf("the other process says %q", said.Text())
	}
	return other, stdin
}

func TestKilledProcessHoldsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	other, _ := hold(t, path)
	if l, err := Acquire(path); err == nil {
		_ = l.Close()
		t.Fatal("took a lock that another process holds")
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // says that it was killed
	l, err := Acquire(path)
	if err != nil {
		t.Fatalf("Acquire after the holder was killed: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestSecondProcessIsToldWhoHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "x.lock")
	other, stdin := hold(t, path)
	_, err := Acquire(path)
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
