package endpoint

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain has many worlds run at the same time, unless told otherwise: they wait far
// more than they work.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	flag.Parse() // what was given wins
	goleak.VerifyTestMain(m)
}
