package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/reach64/reach64/agent/control"
	"github.com/reach64/reach64/agent/diag"
	"github.com/reach64/reach64/platform/directaccess"
	"github.com/reach64/reach64/platform/icmp6"
	"github.com/reach64/reach64/platform/ipc"
	"github.com/reach64/reach64/platform/netmon"
	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/platform/osinfo"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/platform/ping"
	"github.com/reach64/reach64/platform/sock"
	"github.com/reach64/reach64/platform/tun"
	"github.com/reach64/reach64/resolver/discover"
	"github.com/reach64/reach64/resolver/portal"
	"github.com/reach64/reach64/resolver/system"
	"github.com/reach64/reach64/tunnel/bpf"
)

// doctorPorts are this machine. Service is set by the caller.
func doctorPorts() diag.Ports {
	return diag.Ports{
		Snapshot:     systemSnapshot,
		Foreign:      foreign,
		Native:       nativeCLAT,
		Rights:       rights,
		DirectAccess: directAccess,
		Links:        func(s netstate.Snapshot) []discover.Link { links, _ := linksOf(s, "", nil); return links },
		Resolvers:    linkResolvers,
		Routers: func() (discover.RAReader, func()) {
			conn, err := icmp6.Open()
			if err != nil {
				return nil, nil
			}
			return conn, func() { _ = conn.Close() }
		},
		Applications: func(ctx context.Context, name string) system.View {
			return system.Applications(ctx, runProgram, net.DefaultResolver, name)
		},
		Dial:    func(link string) diag.Dialer { return sock.Dialer(link) },
		Small:   func(link string) diag.Dialer { return sock.Dialer(link).Segments(diag.SmallSegment) },
		PathMTU: sock.PathMTU,
		Ping: func() (diag.Pinger, error) {
			c, err := ping.Open()
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		Portal: portal.Client{Dialer: &net.Dialer{}},
	}
}

func runProgram(ctx context.Context, program string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, program, args...)
	c.WaitDelay = 100 * time.Millisecond
	return c.Output()
}

func systemSnapshot() (netstate.Snapshot, error) {
	m, err := netmon.New(logrus.StandardLogger())
	if err != nil {
		return netstate.Snapshot{}, err
	}
	return m.Snapshot()
}

func foreign(s netstate.Snapshot, own int) *diag.Foreign {
	f, ok := osinfo.ForeignCLAT(s, osinfo.Own{Device: own})
	if !ok {
		return nil
	}
	return &diag.Foreign{Name: f.Name, Link: f.Link, Evidence: f.Evidence}
}

// nativeCLAT is how the system's own CLAT is set up, with what is wrong about that.
func nativeCLAT() string {
	text, err := osinfo.NativeCLAT()
	if err != nil {
		text = strings.TrimPrefix(text+"; "+err.Error(), "; ")
	}
	return text
}

// rights are those of this process, and what would stop a service that is started
// like it.
func rights() diag.Rights {
	r := diag.Rights{Root: os.Geteuid() == 0}
	if set, err := osinfo.Capabilities(); err == nil {
		for _, name := range set.Missing {
			// CAP_SYS_ADMIN stands in for CAP_BPF on kernels before 5.8.
			if name != "CAP_SYS_ADMIN" && (name != "CAP_BPF" || !set.Has("CAP_SYS_ADMIN")) {
				r.Missing = append(r.Missing, name)
			}
		}
	}
	for _, check := range []func() error{bpf.Check, tun.Check} {
		if err := check(); err != nil && r.Err == "" && !errors.Is(err, errors.ErrUnsupported) {
			r.Err = err.Error()
		}
	}
	return r
}

func directAccess(names []string) (out diag.DirectAccess) {
	tree, adapters, err := directaccess.System()
	if errors.Is(err, errors.ErrUnsupported) {
		return out
	}
	out.Supported = true
	if err != nil {
		out.Err = err.Error()
		return out
	}
	policy := directaccess.Read(tree)
	out.Configured = policy.Configured()
	for _, a := range adapters {
		if a.Carries() {
			out.Tunnel = a.Name
		}
	}
	for _, p := range policy.Prefixes(adapters) {
		out.Prefix = p.Prefix.String()
	}
	for _, name := range names {
		if m, ok := policy.Match(name); ok {
			var servers []string
			for _, s := range m.Rule.Servers {
				servers = append(servers, s.String())
			}
			out.Rules = append(out.Rules, fmt.Sprintf("the rule for %s sends %s to %s", m.Namespace, name, strings.Join(servers, " ")))
		}
	}
	return out
}

// serviceAt asks the service behind a socket; "" is this system's.
func serviceAt(socket string) func(context.Context) diag.Service {
	if socket == "" {
		socket = paths.Socket()
	}
	return func(ctx context.Context) (s diag.Service) {
		body, err := control.Get(ctx, socket, "/v1/status")
		if errors.Is(err, ipc.ErrNotRunning) {
			return s
		}
		s.Running = true
		if err != nil {
			s.Err = err.Error()
			return s
		}
		doc := struct {
			Version string
			Result  any
		}{Result: &s.Status}
		if err := json.Unmarshal(body, &doc); err != nil {
			s.Err = err.Error()
		}
		s.Version = doc.Version
		return s
	}
}

// fileOfService is the configuration file that the running service uses, or the one
// that is used without a word.
func fileOfService(ctx context.Context, socket, file string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c := serviceAt(socket)(ctx).Status.Configuration
	if c == nil || len(c.Files) == 0 {
		return file
	}
	return c.Files[0]
}

// readConfig reads the configuration as far as this user may.
func readConfig(from configuration) diag.Config {
	c := diag.Config{File: absolute(from.file)}
	layers, _ := from.layers()
	c.Found = len(layers) > 0
	policies, _ := filesIn(paths.PolicyDir())
	for _, l := range layers {
		if info, err := os.Stat(l.Name); err == nil && info.ModTime().After(c.Newest) {
			c.Newest = info.ModTime()
		}
	}
	c.Policy = policies
	c.Digest = loaded(layers, time.Time{}).Digest
	conf, values, err := from.values()
	switch {
	case errors.Is(err, fs.ErrPermission):
		c.Closed = err.Error()
	case errors.Is(err, fs.ErrNotExist) && !c.Found:
	case err != nil:
		c.Found, c.Err = true, err.Error()
	default:
		c.Conf, c.Values = conf, values
	}
	return c
}

// built is when this program was made, as its file says.
func built() time.Time {
	name, err := os.Executable()
	if err != nil {
		return time.Time{}
	}
	info, err := os.Stat(filepath.Clean(name))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
