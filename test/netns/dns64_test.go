package netns

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLocalDNS64: a network with a NAT64 and no DNS64. The
// local one answers dig as unbound's own DNS64 does for the same zone and prefix,
// and a glibc program that is pointed at it connects by name.
func TestLocalDNS64(t *testing.T) {
	need(t, "unbound", "tayga", "radvd", "dig", "getent")
	l := newLab(t, documentation)
	l.lan()
	l.tayga(ownPrefix)
	zone := l.write("names.test.zone", `$TTL 300
@ SOA ns hostmaster 1 60 60 60 30
@ NS ns
ns A 198.51.100.53
plain 120 A 198.51.100.10
many A 198.51.100.10
many A 198.51.100.11
both A 198.51.100.10
both AAAA 2001:db8:5::10
mapped A 198.51.100.10
mapped AAAA ::ffff:198.51.100.10
six AAAA 2001:db8:5::10
alias CNAME plain
far CNAME alias
text TXT "hello"
mail MX 10 plain
`)
	// The network's resolver is unbound without DNS64; the judge is another one with it.
	resolver := func(name, port, modules, extra string) {
		conf := l.write(name+".conf", `server:
	interface: `+lanRouter+`@`+port+`
	access-control: ::/0 allow
	module-config: "`+modules+`"
`+extra+`
	do-daemonize: no
	username: ""
	chroot: ""
	directory: "`+l.tmp+`"
	pidfile: "`+l.file(name+".pid")+`"
	use-syslog: no
	logfile: ""
	local-zone: "test." nodefault
	qname-minimisation: no
remote-control:
	control-enable: no
auth-zone:
	name: "names.test"
	for-upstream: yes
	for-downstream: no
	zonefile: "`+zone+`"
`)
		l.router.start(name, "unbound", "-d", "-c", conf).waitFor("start of service")
	}
	resolver("with", "5301", "dns64 iterator", "	dns64-prefix: "+ownPrefix)
	resolver("without", "53", "iterator", "")
	l.radvd()
	l.online()
	s := l.service(documentation, "\n[dns]\nlisten = \"127.0.0.2:53\"\n[discovery]\nprefixes = [\""+ownPrefix+"\"]\n").start()
	s.up()

	answer := func(server, name, qtype string, flags ...string) string {
		out, err := l.client.try(10*time.Second, "dig", append([]string{"@" + server, name + ".names.test", qtype, "+time=4", "+tries=1"}, flags...)...)
		if err != nil {
			return err.Error()
		}
		return digest(out)
	}
	for _, name := range []string{"plain", "many", "both", "mapped", "six", "alias", "far", "text", "mail", "nothing"} {
		for _, qtype := range []string{"AAAA", "A", "MX", "TXT"} {
			for _, flags := range [][]string{{}, {"+tcp"}, {"+dnssec"}, {"+noedns"}} {
				args := append([]string{}, flags...)
				want := answer(lanRouter, name, qtype, append(args, "-p", "5301")...)
				got := answer("127.0.0.2", name, qtype, args...)
				if why, ok := dns64Differences[name+" "+qtype]; ok {
					if got == want {
						t.Errorf("%s %s %v: is among the differences, but both say %s", name, qtype, flags, got)
					} else if len(flags) == 0 {
						t.Logf("%s %s: %s", name, qtype, why)
					}
					continue
				}
				if got != want {
					t.Errorf("%s %s %v:\nunbound %s\nours    %s", name, qtype, flags, want, got)
				}
			}
		}
	}
	if got, want := answer("127.0.0.2", "plain", "AAAA"), synthesized(ownPrefix, l.server4); !strings.Contains(got, want) {
		t.Errorf("plain AAAA: %s, want %s in it", got, want)
	}
	out, err := l.client.try(10*time.Second, "dig", "@127.0.0.2", "plain.names.test", "AAAA")
	m := digRecord.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no record: %v\n%s", err, out)
	}
	if ttl, _ := strconv.Atoi(m[2]); err != nil || ttl < 1 || ttl > 30 {
		t.Errorf("TTL of a synthesized record: %v, want the 30 s at most for which the absence of AAAA may be kept:\n%s", err, out)
	}
	// A glibc program.
	l.resolver("127.0.0.2")
	out, err = l.client.try(10*time.Second, "getent", "ahostsv6", "plain.names.test")
	if err != nil || !strings.Contains(out, synthesized(ownPrefix, l.server4)) {
		t.Errorf("getent: %q, %v", out, err)
	}
}

// dns64Differences are where unbound and we part, and the section that decides.
var dns64Differences = map[string]string{
	"mapped AAAA": "unbound hands ::ffff:0:0/96 out unless it is told otherwise; it has to be excluded by default (RFC 6147 section 5.1.4)",
}

var digRecord = regexp.MustCompile(`(?m)^(\S+)\t+(\d+)\tIN\t(\S+)\t(.*)$`)

// digest is what of dig's output has to agree: the response code, the flag AD, and
// the answer section. TTLs are left out: unbound's cache counts them down, and it
// gives the TTL of the A record where the SOA's is smaller (RFC 6147 section 5.1.7).
func digest(out string) string {
	code := regexp.MustCompile(`status: (\w+)`).FindStringSubmatch(out)
	if code == nil {
		return out
	}
	ad := strings.Contains(out, " ad;") || strings.Contains(out, " ad ")
	section, _, _ := strings.Cut(out, ";; AUTHORITY SECTION")
	section, _, _ = strings.Cut(section, ";; ADDITIONAL SECTION")
	var records []string
	for _, m := range digRecord.FindAllStringSubmatch(section, -1) {
		records = append(records, strings.ToLower(m[1]+" "+m[3]+" "+m[4]))
	}
	slices.Sort(records)
	return fmt.Sprintf("%s ad=%v %s", code[1], ad, strings.Join(records, "; "))
}
