package netns

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/reach64/reach64/agent/diag"
	agentstatus "github.com/reach64/reach64/agent/status"
)

// examined is what the doctor says.
type examined struct {
	diag.Report
	code int
	took time.Duration
}

// doctor runs `reach64 doctor` with the service's configuration, under a wrapper such
// as setpriv or none. Every failure has a remedy, and its text fits 80 columns.
func (s *service) doctor(wrapper []string, args ...string) examined {
	t := s.l.t
	t.Helper()
	args = append(append(wrapper, s.binary, "doctor", "--json", "--config", s.conf), args...)
	begin := time.Now()
	out, code, err := runFor(30*time.Second, s.l.client.command(t.Context(), args[0], args[1:]...))
	x := examined{code: code, took: time.Since(begin)}
	var doc struct {
		Schema int             `json:"schema"`
		Result json.RawMessage `json:"result"`
	}
	if err == nil {
		err = json.Unmarshal([]byte(out.stdout), &doc)
	}
	if err == nil {
		err = json.Unmarshal(doc.Result, &x.Report)
	}
	if err != nil || doc.Schema != 1 {
		t.Fatalf("doctor: exit code %d, %v: %s%s", code, err, out.stdout, out.stderr)
	}
	for _, c := range x.Checks {
		if c.Verdict == diag.Fail && (c.Remedy == nil || len(c.Evidence) == 0) {
			t.Errorf("%s fails without evidence or remedy", c.Code)
		}
	}
	for line := range strings.Lines(x.text(t)) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	return x
}

func (x examined) text(t *testing.T) string {
	var b bytes.Buffer
	if err := x.Text(&b, agentstatus.Style{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// failures are the codes of the checks that fail.
func (x examined) failures() (out []string) {
	for _, c := range x.Checks {
		if c.Verdict == diag.Fail {
			out = append(out, c.Code)
		}
	}
	return out
}

// realLab is the lab with tayga, unbound and radvd, whose NAT64 passes the errors of
// routers behind it.
func realLab(t *testing.T) *lab {
	t.Helper()
	need(t, "tayga", "radvd", "unbound")
	l := newLab(t, documentation)
	taygaUnbound(l, ownPrefix)
	l.router.ip("addr add 198.18.0.1/32 dev nat64\n addr del 192.168.255.254/32 dev nat64")
	l.online()
	return l
}

// TestDoctorFindsTheBrokenStep breaks one thing at a time.
func TestDoctorFindsTheBrokenStep(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			s, wrapper := f.build(t)
			x := s.doctor(wrapper)
			t.Logf("first FAIL %s, exit code %d, %.1f s\n%s", deref(x.FirstFailure), x.code, x.took.Seconds(), x.text(t))
			if got := x.failures(); !slices.Equal(got, []string{f.want}) {
				t.Errorf("fails: %v, want just %s", got, f.want)
			}
			if x.code != f.code {
				t.Errorf("exit code %d, want %d", x.code, f.code)
			}
			if !strings.Contains(x.Summary, "The broken step is") {
				t.Errorf("summary %q", x.Summary)
			}
		})
	}
}

// TestDoctorWhenAllIsWell: with the service, without it, and without privilege.
func TestDoctorWhenAllIsWell(t *testing.T) {
	l := realLab(t)
	l.env = append(l.env, "SSL_CERT_FILE="+l.ca)
	l.openToAll()
	s := l.service(serverName, "")
	s.start().up()
	verdicts := map[string]diag.Verdict{"clat": diag.Pass, "clat-path": diag.Pass, "dns64": diag.Pass, "nat64": diag.Pass, "mtu": diag.Pass,
		"server-certificate": diag.Pass, "service": diag.Pass, "loaded": diag.Pass, "configuration": diag.Pass}
	check := func(name string, x examined, want map[string]diag.Verdict) {
		t.Helper()
		t.Logf("%s: exit code %d, %.1f s, %s\n%s", name, x.code, x.took.Seconds(), x.Summary, x.text(t))
		if x.code != 0 || len(x.failures()) > 0 || x.Reached == nil || !*x.Reached {
			t.Errorf("%s: exit code %d, failures %v, reached %v", name, x.code, x.failures(), x.Reached)
		}
		for _, c := range x.Checks {
			if w, ok := want[c.Code]; ok && c.Verdict != w {
				t.Errorf("%s: %s is %s (%s), want %s", name, c.Code, c.Verdict, c.Evidence, w)
			}
		}
	}
	check("with the service", s.doctor(nil), verdicts)
	nobody := []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"}
	check("as nobody", s.doctor(nobody), map[string]diag.Verdict{"clat": diag.Pass, "nat64": diag.Pass, "service": diag.Pass})
	s.stop()
	s.conf = l.file("none.toml")
	unset := map[string]diag.Verdict{"service": diag.Warn, "dns64": diag.Pass, "nat64": diag.Pass, "permission": diag.Pass}
	check("without the service", s.doctor(nil, serverName+":8443"), unset)
	unset["permission"] = diag.Unknown
	check("without service and root", s.doctor(nobody, serverName+":8443"), unset)
	x := s.doctor(nil, "--only", "dns64,prefix", serverName+":8443")
	if len(x.Checks) != 2 || x.Checks[0].Code != "dns64" || x.Checks[1].Verdict != diag.Pass {
		t.Errorf("--only: %+v", x.Checks)
	}
}

// TestDoctorOnNativeIPv4: nothing that concerns a NAT64 is held against a network
// that needs none.
func TestDoctorOnNativeIPv4(t *testing.T) {
	need(t)
	l := newLab(t, documentation)
	l.router.sysctl("ipv4/ip_forward", "1")
	l.router.ip("addr add 192.0.2.1/24 dev lan\n link set lan up")
	l.server.ip("route add default via " + l.gateway4())
	l.client.ip("addr add 192.0.2.2/24 dev eth0\n link set eth0 up\n route add default via 192.0.2.1")
	s := l.service(documentation, "").start()
	s.waitStatus("native IPv4", 20*time.Second, func(st status) bool { return st.Path == "native" && answers(st) })
	x := s.doctor(nil)
	t.Logf("%.1f s, %s\n%s", x.took.Seconds(), x.Summary, x.text(t))
	for _, c := range x.Checks {
		if c.Verdict == diag.Fail && c.Code != "resolvers" { // there is none in this lab
			t.Errorf("%s fails: %s", c.Code, c.Evidence)
		}
		if strings.Contains("dns64 prefix nat64 clat", c.Code) && c.Verdict != diag.Skip {
			t.Errorf("%s is %s, want SKIP: %s", c.Code, c.Verdict, c.Evidence)
		}
	}
	if want := fmt.Sprintf("%s:%d is reached through native IPv4", documentation, webPort); x.Reached == nil || !*x.Reached || !strings.Contains(x.Summary, documentation) {
		t.Errorf("summary %q, want %q", x.Summary, want)
	}
}
