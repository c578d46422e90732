package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reach64/reach64/test/scenario"
)

// Addresses of the lab: 198.51.100.0/24 and 2001:db8::/32 are for documentation
// (RFC 5737, RFC 3849).
const (
	documentation = scenario.Server // the server's address
	ownPrefix     = scenario.Prefix // a network's own NAT64 prefix
	wellKnown     = "64:ff9b::/96"  // RFC 6052 section 2.1
	lanPrefix     = "2001:db8:1::/64"
	lanRouter     = "2001:db8:1::1"
	serverName    = scenario.ServerName
	webPort       = 8443
	resticPort    = 8080
)

// lab is three namespaces:
//
//	client                   router                     server
//	eth0, IPv6 only  ------  lan               wan  ------  eth0, IPv4 only
//	     SLAAC               2001:db8:1::1     .1              .10
//
// What the router does comes from the peers in peers_test.go.
type lab struct {
	t                      *testing.T
	dir                    string // logs and captures
	kept                   string // artifacts/TEST: where they go if the test fails
	tmp                    string // configuration, keys, sockets; goes in any case
	env                    []string
	server4                netip.Addr
	client, router, server *space
	spaces                 []*space
	processes              []*process
	services               []*service
	ca                     string // file; signed the web server's certificate
	repository             string // restic's, "" for the backup server's address
}

var labs atomic.Int32 // labs of this process so far

// newLab makes the namespaces and cables, and the web server. The client has
// only what its kernel does by itself.
func newLab(t *testing.T, server string) *lab {
	t.Helper()
	l := labOf(t, server)
	l.client, l.router, l.server = l.space("client"), l.space("router"), l.space("server")
	l.router.ip("link add lan type veth peer name eth0 netns " + l.client.name)
	l.router.ip("link add wan type veth peer name eth0 netns " + l.server.name)
	l.router.ip("addr add " + l.gateway4() + "/24 dev wan\n link set wan up")
	l.server.ip("addr add " + server + "/24 dev eth0\n link set eth0 up")
	l.resolver(lanRouter)
	l.capture()
	l.web(l.server, server)
	return l
}

// labOf is bareLab with the server's address.
func labOf(t *testing.T, server string) *lab {
	t.Helper()
	l := bareLab(t)
	l.server4 = netip.MustParseAddr(server)
	return l
}

// gateway4 is the router's address on the server's link.
func (l *lab) gateway4() string {
	b := l.server4.As4()
	b[3] = 1
	return netip.AddrFrom4(b).String()
}

// bareLab makes a lab without namespaces. All that is added to it goes when the
// test ends, also by a panic.
func bareLab(t *testing.T) *lab {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, kept: filepath.Join(root, "artifacts", strings.NewReplacer("/", "-", " ", "_").Replace(t.Name()))}
	// Two runs of the same test may be under way, so the name is unique till the end.
	l.dir = filepath.Join(root, "artifacts", fmt.Sprintf("r64-%d-%d-run", os.Getpid(), labs.Add(1)))
	if err := os.RemoveAll(l.kept); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Short, since the path of a Unix socket has about 100 bytes.
	if l.tmp, err = tempDir("lab"); err != nil {
		t.Fatal(err)
	}
	l.env = []string{"REACH64_CONFIG_DIR=/nonexistent", // nobody can read what is in tmp
		"REACH64_STATE_DIR=" + l.file("state"), "REACH64_RUN_DIR=" + l.file("run"),
		"HOME=" + l.tmp, "XDG_CONFIG_HOME=" + l.file("xdg"), "XDG_CACHE_HOME=" + l.file("xdg"), "LC_ALL=C"}
	t.Cleanup(l.close)
	return l
}

// file is the path of a file that goes with the lab.
func (l *lab) file(name string) string { return filepath.Join(l.tmp, name) }

// write writes such a file and returns its path.
func (l *lab) write(name, text string) string {
	l.t.Helper()
	if err := os.WriteFile(l.file(name), []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return l.file(name)
}

// space adds a namespace.
func (l *lab) space(role string) *space {
	l.t.Helper()
	s := &space{l: l, name: fmt.Sprintf("r64-%d-%d-%s", os.Getpid(), labs.Load(), role)}
	if err := ip("netns", "add", s.name); err != nil {
		l.t.Fatal(err)
	}
	l.spaces = append(l.spaces, s)
	s.ip("link set lo up")
	return s
}

// resolver sets the client's /etc/resolv.conf, which `ip netns exec` puts in
// place.
func (l *lab) resolver(addr string) {
	l.t.Helper()
	dir := filepath.Join("/etc/netns", l.client.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver "+addr+"\noptions timeout:1 attempts:2\n"), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// capture records the client's packets on all its devices, uplink and TUN: 128
// bytes of each, the last 20 to 40 MB.
func (l *lab) capture() {
	l.client.start("tcpdump", "tcpdump", "-i", "any", "-n", "-U", "-s", "128", "-C", "20", "-W", "2", "-Z", "root",
		"-w", filepath.Join(l.dir, "client.pcap")).waitFor("listening on")
}

// online waits until the client's kernel has an address by SLAAC, past its
// check for duplicates, and a default route.
func (l *lab) online() {
	l.t.Helper()
	eventually(l.t, 20*time.Second, "the client's kernel has IPv6", func() error {
		addrs, err := l.client.addrs()
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if a.Link != "eth0" || a.Scope != "global" || a.Family != "inet6" || a.Tentative {
				continue
			}
			out, err := l.client.try(5*time.Second, "ip", "-6", "route", "show", "default")
			if err == nil && out == "" {
				err = errors.New("no default route")
			}
			return err
		}
		return fmt.Errorf("no global address on eth0: %v", addrs)
	})
}

// address is one address of a namespace.
type address struct {
	Link      string `json:"-"`
	Family    string `json:"family"`
	Local     string `json:"local"`
	Bits      int    `json:"prefixlen"`
	Scope     string `json:"scope"`
	Tentative bool   `json:"tentative"`
}

// addrs lists the addresses of the namespace.
func (s *space) addrs() ([]address, error) {
	out, err := s.try(5*time.Second, "ip", "-j", "addr")
	if err != nil {
		return nil, err
	}
	var links []struct {
		Name  string    `json:"ifname"`
		Addrs []address `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil {
		return nil, fmt.Errorf("read ip -j addr: %w", err)
	}
	var list []address
	for _, l := range links {
		for _, a := range l.Addrs {
			a.Link = l.Name
			list = append(list, a)
		}
	}
	return list, nil
}

// close ends every process, removes every namespace and folder, and keeps the
// evidence of a test that failed.
func (l *lab) close() {
	// A test that panics is not marked as failed yet when this runs.
	panics := strings.Contains(string(debug.Stack()), "\npanic(")
	if panics || l.t.Failed() {
		l.keep()
	}
	// The last ones first: the service before the network that it uses.
	for i := len(l.processes) - 1; i >= 0; i-- {
		if err := l.processes[i].stop(); err != nil {
			l.t.Error(err)
		}
	}
	for _, s := range l.spaces {
		if err := removeNamespace(s.name); err != nil {
			l.t.Error(err)
		}
	}
	if err := os.RemoveAll(l.tmp); err != nil {
		l.t.Error(err)
	}
	if !panics && !l.t.Failed() {
		os.RemoveAll(l.dir)
		return
	}
	if err := os.Rename(l.dir, l.kept); err != nil {
		l.t.Logf("keep what the lab saw: %v", err)
		l.kept = l.dir
	}
	l.t.Logf("what the lab saw is in %s", l.kept)
}

// keep writes down the state of all namespaces and services.
func (l *lab) keep() {
	save := func(name string, c *exec.Cmd) {
		out, err := c.CombinedOutput()
		if err != nil {
			out = fmt.Appendf(out, "\n%v\n", err)
		}
		_ = os.WriteFile(filepath.Join(l.dir, name), out, 0o644) // nothing more to be done here
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, s := range l.spaces {
		role := s.name[strings.LastIndexByte(s.name, '-')+1:]
		save(role+".txt", s.command(ctx, "sh", "-c", `set -x
			ip -d addr; ip rule; ip -4 route show table all; ip -6 route show table all; ip neigh
			nft list ruleset; tc qdisc; cat /etc/resolv.conf; cat /proc/net/snmp6`))
	}
	for i, s := range l.services {
		save(fmt.Sprintf("status-%d.json", i), exec.CommandContext(ctx, s.binary, "status", "--json", "--socket", s.socket))
	}
}
