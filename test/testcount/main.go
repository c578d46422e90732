// Command testcount reads the events of `go test -json` and prints what a person
// wants to know: each package's result, the output of what failed as it comes,
// each skip with its reason, and as last line
//
//	N passed, N failed, N skipped
//
// It counts leaves: a test that ran subtests is not counted beside them. It is
// counted when its own result has no subtest to explain it: it failed and none of
// them did, or it skipped and none of them did. The seeds of a fuzz target are
// its subtests. A package that fails without a failing test (it does not build,
// a goroutine is left over, a panic) counts as one failure.
//
// It ends with 1 when something failed or nothing ran. With REACH64_REQUIRE=all
// a skip counts as a failure.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	code, err := run(os.Stdin, os.Stdout, os.Getenv("REACH64_REQUIRE") == "all")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcount:", err)
		code = 1
	}
	os.Exit(code)
}

// run is main without the process.
func run(in io.Reader, out io.Writer, requireAll bool) (int, error) {
	c := newCounter(out)
	err := c.read(in)
	total := c.finish(requireAll)
	fmt.Fprintln(out, total)
	if total.failed > 0 || total.passed == 0 {
		return 1, err
	}
	return 0, err
}
