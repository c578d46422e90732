package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

func noFiles(name string) ([]byte, error) {
	return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
}

func TestReferenceParses(t *testing.T) {
	c, err := Parse("reference.toml", []byte(Reference), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Servers) != 1 || c.Servers[0].Name != "backup.example.com" {
		t.Errorf("servers = %+v", c.Servers)
	}
}

// Every key shown commented out in the reference must be known, with the
// default that is shown.
func TestReferenceDefaultsAreTrue(t *testing.T) {
	var lines []string
	for line := range strings.SplitSeq(Reference, "\n") {
		if rest, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(rest, " = ") {
			if strings.HasPrefix(rest, "ipv4") {
				continue // an example, not a default
			}
			line = rest
		}
		lines = append(lines, line)
	}
	got, err := Parse("full.toml", []byte(strings.Join(lines, "\n")), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse("short.toml", []byte("[[server]]\nname = \"backup.example.com\"\n"), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b nat64.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
		t.Errorf("the file's defaults differ from the program's (-program +file):\n%s", d)
	}
}

func TestReferenceHasEveryKey(t *testing.T) {
	for _, k := range Keys() {
		last := k[strings.LastIndexByte(k, '.')+1:]
		if strings.Contains(k, ".") && !strings.Contains(Reference, last+" = ") {
			t.Errorf("key %s is not in the reference file", k)
		}
	}
}

func TestFullFile(t *testing.T) {
	text := `
[[server]]
name = "backup.example.com"
port = 8443
ipv4 = ["198.51.100.10", "198.51.100.10"]
pin_sha256 = ["` + strings.Repeat("ab:", 31) + `ab"]
[[server]]
name = "10.1.2.3"
tls = false
[path]
scope = "all"
[discovery]
prefixes = ["2001:db8:64:ff9b::/96"]
sources = ["policy", "ra"]
allow = ["2001:db8::1/32"]
wkp_nonglobal = "never"
[probe]
interval = "90s"
`
	c, err := Parse("x.toml", []byte(text), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	first, second := c.Servers[0], c.Servers[1]
	if first.Port != 8443 || !first.TLS || len(first.IPv4) != 1 || first.ServerName != "backup.example.com" || len(first.Pins) != 1 {
		t.Errorf("first server = %+v", first)
	}
	if second.TLS || !second.IsLiteral() || second.IPv4[0] != netip.MustParseAddr("10.1.2.3") || second.Port != 443 {
		t.Errorf("second server = %+v", second)
	}
	if c.Path.Scope != ScopeAll || c.Discovery.NonGlobal != nat64.NonGlobalNever || c.Probe.Interval != 90*time.Second {
		t.Errorf("config = %+v", c)
	}
	if c.Discovery.Allow[0] != netip.MustParsePrefix("2001:db8::/32") {
		t.Errorf("allow = %v, want the prefix masked", c.Discovery.Allow)
	}
	if d := cmp.Diff([]pref64.Source{pref64.Policy, pref64.RA}, c.Discovery.Sources); d != "" {
		t.Error(d)
	}
}

func TestEmptyListOfSourcesTurnsAllOff(t *testing.T) {
	c, err := Parse("x.toml", []byte("[[server]]\nname = \"b.example\"\n[discovery]\nsources = []\n"), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	if c.Discovery.Sources == nil || len(c.Discovery.Sources) != 0 {
		t.Errorf("sources = %#v, want a list of none", c.Discovery.Sources)
	}
}

func TestMistakesSayWhereAndWhat(t *testing.T) {
	const ok = "[[server]]\nname = \"b.example\"\n"
	tests := map[string]struct {
		text string
		want []string
	}{
		"unknown key":                      {ok + "prot = 443\n", []string{"x.toml:3:1", `unknown key "server.prot"`, `did you mean "server.port"`}},
		"unknown table":                    {ok + "[discover]\nallow = []\n", []string{"x.toml:3:", "discovery"}},
		"right key in wrong table":         {ok + "[path]\nprefixes = []\n", []string{"x.toml:4:1", `did you mean "discovery.prefixes"`}},
		"log files that never end":         {ok + "[log]\nmax_size = 0\nmax_files = 1000\n", []string{"log.max_size: 0: want 1 to 1000", "log.max_files: 1000: want 1 to 100"}},
		"two unknown keys":                 {ok + "[log]\nlevl = \"info\"\nformt = \"text\"\n", []string{"x.toml:4:1", "x.toml:5:1", `"log.level"`, `"log.format"`}},
		"syntax error":                     {"[[server]]\nname = \n", []string{"x.toml:2:"}},
		"wrong type":                       {"[[server]]\nname = 5\n", []string{"x.toml:2:"}},
		"no server":                        {"", []string{"no backup server"}},
		"server without name":              {"[[server]]\nport = 443\n", []string{"server[1].name", "missing"}},
		"server is IPv6":                   {"[[server]]\nname = \"2001:db8::1\"\n", []string{"IPv6 address"}},
		"server name with space":           {"[[server]]\nname = \"a b\"\n", []string{"neither a host name"}},
		"port too large":                   {ok + "port = 70000\n", []string{"server[1].port", "70000"}},
		"ipv4 is a name":                   {ok + "ipv4 = [\"x\"]\n", []string{"server[1].ipv4[1]"}},
		"ipv4 is loopback":                 {ok + "ipv4 = [\"127.0.0.1\"]\n", []string{"server[1].ipv4[1]"}},
		"pin too short":                    {ok + "pin_sha256 = [\"abcd\"]\n", []string{"pin_sha256[1]", "64 digits"}},
		"ca file missing":                  {ok + "ca_file = \"/nowhere.pem\"\n", []string{"ca_file", "/nowhere.pem"}},
		"ca file without tls":              {ok + "tls = false\nca_file = \"/a\"\n", []string{"server[1].tls"}},
		"prefix length 95":                 {ok + "[discovery]\nprefixes = [\"64:ff9b::/95\"]\n", []string{"discovery.prefixes[1]", "95"}},
		"source unknown":                   {ok + "[discovery]\nsources = [\"dhcp\"]\n", []string{"discovery.sources[1]", "dhcp"}},
		"interval too short":               {ok + "[probe]\ninterval = \"1s\"\n", []string{"probe.interval", "10s"}},
		"scope unknown":                    {ok + "[path]\nscope = \"some\"\n", []string{"path.scope", "server, all"}},
		"excluded by no prefix":            {ok + "[dns]\nexclude = [\"10.0.0.0/8\", \"10.1\"]\n", []string{"dns.exclude[2]", "is not a prefix"}},
		"metrics for everybody":            {ok + "[metrics]\nlisten = \"0.0.0.0:9464\"\n", []string{"metrics.listen", "loopback"}},
		"validation with nothing to trust": {ok + "[discovery]\nrequire_validation = true\n", []string{"require_validation", "give trusted_domains or nat64_names"}},
		"a trusted domain that is none":    {ok + "[discovery]\ntrusted_domains = [\".\"]\n", []string{"discovery.trusted_domains"}},
		"a name of a NAT64 that is none":   {ok + "[discovery]\nnat64_names = [\"a b\"]\n", []string{"discovery.nat64_names[1]"}},
		"no such file of anchors":          {ok + "[discovery]\ntrust_anchor_file = \"anchors\"\n", []string{"discovery.trust_anchor_file"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte(tt.text), noFiles)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error does not say %q:\n%v", w, err)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Reference)
	f.Add("[[server]]\nname = \"a\"\nprot = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f.toml", []byte(text), noFiles)
		if err == nil && len(c.Servers) == 0 {
			t.Error("accepted a configuration without a server")
		}
	})
}

func TestHopAddresses(t *testing.T) {
	tests := map[string]struct {
		text string
		ok   bool
	}{
		"none":           {"", true},
		"a /24":          {"203.0.113.0/24", true},
		"one address":    {"203.0.113.7/32", true},
		"too many":       {"10.0.0.0/8", false},
		"host bits":      {"203.0.113.1/24", false},
		"IPv6":           {"2001:db8::/32", false},
		"multicast":      {"239.1.2.0/24", false},
		"loopback":       {"127.0.0.0/24", false},
		"not an address": {"hops", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Parse("reach64.toml", []byte("[[server]]\nname = \"b.example\"\n[path]\nhop_addresses = \""+tt.text+"\"\n"), noFiles)
			if (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), "path.hop_addresses") {
				t.Fatalf("error %v", err)
			}
			if tt.ok && tt.text != "" && c.Path.HopAddrs.String() != tt.text {
				t.Errorf("read as %v", c.Path.HopAddrs)
			}
		})
	}
}

func TestNameServersOfAServer(t *testing.T) {
	tests := map[string]struct {
		text string
		want string // "": an error about the key
	}{
		"none":                 {`name = "b.example"`, "[]"},
		"two":                  {"name = \"b.example\"\ndns = [\"fd12::53\", \"192.0.2.53\"]", "[fd12::53 192.0.2.53]"},
		"with a zone":          {"name = \"b.example\"\ndns = [\"fe80::53%eth0\"]", "[fe80::53%eth0]"},
		"not an address":       {"name = \"b.example\"\ndns = [\"ns.example\"]", ""},
		"unspecified":          {"name = \"b.example\"\ndns = [\"::\"]", ""},
		"an address by itself": {"name = \"198.51.100.1\"\ndns = [\"fd12::53\"]", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Parse("reach64.toml", []byte("[[server]]\n"+tt.text+"\n"), noFiles)
			if (err == nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), "server[1].dns[1]") {
				t.Fatalf("error %v", err)
			}
			if err == nil && fmt.Sprint(c.Servers[0].DNS) != tt.want {
				t.Errorf("read as %v", c.Servers[0].DNS)
			}
		})
	}
}

func TestValidationIsConfigured(t *testing.T) {
	files := func(name string) ([]byte, error) {
		if name != "anchors" {
			return noFiles(name)
		}
		return []byte("; anchors\ntrusted.test. IN DS 12345 13 2 " + strings.Repeat("ab", 32) + "\n"), nil
	}
	c, err := Parse("reach64.toml", []byte(`[[server]]
name = "b.example"
[discovery]
require_validation = true
trusted_domains = ["Trusted.test"]
nat64_names = ["nat64.trusted.test"]
trust_anchor_file = "anchors"
`), files)
	if err != nil {
		t.Fatal(err)
	}
	d := c.Discovery
	if !d.RequireValidation || fmt.Sprint(d.TrustedDomains) != "[trusted.test.]" || fmt.Sprint(d.NAT64Names) != "[nat64.trusted.test]" || len(d.Anchors) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestLocalDNS64(t *testing.T) {
	for text, want := range map[string]string{"": "invalid AddrPort", "127.0.0.1": "127.0.0.1:53", "127.0.0.1:5353": "127.0.0.1:5353", "::1": "[::1]:53", "[::1]:54": "[::1]:54",
		"0.0.0.0": "", "192.0.2.1:53": "", "127.0.0.1:0": "", "localhost:53": ""} {
		c, err := Parse("reach64.toml", []byte("[[server]]\nname = \"b.example\"\n[dns]\nlisten = \""+text+"\"\n"), noFiles)
		if (err == nil) != (want != "") || err != nil && !strings.Contains(err.Error(), "dns.listen") {
			t.Errorf("%q: error %v", text, err)
		}
		if err == nil && c.DNS.Listen.String() != want {
			t.Errorf("%q: read as %v", text, c.DNS.Listen)
		}
	}
}

func TestLacksServer(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "[log]\nlevel = \"debug\"\n": true, "[log]\nlevel = \"loud\"\n": false, "[[server]]\nname = \"a.example\"\n": false,
		"nothing": false, "[log]\nformat = \"x\"\n": false, "[discovery]\nprefixes = [\"64:ff9b::/96\"]\n": true,
	} {
		conf, err := Parse("f", []byte(text), nil)
		for _, err := range []error{err, errors.Join(nil, err)} {
			if got := LacksServer(err); got != want {
				t.Errorf("%q: %v, %v", text, got, err)
			}
		}
		if strings.Contains(text, "prefixes") && len(conf.Discovery.Prefixes) != 1 {
			t.Errorf("%q: %+v", text, conf)
		}
	}
}
