package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/platform/directaccess"
	"github.com/reach64/reach64/platform/ipc"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/osinfo"
	"github.com/reach64/reach64/platform/policy"
	"github.com/reach64/reach64/platform/svc"
)

// agrees compares the state with what the Go library finds by other means.
func agrees(s netstate.Snapshot) (string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for i, l := range links {
		got, ok := s.Link(l.Index)
		if !ok || got.Name != l.Name {
			return "", fmt.Errorf("link %d of %d is another one here", i+1, len(links))
		}
		addrs, err := l.Addrs()
		if err != nil {
			return "", err
		}
		// The library does not see that of macOS' own CLAT.
		own := slices.DeleteFunc(slices.Clone(got.Addrs), func(a netstate.Addr) bool { return a.CLAT })
		if len(addrs) != len(own) {
			return "", fmt.Errorf("link %d of %d has %d addresses, the library finds %d", i+1, len(links), len(own), len(addrs))
		}
	}
	return fmt.Sprintf("%d links with their addresses", len(links)), nil
}

func nameServersSeen(s netstate.Snapshot) (string, error) {
	own := 0
	for _, l := range s.Links {
		own += len(l.DNS)
	}
	if own+len(s.Resolvers) == 0 {
		return "", fmt.Errorf("%w: the system has none now", errSkip)
	}
	return fmt.Sprintf("%d for all names, %d of links", len(s.Resolvers), own), nil
}

// ownCLATSeen says whether another CLAT is at work, and how the system's is set up.
func ownCLATSeen(s netstate.Snapshot) (string, error) {
	text, err := osinfo.NativeCLAT()
	if err != nil {
		return "", err
	}
	seen := "none is at work"
	if f, ok := osinfo.ForeignCLAT(s, osinfo.Own{}); ok {
		seen = f.Name + " is at work"
	}
	if text != "" {
		seen += "; " + text
	}
	return seen, nil
}

func policySeen() (string, error) {
	tree, adapters, err := directaccess.System()
	if errors.Is(err, errors.ErrUnsupported) {
		return "", fmt.Errorf("%w: %w", errSkip, err)
	}
	if err != nil {
		return "", err
	}
	p := directaccess.Read(tree)
	return fmt.Sprintf("configured %v, %d rules, %d problems, %d adapters", p.Configured(), len(p.Rules), len(p.Problems), len(adapters)), nil
}

func ownPolicySeen() (string, error) {
	p, err := policy.Read()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d settings", len(p.Assignments)), nil
}

// controlSocket makes one beside the service's and connects to it.
func controlSocket(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "reach64-selftest-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := ipc.Listen(path)
	if err != nil {
		return "", err
	}
	defer l.Close()
	if second, err := ipc.Listen(path); err == nil {
		_ = second.Close()
		return "", errors.New("a second program could take the socket")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	type result struct {
		peer ipc.Peer
		err  error
	}
	met := make(chan result, 1) // one value, from the goroutine below, which ends with the listener
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				met <- result{err: err}
				return
			}
			peer, err := ipc.PeerOf(c)
			gone := c.SetReadDeadline(time.Now().Add(time.Second))
			_, rerr := c.Read(make([]byte, 1))
			_ = c.Close()
			if errors.Join(gone, rerr) != nil {
				continue // the second Listen only looked whether somebody is here
			}
			met <- result{peer, err}
			return
		}
	}()
	c, err := ipc.Dial(ctx, path)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write([]byte{'x'}); err != nil {
		return "", err
	}
	select {
	case r := <-met:
		if r.err != nil {
			return "", r.err
		}
		if r.peer.PID != os.Getpid() {
			return "", fmt.Errorf("the client seems to be process %d", r.peer.PID)
		}
		return fmt.Sprintf("the client is known, administrator %v", r.peer.Admin), nil
	case <-ctx.Done():
		return "", errors.New("the client does not come")
	}
}

func serviceSeen() (string, error) {
	state, err := svc.Query()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSkip, err)
	}
	if err := svc.Hazard(); err != nil {
		return "", err
	}
	seen := "the service is " + string(state)
	if state == svc.Missing {
		return seen, nil
	}
	var denied *platform.PermissionError
	switch err := svc.Settings(); {
	case errors.As(err, &denied):
		return seen + "; its settings can be read by administrators alone", nil
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Sprintf("%s; %v", seen, err), nil
	case err != nil:
		return "", err
	}
	return seen + ", with its settings as they were installed", nil
}
