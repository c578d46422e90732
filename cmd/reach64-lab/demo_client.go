package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/reach64/reach64/test/backup"
)

// backupServer and backupClient are the programs of the demo as processes of
// their own, so that they can be put into namespaces.
func backupServer(ctx context.Context, args []string, out io.Writer) int {
	return exitOf("backup-server", backup.ServerMain(ctx, args, out))
}

func backupClient(ctx context.Context, args []string, out io.Writer) int {
	return exitOf("backup-client", backup.ClientMain(ctx, args, out, os.Stderr))
}

func exitOf(verb string, err error) int {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", verb, err)
		return exitFailed
	}
	return exitOK
}
