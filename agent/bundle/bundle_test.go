package bundle

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// planted is what must not survive, in every notation in which it is planted.
var planted = []string{
	"backup.corp.example.com", "corp.example.com", "laptop-of-jane", "Acme Backup Authority", "jdoe", "intranet.acme.test",
	"198.51.100.10", "198.51.100.77", "10.1.2.3", "203.0.113.9", "2001:db8:64:ff9b:", "c633:640a", "2001:db8:1:", "2001:0db8", "1a2b:3cff:fe4d:5e6f", "fe80::1a2b",
	"1a:2b:3c:4d:5e:6f", "1A-2B-3C-4D-5E-6F", "fd12:3456", "hunter2", "s3cr3t", "tok-9876", "MIGTAgEAMBM", "c0a8", "192.168.7.7",
}

// text is a file with everything that is planted, as logs, JSON and configuration have it.
const text = `time="2026-03-01T12:00:00Z" level=info msg="prefix found" prefix="2001:db8:64:ff9b::/96" server=2001:db8:1::53%eth0
[[server]]
name = "backup.corp.example.com"
ipv4 = ["198.51.100.10", "198.51.100.77"]
ca_file = "/home/jdoe/ca.pem"
portal_url = "http://jdoe:hunter2@portal.corp.example.com/x?token=tok-9876"
password = "s3cr3t"
{"address": "[2001:db8:64:ff9b::c633:640a]:443", "api_key":"tok-9876", "link":"1A-2B-3C-4D-5E-6F", "own":"2001:0db8:0001:0000:1a2b:3cff:fe4d:5e6f/64"}
Authorization: Bearer tok-9876
eth0: link/ether 1a:2b:3c:4d:5e:6f, fe80::1a2b:3cff:fe4d:5e6f, fd12:3456:789a:1::5, 10.1.2.3/24 via 192.168.7.7.
CN=backup.corp.example.com, issued by Acme Backup Authority on LAPTOP-OF-JANE; 64:ff9b::203.0.113.9 is 64:ff9b::cb00:7109
dial tcp 203.0.113.9:443: refused; resolver [2001:db8:1::53]:53, files reach64.toml and doctor.json, 192.0.0.3 on clat0
-----BEGIN PRIVATE KEY-----
MIGTAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBHkwdwIBAQQg
-----END PRIVATE KEY-----
`

func anonymizer(strict bool) *Anonymizer {
	a := NewAnonymizer(strict)
	a.Prefix(nat64.MustParse("2001:db8:64:ff9b::/96"))
	for _, n := range []string{"backup.corp.example.com", "corp.example.com", "laptop-of-jane", "Acme Backup Authority", "jdoe", "198.51.100.10", "ab"} {
		a.Name(n)
	}
	return a
}

// unzip returns the files of a bundle by name.
func unzip(t *testing.T, b []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = string(data)
	}
	return out
}

func TestNothingPlantedSurvives(t *testing.T) {
	var b bytes.Buffer
	files := []File{{Name: "logs.txt", About: "the log of backup.corp.example.com", Data: []byte(text)}, {Name: "config.toml", Data: []byte(text)},
		{Name: "metrics.txt", About: "counters", Why: "dial 198.51.100.10: refused"}}
	if err := Write(&b, "reach64-bundle", now, files, anonymizer(true)); err != nil {
		t.Fatal(err)
	}
	got := unzip(t, b.Bytes())
	for name, data := range got {
		for _, p := range planted {
			if strings.Contains(strings.ToLower(data), strings.ToLower(p)) {
				t.Errorf("%s holds %q:\n%s", name, p, data)
			}
		}
	}
	if len(got) != 3 || !strings.Contains(got["reach64-bundle/README.txt"], "logs.txt") || !strings.Contains(got["reach64-bundle/README.txt"], "could not be had:\nmetrics.txt") {
		t.Errorf("files: %q", got["reach64-bundle/README.txt"])
	}
	log := got["reach64-bundle/logs.txt"]
	for _, stays := range []string{"192.0.0.3 on clat0", "64:ff9b::", "reach64.toml", "doctor.json", "level=info", "2026-03-01T12:00:00Z", "eth0: link/ether 02:00:00:", `password = "REMOVED"`, "[3fff:6401::c612:", "/96"} {
		if !strings.Contains(log, stays) {
			t.Errorf("%q is gone:\n%s", stays, log)
		}
	}
}

func TestWithoutAnonymizingSecretsGo(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, "x", now, []File{{Name: "a.txt", Data: []byte(text)}}, nil); err != nil {
		t.Fatal(err)
	}
	got := unzip(t, b.Bytes())["x/a.txt"]
	for _, secret := range []string{"hunter2", "s3cr3t", "tok-9876", "MIGTAgEAMBM"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is in it:\n%s", secret, got)
		}
	}
	if !strings.Contains(got, "198.51.100.10") || !strings.Contains(got, "backup.corp.example.com") {
		t.Errorf("names are gone:\n%s", got)
	}
}

// TestRelationsStay: the same thing is the same everywhere, and what is embedded is
// the pseudonym of what it stands for.
func TestRelationsStay(t *testing.T) {
	a := NewAnonymizer(false)
	for _, text := range []string{"2001:db8:1::/32", "2001:db8:100::/40", "2001:db8:122::/48", "2001:db8:122:300::/56", "2001:db8:122:344::/64", "2001:db8:64::/96"} {
		p := nat64.MustParse(text)
		b := NewAnonymizer(false)
		b.Prefix(p)
		v4 := netip.MustParseAddr("198.51.100.10")
		to, err := nat64.Parse(b.Text(p.String()))
		if err != nil || to.Bits() != p.Bits() || to == p {
			t.Fatalf("%s becomes %q, %v", p, b.Text(p.String()), err)
		}
		inside, ok := to.Extract(netip.MustParseAddr(b.Text(p.Embed(v4).String())))
		if !ok || inside != netip.MustParseAddr(b.Text(v4.String())) || inside == v4 {
			t.Errorf("%s in %s: %v, %v; outside it is %s", v4, p, inside, ok, b.Text(v4.String()))
		}
	}
	first, second := a.Text("198.51.100.10"), a.Text("198.51.100.77")
	if first == second || first != a.Text("198.51.100.10") || first[:strings.LastIndexByte(first, '.')] != second[:strings.LastIndexByte(second, '.')] {
		t.Errorf("%s and %s: want two of one /24", first, second)
	}
	x, y := netip.MustParseAddr(a.Text("2001:db8:1:2::a")), netip.MustParseAddr(a.Text("2001:db8:1:2::b"))
	if x == y || netip.PrefixFrom(x, 64).Masked() != netip.PrefixFrom(y, 64).Masked() {
		t.Errorf("%s and %s: want two of one /64", x, y)
	}
	if net := a.Text("2001:db8:1:2::/64"); net != netip.PrefixFrom(x, 64).Masked().String() {
		t.Errorf("the network is %s, the address %s", net, x)
	}
	a.Name("backup.example.com")
	if a.Text("BACKUP.example.com.") != "name1.invalid." || a.Text("www.backup.example.com") == a.Text("backup.example.com") {
		t.Errorf("names: %s, %s", a.Text("BACKUP.example.com."), a.Text("www.backup.example.com"))
	}
	if got := a.Text("mybackup.example.community"); got != "mybackup.example.community" {
		t.Errorf("another name became %s", got)
	}
}

func TestWhereAddressesStand(t *testing.T) {
	a := anonymizer(true)
	want := a.Text("2001:db8:1::5")
	for _, s := range []string{"eth0:%s", "[%s]:443", "(%s)", "%s.", "%s:", "via %s dev eth0", "\"%s\"", "x:y:%s", "%s%%eth0", "%s/128", "<td>%s</td>"} {
		in, out := fmt.Sprintf(s, "2001:db8:1::5"), fmt.Sprintf(s, want)
		if got := a.Text(in); got != out {
			t.Errorf("%s became %s, want %s", in, got, out)
		}
	}
	for _, s := range []string{"198.51.100.10:443:x", "x:y:198.51.100.10", "laptop-of-jane:80:tcp"} {
		if got := a.Text(s); strings.Contains(got, "198.51.100.10") || strings.Contains(got, "jane") {
			t.Errorf("%s became %s", s, got)
		}
	}
}

func TestWhatIsTheSameEverywhereStays(t *testing.T) {
	a := NewAnonymizer(true)
	for _, s := range []string{"64:ff9b::/96", "192.0.0.170", "127.0.0.1", "::1", "::/0", "0.0.0.0/0", "128.0.0.0/1", "ff02::1", "ipv4only.arpa", "reach64.toml", "12:30:45", "eth0:", "00:00:00:00:00:00",
		"v1.2.3", "runtime.go:123", "details::details-content", "a:b:c", "level::de", "github.com/reach64/reach64/agent.(*Agent).Run", "2026-03-01T12:00:00.123Z", "1.5", "std::string"} {
		if got := a.Text(s); got != s {
			t.Errorf("%s became %s", s, got)
		}
	}
}

// FuzzAnonymize: an address, however it stands in a text, does not survive, and a
// text never makes it panic.
func FuzzAnonymize(f *testing.F) {
	f.Add("x=", []byte{198, 51, 100, 10}, "\n")
	f.Add("[", []byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0x1a, 0x2b, 0x3c, 0xff, 0xfe, 0x4d, 0x5e, 0x6f}, "]:443")
	f.Add("eth0:", []byte{0x20, 1, 0xd, 0xb8, 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 198, 51, 100, 10}, "/64")
	f.Fuzz(func(t *testing.T, before string, raw []byte, after string) {
		ip, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		a := anonymizer(true)
		a.Text(before + ip.String() + after)
		to := anonymizer(true).Addr(ip)
		if to.Is4() != ip.Is4() {
			t.Errorf("%s becomes %s", ip, to)
		}
		got := anonymizer(true).Text(" " + ip.String() + " ")
		if want := fmt.Sprintf(" %s ", to); ip.Zone() == "" && !ip.Is4In6() && got != want && anonymizer(true).addrText(ip, "") != strings.TrimSpace(got) {
			t.Errorf("%s becomes %q in a text, and %q by itself", ip, got, want)
		}
	})
}
