// Command reach64-lab is the embedded lab network: an IPv6-only access network
// with router advertisements, PREF64, DNS64 and NAT64 on one interface, without
// any other program (package test/vnet).
//
// It is for tests and demonstrations, not for a production network.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// version is stamped by the build.
var version = "dev"

// verbs are the parts of the lab. Each returns the exit code.
var verbs = map[string]func(ctx context.Context, args []string, out io.Writer) int{
	"router":        router,
	"demo":          demo,
	"shell":         shell,
	"backup-server": backupServer,
	"backup-client": backupClient,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

// run is main without the process. Without a verb, flags are those of router.
func run(ctx context.Context, args []string, out io.Writer) int {
	verb := "router"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	f, ok := verbs[verb]
	if !ok {
		fmt.Fprintf(os.Stderr, "reach64-lab: no verb %q\n", verb)
		return exitUsage
	}
	return f(ctx, args, out)
}
