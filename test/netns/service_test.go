package netns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// service is reach64 as a service manager runs it, in the client's namespace.
type service struct {
	l                    *lab
	binary, conf, socket string
	p                    *process // nil before start
}

// service prepares reach64 with the lab's server. settings are tables added to
// the configuration. Name is the server's, or its IPv4 address.
func (l *lab) service(name, settings string) *service {
	l.t.Helper()
	s := &service{l: l, binary: binary(l.t, "reach64"), socket: l.file("run/reach64.sock")}
	known := ""
	if name != l.server4.String() {
		known = fmt.Sprintf("ipv4 = [%q]\n", l.server4)
	}
	s.conf = l.write("reach64.toml", fmt.Sprintf("[[server]]\nname = %q\nport = %d\nca_file = %q\n%s%s", name, webPort, l.ca, known, settings))
	l.services = append(l.services, s)
	return s
}

// start starts the service.
func (s *service) start() *service {
	s.l.t.Helper()
	s.p = s.l.client.start("reach64", s.binary, "run", "--config", s.conf)
	return s
}

// stop ends it and wants exit code 0.
func (s *service) stop() {
	s.l.t.Helper()
	code, err := s.p.end(syscall.SIGTERM, 10*time.Second)
	if err != nil || code != 0 {
		s.l.t.Fatalf("reach64 after SIGTERM: exit code %d, want 0 (%v); its log:\n%s", code, err, s.p.output())
	}
}

// kill9 ends it as the kernel does when memory runs out.
func (s *service) kill9() {
	s.l.t.Helper()
	if _, err := s.p.end(syscall.SIGKILL, 10*time.Second); err != nil {
		s.l.t.Fatal(err)
	}
}

// status is what `reach64 status --json` says, as far as tests look at it. It is
// written down here once more, so that the product's own types cannot hide a
// changed name.
type status struct {
	Class  string  `json:"class"`
	Path   string  `json:"path"`
	Reason string  `json:"reason"`
	Detail string  `json:"detail"`
	Uplink *string `json:"uplink"`
	Prefix *string `json:"prefix"`
	Source *string `json:"prefix_source"`
	CLAT   *struct {
		IPv4   string   `json:"ipv4"`
		IPv6   string   `json:"ipv6"`
		Device string   `json:"device"`
		MTU    int      `json:"mtu"`
		Ready  bool     `json:"ready"`
		Routes []string `json:"routes"`
	} `json:"clat"`
	Datapath *string `json:"datapath"`
	Note     *string `json:"datapath_note"`
	Servers  []struct {
		Name      string   `json:"name"`
		Port      int      `json:"port"`
		Address   *string  `json:"address"`
		Path      string   `json:"path"`
		Reachable *bool    `json:"reachable"`
		RTT       *float64 `json:"rtt"`
		Reason    string   `json:"reason"`
	} `json:"servers"`
	Sources []struct {
		Source  string `json:"source"`
		Verdict string `json:"verdict"`
		Reason  string `json:"reason"`
	} `json:"sources"`
	Counters map[string]uint64 `json:"counters"`
	Since    time.Time         `json:"since"`
	Times    struct {
		RAToHandshake *float64 `json:"ra_to_handshake"`
	} `json:"times"`
	PID int `json:"pid"`

	text string // the document as it was
	code int    // exit code of `reach64 status`
}

// status asks the service, as a user does.
func (s *service) status() (status, error) {
	out, code, err := runFor(5*time.Second, exec.Command(s.binary, "status", "--json", "--socket", s.socket))
	if err != nil {
		return status{}, err
	}
	var doc struct {
		Schema int    `json:"schema"`
		Result status `json:"result"`
	}
	if err := json.Unmarshal([]byte(out.stdout), &doc); err != nil {
		return status{code: code}, fmt.Errorf("status: exit code %d, %w: %s%s", code, err, out.stdout, out.stderr)
	}
	if doc.Schema != 1 {
		return status{}, fmt.Errorf("status: schema %d, want 1", doc.Schema)
	}
	doc.Result.text, doc.Result.code = out.stdout, code
	return doc.Result, nil
}

// printed is what a program printed.
type printed struct{ stdout, stderr string }

// runFor runs a program for at most limit and returns its exit code; err is for
// one that did not run or did not end.
func runFor(limit time.Duration, c *exec.Cmd) (printed, int, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		return printed{}, -1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.Process.Kill() })
	defer stop()
	err := c.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%s did not end within %v", c, limit)
	}
	return printed{stdout.String(), stderr.String()}, c.ProcessState.ExitCode(), err
}

// waitStatus waits until the status is as wanted, and returns it.
func (s *service) waitStatus(what string, limit time.Duration, ok func(status) bool) status {
	s.l.t.Helper()
	var got status
	eventually(s.l.t, limit, "status: "+what, func() error {
		if s.p.ended() {
			s.l.t.Fatalf("reach64 ended: %v; its log:\n%s", s.p.err, s.p.output())
		}
		var err error
		if got, err = s.status(); err != nil {
			return err
		}
		if !ok(got) {
			return fmt.Errorf("class %s, path %s, reason %s; %s", got.Class, got.Path, got.Reason, got.text)
		}
		return nil
	})
	return got
}

// carries tells whether the server answers through the CLAT.
func carries(st status) bool {
	return st.Path == "clat" && st.CLAT != nil && answers(st)
}

// answers tells whether every server answers.
func answers(st status) bool {
	for _, v := range st.Servers {
		if v.Reachable == nil || !*v.Reachable {
			return false
		}
	}
	return len(st.Servers) > 0
}

// up waits until the server answers through the CLAT.
func (s *service) up() status {
	s.l.t.Helper()
	return s.waitStatus("the server answers through the CLAT", 20*time.Second, carries)
}

// discovered runs `reach64 discover` and wants prefix from source.
func (s *service) discovered(prefix, source string) {
	t := s.l.t
	t.Helper()
	out, code, err := runFor(30*time.Second, s.l.client.command(context.Background(), s.binary, "discover", "--json"))
	if err != nil || code != 0 {
		t.Fatalf("reach64 discover: exit code %d, %v: %s", code, err, out.stderr)
	}
	var doc struct {
		Result struct {
			Candidates []struct{ Prefix, Source string } `json:"candidates"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(out.stdout), &doc); err != nil {
		t.Fatalf("reach64 discover: %v: %s", err, out.stdout)
	}
	want := struct{ Prefix, Source string }{prefix, source}
	if !slices.Contains(doc.Result.Candidates, want) {
		t.Errorf("reach64 discover: got %v, want %v among them\n%s", doc.Result.Candidates, want, strings.TrimSpace(out.stdout))
	}
}
