package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// shell opens a shell on the endpoint of the demo's network, with the router and
// the server running and reach64 not, and removes everything afterwards.
func shell(ctx context.Context, _ []string, out io.Writer) int {
	if err := canNamespaces(); err != nil {
		fmt.Fprintln(os.Stderr, "reach64-lab shell: network namespaces cannot be used here:", err)
		return exitFailed
	}
	dir, err := os.MkdirTemp("", "reach64-lab-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "reach64-lab shell: make folder:", err)
		return exitFailed
	}
	defer os.RemoveAll(dir)
	s, err := newNetnsStage(ctx, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "reach64-lab shell:", err)
		return exitFailed
	}
	err = s.shell(ctx, out)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return exitOf("reach64-lab shell", err)
}

// shell runs the user's shell in the endpoint's namespace until it ends.
func (s *netnsStage) shell(ctx context.Context, out io.Writer) error {
	conf, err := s.configure()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n\nThis shell is on the endpoint. Try:\n"+
		"  reach64 run --config %s &\n  reach64 status\n"+
		"  reach64-lab backup-client --server %s:%s --ca %s --src /usr/share/doc/bash\n"+
		"  exit\n\n", s.Describe(), conf, demoServer, demoPort, s.ca())
	program := os.Getenv("SHELL")
	if program == "" {
		program = "/bin/sh"
	}
	c := s.command(ctx, s.client, program)
	c.Env = append(c.Env, "PATH="+filepath.Dir(s.self)+":"+os.Getenv("PATH"))
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	_ = c.Run() // the exit code is that of the user's last command
	return nil
}
