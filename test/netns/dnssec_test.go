package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/reach64/reach64/resolver/dnsq"
	"github.com/reach64/reach64/resolver/dnssec"
	"github.com/reach64/reach64/test/signedzone"
)

// playDNSSEC validates NAME/TYPE arguments with the anchors of file args[1] through
// the resolver args[0], and prints a verdict a line.
func playDNSSEC(args []string) error {
	if len(args) < 3 {
		return errors.New("want a resolver, a file of anchors and questions")
	}
	server, err1 := netip.ParseAddrPort(args[0])
	text, err2 := os.ReadFile(args[1])
	anchors, err3 := dnssec.ParseAnchors(string(text))
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	client := &dnsq.Client{Dialer: &net.Dialer{}}
	v := dnssec.Validator{Anchors: anchors, Exchanger: dnssec.ExchangeFunc(func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
		return client.Ask(ctx, server, name, qtype, dnsq.Flags{DO: true, CD: true})
	})}
	for _, q := range args[2:] {
		name, qtype, _ := strings.Cut(q, "/")
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		r := v.Validate(ctx, dns.Fqdn(name), dns.StringToType[qtype], time.Now())
		cancel()
		fmt.Printf("%s %s %s %s\n", q, r.Verdict, r.Reason, r.Detail)
	}
	return nil
}

// TestDNSSECBesideUnbound: our validator and unbound's judge the same names of the
// same zones, genuine and tampered with, signed with three algorithms, with NSEC and
// NSEC3: unbound's AD flag is our 'secure', its SERVFAIL our 'bogus'.
func TestDNSSECBesideUnbound(t *testing.T) {
	need(t, "unbound", "dig")
	l := bareLab(t)
	s := l.space("dns")
	var anchors, auth strings.Builder
	var questions []string
	add := func(zone *signedzone.Zone, change func(string) string) {
		var text string
		for _, rr := range zone.Records() {
			text += rr.String() + "\n"
		}
		name := strings.TrimSuffix(zone.Name, ".")
		fmt.Fprintf(&auth, "auth-zone:\n\tname: %q\n\tfor-upstream: yes\n\tfor-downstream: no\n\tzonefile: %q\n", name, l.write(name+".zone", change(text)))
		for _, rr := range zone.DS() {
			anchors.WriteString(rr.String() + "\n")
		}
		for _, q := range []string{"a.%s/AAAA", "a.%s/A", "none.%s/AAAA", "b.%s/AAAA", "x.wild.%s/AAAA", "x.wild.%s/A", "alias.%s/AAAA", "%s/SOA", "a.b.c.%s/AAAA"} {
			questions = append(questions, fmt.Sprintf(q, name))
		}
	}
	same := func(s string) string { return s }
	zone := func(name string, algorithm uint8, nsec3 *signedzone.NSEC3, begin, end time.Duration) *signedzone.Zone {
		return (&signedzone.Zone{Name: name, Algorithm: algorithm, NSEC3: nsec3, Inception: time.Now().Add(begin), Expiration: time.Now().Add(end),
			Text: "a 60 IN AAAA 2001:db8::1\nb 60 IN A 198.51.100.1\n*.wild 60 IN AAAA 2001:db8::2\nalias 60 IN CNAME a\n"}).Sign()
	}
	add(zone("rsa.test.", dns.RSASHA256, nil, -time.Hour, time.Hour), same)
	add(zone("ecdsa.test.", dns.ECDSAP256SHA256, nil, -time.Hour, time.Hour), same)
	add(zone("ed.test.", dns.ED25519, nil, -time.Hour, time.Hour), same)
	add(zone("nsec3.test.", dns.ECDSAP256SHA256, &signedzone.NSEC3{Iterations: 1, Salt: "aabb"}, -time.Hour, time.Hour), same)
	add(zone("old.test.", dns.ECDSAP256SHA256, nil, -48*time.Hour, -24*time.Hour), same)
	add(zone("early.test.", dns.ECDSAP256SHA256, nil, 24*time.Hour, 48*time.Hour), same)
	add(zone("forged.test.", dns.ECDSAP256SHA256, nil, -time.Hour, time.Hour), func(s string) string { return strings.ReplaceAll(s, "2001:db8::1", "2001:db8::bad") })

	unbound := func(name, port, modules, extra string) {
		conf := l.write(name+".conf", "server:\n\tinterface: 127.0.0.1@"+port+"\n\tmodule-config: \""+modules+"\"\n"+extra+`	do-daemonize: no
	username: ""
	chroot: ""
	directory: "`+l.tmp+`"
	pidfile: "`+l.file(name+".pid")+`"
	use-syslog: no
	logfile: ""
	local-zone: "test." nodefault
	qname-minimisation: no
	val-sig-skew-min: 0
	val-sig-skew-max: 0
remote-control:
	control-enable: no
`+auth.String())
		s.start(name, "unbound", "-d", "-c", conf).waitFor("start of service")
	}
	file := l.write("anchors", anchors.String())
	unbound("plain", "53", "iterator", "")
	unbound("judge", "5302", "validator iterator", "\ttrust-anchor-file: \""+file+"\"\n")

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ours := strings.Split(strings.TrimSpace(s.must("env", append([]string{roleVariable + "=dnssec", self, "127.0.0.1:53", file}, questions...)...)), "\n")
	if len(ours) != len(questions) {
		t.Fatalf("%d verdicts for %d questions", len(ours), len(questions))
	}
	count := map[string]int{}
	for i, q := range questions {
		name, qtype, _ := strings.Cut(q, "/")
		out, err := s.try(10*time.Second, "dig", "@127.0.0.1", "-p", "5302", "+dnssec", "+time=4", "+tries=1", name, qtype)
		if err != nil {
			t.Fatal(err)
		}
		want := "insecure"
		switch {
		case strings.Contains(out, "status: SERVFAIL"):
			want = "bogus"
		case strings.Contains(strings.SplitN(out, "QUERY:", 2)[0], " ad"):
			want = "secure"
		}
		fields := strings.Fields(ours[i])
		count[want]++
		if fields[0] != q || fields[1] != want {
			t.Errorf("unbound says %s, ours %s", want, ours[i])
		}
	}
	t.Logf("%d questions judged alike: %v", len(questions), count)
	if count["secure"] == 0 || count["bogus"] == 0 {
		t.Error("the judge did not judge")
	}
}
