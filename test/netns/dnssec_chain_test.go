package netns

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// chainNames are in every zone of TestDNSSECChainsBesideUnbound.
const chainNames = `
www     AAAA  2001:db8::80
www     A     198.51.100.80
other   AAAA  2001:db8::81
alias   CNAME www
none    CNAME nothing
toopen  CNAME www.open.test.
toforged CNAME www.forged.test.
tonsec3 CNAME alias.nsec3.test.
*.wild  TXT   "from a wildcard"
real.wild A   198.51.100.81
*.wide  CNAME www
deep.empty TXT "below an empty name"
tree    DNAME rsa.test.
`

var chainQuestions = strings.Fields(`www./AAAA www./A www./TXT www./DS other./AAAA alias./AAAA alias./CNAME alias./TXT none./AAAA toopen./AAAA toforged./AAAA tonsec3./AAAA
	missing./AAAA a.missing./AAAA zzz./A x.wild./TXT y.x.wild./TXT x.wild./A real.wild./TXT real.wild./A wild./TXT x.wide./AAAA x.wide./TXT
	empty./TXT deep.empty./TXT deep.empty./A www.tree./AAAA missing.tree./AAAA tree./DNAME tree./AAAA ./SOA ./NS ./DS ./DNSKEY ./AAAA`)

// chainZone is a zone that bind9 signs and serves.
type chainZone struct {
	name      string // without the last dot, "" for the root
	algorithm string // "" for none
	sign      string // more arguments of dnssec-signzone
	text      string
	ds        func(string) string // changes what the zone above says
	tamper    func(string) string // changes what was signed
}

func lines(drop ...string) func(string) string {
	return func(s string) string {
		return strings.Join(slices.DeleteFunc(strings.SplitAfter(s, "\n"), func(line string) bool {
			return slices.ContainsFunc(drop, func(re string) bool { return regexp.MustCompile(re).MatchString(line) })
		}), "")
	}
}

// chainZones are the zones, children before parents.
func chainZones() []chainZone {
	flip := func(s string) string { // the last digit of the digest
		s = strings.TrimRight(s, "\n")
		digit := "0"
		if strings.HasSuffix(s, "0") {
			digit = "1"
		}
		return s[:len(s)-1] + digit + "\n"
	}
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.ReplaceAll(s, old, new) }
	}
	below := "child NS ns.test.\nbare NS ns.test.\n"
	zones := []chainZone{
		{name: "child.nsec", algorithm: "ECDSAP256SHA256"}, {name: "bare.nsec"},
		{name: "child.optout", algorithm: "ED25519", sign: "-3 aabb"}, {name: "bare.optout"},
		{name: "nsec", algorithm: "ED25519", text: below},
		{name: "nsec3", algorithm: "ECDSAP256SHA256", sign: "-3 -"},
		{name: "salted", algorithm: "ECDSAP384SHA384", sign: "-3 aabbccdd -H 12"},
		{name: "optout", algorithm: "ED25519", sign: "-3 - -A", text: below},
		{name: "rsa", algorithm: "RSASHA256"},
		{name: "open"}, {name: "strange"}, {name: "digest"},
		{name: "expired", algorithm: "ED25519", sign: "-s now-48h -e now-24h"},
		{name: "future", algorithm: "ED25519", sign: "-s now+24h -e now+48h"},
		{name: "wrongds", algorithm: "ED25519", ds: flip},
		{name: "forged", algorithm: "ED25519", tamper: replace("2001:db8::80", "2001:db8::bad")},
		{name: "stripped", algorithm: "ED25519", tamper: lines(`^www.*RRSIG\s+AAAA`, `^\*.*RRSIG\s+TXT`, `^tree.*RRSIG\s+DNAME`)},
		{name: "bare2", algorithm: "ED25519", tamper: lines(`RRSIG`)},
		{name: "keyless", algorithm: "ED25519", tamper: lines(`\sDNSKEY\s`)},
		{name: "gaps", algorithm: "ED25519", tamper: lines(`^(www|zz|x|\S*wild|alias|none)\S*\s.*\sNSEC\s`)},
		{name: "gaps3", algorithm: "ED25519", sign: "-3 -", tamper: lines(`^[0-9a-fA-F]\S{31}\.gaps3\S*\s.*\sNSEC3\s`)},
		{name: "deniers", algorithm: "ED25519", tamper: replace("RRSIG NSEC", "RRSIG NSEC SRV")},
	}
	text := "ns A 127.0.0.1\nstrange DS 4711 200 2 " + strings.Repeat("ab", 32) + "\ndigest DS 4711 15 200 " + strings.Repeat("ab", 32) + "\n"
	for i := range zones {
		if !strings.Contains(zones[i].name, ".") {
			text += zones[i].name + " NS ns.test.\n"
		}
		zones[i].name += ".test"
		zones[i].text += chainNames
	}
	return append(zones, chainZone{name: "test", algorithm: "ED25519", text: text}, chainZone{algorithm: "RSASHA256", text: "test NS ns.test.\nns.test A 127.0.0.1\n"})
}

// signChain signs a zone with bind9's tools and returns the file to serve. The DS
// records for the zone above are left in the folder keys.
func (l *lab) signChain(s *space, z chainZone) string {
	l.t.Helper()
	name := z.name + "."
	file := l.write("zone."+name, "$ORIGIN "+name+"\n$TTL 300\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 300\n@ NS ns.test.\n"+z.text)
	if z.algorithm == "" {
		return file
	}
	keys := l.file("keys")
	for _, flags := range [][]string{{"-f", "KSK"}, nil} {
		s.must("dnssec-keygen", append(append([]string{"-q", "-K", keys, "-a", z.algorithm}, flags...), name)...)
	}
	args := append([]string{"-q", "-S", "-g", "-K", keys, "-d", keys, "-O", "full", "-o", name, "-f", file + ".signed"}, strings.Fields(z.sign)...)
	// -P: a zone whose signatures are expired is made all the same.
	s.must("dnssec-signzone", append(args, "-P", file)...)
	edit := func(path string, change func(string) string) {
		b, err := os.ReadFile(path)
		if err != nil {
			l.t.Fatal(err)
		}
		text := change(string(b))
		if text == string(b) {
			l.t.Fatalf("%s: nothing was changed in %s", z.name, path)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
	if z.ds != nil {
		edit(filepath.Join(keys, "dsset-"+name), z.ds)
	}
	if z.tamper != nil {
		edit(file+".signed", z.tamper)
	}
	return file + ".signed"
}

// TestDNSSECChainsBesideUnbound: zones signed and served by bind9, from a root down,
// genuine and tampered with. unbound forwards to bind9 and validates. For every name
// its AD flag is our 'secure', its SERVFAIL our 'bogus', whether we ask bind9 or go
// through unbound with checking disabled.
func TestDNSSECChainsBesideUnbound(t *testing.T) {
	need(t, "unbound", "named", "dig", "dnssec-keygen", "dnssec-signzone")
	l := bareLab(t)
	s := l.space("dns")
	if err := os.Mkdir(l.file("keys"), 0o755); err != nil {
		t.Fatal(err)
	}
	var questions []string
	conf := `options {
	directory "` + l.tmp + `";
	pid-file "` + l.file("named.pid") + `";
	session-keyfile "` + l.file("session.key") + `";
	listen-on port 5300 { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion yes;
	dnssec-validation no;
};
controls { };
`
	for _, z := range chainZones() {
		conf += fmt.Sprintf("zone %q { type primary; file %q; };\n", z.name+".", l.signChain(s, z))
		for _, q := range chainQuestions {
			name, qtype, _ := strings.Cut(q, "/")
			questions = append(questions, strings.Trim(strings.Trim(name, ".")+"."+z.name, ".")+"./"+qtype)
		}
	}
	s.start("named", "named", "-g", "-n", "1", "-c", l.write("named.conf", conf)).waitFor("running")
	anchor := filepath.Join(l.file("keys"), "dsset-.")
	s.start("unbound", "unbound", "-d", "-c", l.write("unbound.conf", `server:
	interface: 127.0.0.1@5302
	module-config: "validator iterator"
	trust-anchor-file: "`+anchor+`"
	do-not-query-localhost: no
	val-sig-skew-min: 0
	val-sig-skew-max: 0
	local-zone: "test." nodefault
	do-daemonize: no
	username: ""
	chroot: ""
	directory: "`+l.tmp+`"
	pidfile: "`+l.file("unbound.pid")+`"
	use-syslog: no
	logfile: ""
	num-threads: 1
	val-log-level: 2
remote-control:
	control-enable: no
forward-zone:
	name: "."
	forward-addr: 127.0.0.1@5300
`)).waitFor("start of service")

	want := l.unboundSays(s, questions)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"127.0.0.1:5302", "127.0.0.1:5300"} {
		ours := strings.Split(strings.TrimSpace(s.must("env", append([]string{roleVariable + "=dnssec", self, way, anchor}, questions...)...)), "\n")
		if len(ours) != len(questions) {
			t.Fatalf("%d verdicts for %d questions", len(ours), len(questions))
		}
		count := map[string]int{}
		for i, q := range questions {
			f := strings.Fields(ours[i])
			count[f[1]]++
			switch why, differs := chainDifferences[q]; {
			case f[0] != q || f[1] != want[i] && !differs:
				t.Errorf("by %s: unbound says %s, ours %s", way, want[i], ours[i])
			case f[1] == want[i] && differs:
				t.Errorf("by %s: %s is among the differences, but both say %s: %s", way, q, want[i], why)
			}
		}
		t.Logf("by %s: %d questions, %d known differences, %v", way, len(questions), len(chainDifferences), count)
		if count["secure"] < 100 || count["bogus"] < 100 || count["insecure"] < 100 {
			t.Errorf("%v: too few of a kind to compare", count)
		}
	}
}

// unboundSays returns unbound's verdicts.
func (l *lab) unboundSays(s *space, questions []string) []string {
	l.t.Helper()
	args := []string{"@127.0.0.1", "-p", "5302", "+dnssec", "+time=5", "+tries=1"}
	for _, q := range questions {
		name, qtype, _ := strings.Cut(q, "/")
		args = append(args, "-q", name, "-t", qtype)
	}
	out, err := s.try(2*time.Minute, "dig", args...)
	if err != nil {
		l.t.Fatal(err)
	}
	var said []string
	for _, m := range regexp.MustCompile(`status: (\w+), id: \d+\n;; flags:([^;]*);`).FindAllStringSubmatch(out, -1) {
		switch {
		case m[1] == "SERVFAIL":
			said = append(said, "bogus")
		case strings.Contains(m[2], " ad"):
			said = append(said, "secure")
		default:
			said = append(said, "insecure")
		}
	}
	if len(said) != len(questions) {
		l.t.Fatalf("unbound answered %d of %d questions\n%s", len(said), len(questions), out)
	}
	return said
}

// chainDifferences are where unbound and we part, and what decides.
var chainDifferences = map[string]string{
	"www.gaps.test./TXT":       bind9Fails,
	"www.gaps.test./DS":        bind9Fails,
	"alias.gaps.test./TXT":     bind9Fails,
	"real.wild.gaps.test./TXT": bind9Fails,
	"x.wide.gaps.test./TXT":    bind9Fails,
}

const bind9Fails = "bind9 answers SERVFAIL, having no NSEC for a name that exists: not validated by us (RFC 4035 section 4.3), SERVFAIL from unbound too"
