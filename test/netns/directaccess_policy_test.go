package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/reach64/reach64/agent"
	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/platform/directaccess"
	"github.com/reach64/reach64/platform/journal"
	"github.com/reach64/reach64/platform/netmon"
)

// playPolicyAgent runs the agent on the real edges of this system, but with the
// policy of a Windows registry: args are its configuration, the text of the
// registry, the tunnel's name and the folder of its journal. It prints its state
// as often as it changes.
func playPolicyAgent(args []string) error {
	if len(args) != 4 {
		return errors.New("want a configuration, a registry, a tunnel and a folder")
	}
	log := logrus.New()
	text, err1 := os.ReadFile(args[0])
	reg, err2 := os.ReadFile(args[1])
	conf, err3 := config.Parse(args[0], text, os.ReadFile)
	tree, problems, err4 := directaccess.ParseReg(reg)
	j, err5 := journal.Open(filepath.Join(args[3], "journal"))
	monitor, err6 := netmon.New(log)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil || len(problems) > 0 {
		return fmt.Errorf("%w %v", err, problems)
	}
	defer j.Close()
	edges, closeEdges, err := agent.SystemEdges(log, j)
	if err != nil {
		return err
	}
	defer closeEdges()
	agent.UseDirectAccess(&edges, log, func() (directaccess.Tree, []directaccess.Adapter, error) {
		snap, err := monitor.Snapshot()
		l, ok := snap.LinkByName(args[2])
		if err != nil || !ok {
			return tree, nil, err
		}
		a := directaccess.Adapter{Index: l.Index, Name: l.Name, IfType: 131, TunnelType: 15, Up: l.Up} // IP-HTTPS
		for _, ip := range l.Addrs {
			a.Addrs = append(a.Addrs, ip.Prefix.Addr())
		}
		return tree, []directaccess.Adapter{a}, nil
	})
	a, err := agent.New(log, conf, edges, os.Getpid())
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(ctx) })
	g.Go(func() error {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for last := ""; ; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			st := a.Status()
			var reasons []string
			for _, s := range st.Sources {
				if s.Source == "os" {
					reasons = append(reasons, s.Reason)
				}
			}
			b, err := json.Marshal(map[string]any{"class": st.Class, "path": st.Path, "prefix": st.Prefix, "source": st.Source, "os": reasons,
				"answers": len(st.Servers) == 1 && st.Servers[0].Reachable != nil && *st.Servers[0].Reachable})
			if err != nil {
				return err
			}
			if line := "state " + string(b); line != last {
				fmt.Println(line)
				last = line
			}
		}
	})
	return g.Wait()
}

// TestDirectAccessPolicy: the server is known by name only, and the registry's rules
// send that name to the organization's DNS. The prefix comes from the policy itself,
// from the names that DirectAccess' server has by default, or from the server; the
// home network's own NAT64, which leads elsewhere, is not used (spec MSDA-13).
func TestDirectAccessPolicy(t *testing.T) {
	const rule = `[HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows NT\DNSClient\DnsPolicyConfig\{1}]
"Name"=".example.test"
"ConfigOptions"=dword:00000004
"DirectAccessDNSServers"="` + daDNS + `"
`
	probe := `[HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows\NetworkConnectivityStatusIndicator\CorporateConnectivity]
"DnsProbeHost"="directaccess-corpConnectivityHost.example.test"
"DnsProbeContent"="` + synthesized(daPrefix, netip.MustParseAddr("127.0.0.1")) + `"
`
	tests := []struct {
		name    string
		reg     string
		records string // of the organization's zone
		home    bool   // the home network has a NAT64 with DNS64, too
		source  string
		reason  string // of the source 'os'
	}{
		{"probe address of policy", rule + probe, "", false, "os", "DirectAccess policy expects directaccess-corpconnectivityhost.example.test"},
		{"connectivity host", rule, "directaccess-corpConnectivityHost A 127.0.0.1\n", false, "os", "directaccess-corpconnectivityhost.example.test resolves to"},
		{"web probe host", rule, "directaccess-WebProbeHost A 10.1.2.3\n", false, "os", "directaccess-webprobehost.example.test resolves to"},
		{"the server alone", rule, "", false, "server", ""},
		{"another NAT64 at home", rule + probe, "", true, "os", "DirectAccess policy"},
		{"another NAT64 at home, the server alone", rule, "", true, "server", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := directAccessWith(t, tt.records, tt.home)
			conf := l.write("reach64.toml", "[[server]]\nname = \""+serverName+"\"\nport = 8443\nca_file = \""+l.ca+"\"\n")
			reg := l.write("policy.reg", "Windows Registry Editor Version 5.00\n\n"+tt.reg)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			l.client.must("mkdir", "-p", l.file("state"))
			l.fails()
			p := l.client.start("agent", "env", roleVariable+"=policy", self, conf, reg, "da0", l.file("state"))
			p.waitFor("state {")
			begin := time.Now()
			l.tunnel()
			p.waitFor(`"answers":true,"class":"directaccess"`)
			eventually(t, 15*time.Second, "the relay carries", func() error { // by what is found first; then the better source counts
				for _, want := range []string{`"path":"relay","prefix":"` + daPrefix + `"`, `"source":"` + tt.source + `"`, tt.reason} {
					if !strings.Contains(last(p.output()), want) {
						return fmt.Errorf("%q is not in %s", want, last(p.output()))
					}
				}
				return nil
			})
			t.Logf("%v after the tunnel came up: %s", time.Since(begin).Round(10*time.Millisecond), last(p.output()))
			if strings.Contains(p.output(), `prefix="`+ownPrefix+`" steering`) {
				t.Errorf("the home network's NAT64 was used for the organization's server:\n%s", p.output())
			}
			if out, err := l.curl(10*time.Second, l.url("/5")); err != nil || len(out) != 5 {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// last is the last state that the agent has printed.
func last(out string) (line string) {
	for s := range strings.Lines(out) {
		if strings.HasPrefix(s, "state ") {
			line = strings.TrimSpace(s)
		}
	}
	return line
}
