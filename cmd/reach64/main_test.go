package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"reach64": func() { os.Exit(run(os.Args[1:])) }})
}

// TestScripts plays testdata/script: what a user types and what comes back.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("REACH64_CONFIG_DIR", e.WorkDir+"/etc")
			e.Setenv("REACH64_STATE_DIR", e.WorkDir+"/state")
			e.Setenv("REACH64_RUN_DIR", e.WorkDir+"/run")
			e.Setenv("REACH64_POLICY_DIR", e.WorkDir+"/policy.d")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() <= 0, nil // -1: Windows, where tests run with all rights
			}
			return false, fmt.Errorf("no condition %q", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "unhex": unhex, "cmphex": cmphex},
	})
}

// exits runs a program and wants it to end with a code: exits CODE PROGRAM ARGS...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := err.(*exec.ExitError); ok {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%v ended with %d, want %d", args[1:], got, want)
	}
}

// unhex makes a binary file from hexadecimal digits, with white space and
// comments from # to the end of a line: unhex FILE.hex FILE
func unhex(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unhex FILE.hex FILE")
	}
	b, err := hex.DecodeString(digits(ts, args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o666))
}

// cmphex wants the bytes of a file to be these, where .. is any byte:
// cmphex FILE FILE.hex
func cmphex(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cmphex FILE FILE.hex")
	}
	got, want := hex.EncodeToString([]byte(ts.ReadFile(args[0]))), digits(ts, args[1])
	if ok, err := regexp.MatchString("^"+want+"$", got); err != nil || !ok {
		ts.Fatalf("%s holds\n%s, want\n%s", args[0], got, want)
	}
}

// digits reads a file of hexadecimal digits.
func digits(ts *testscript.TestScript, name string) string {
	var s strings.Builder
	for l := range strings.Lines(ts.ReadFile(name)) {
		l, _, _ = strings.Cut(l, "#")
		s.WriteString(strings.Join(strings.Fields(l), ""))
	}
	return s.String()
}
