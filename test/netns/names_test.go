package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// quietRadvd is radvd without RDNSS: name servers are known from the client's own files.
func (l *lab) quietRadvd() {
	l.t.Helper()
	conf := l.write("radvd.conf", "interface lan { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix "+lanPrefix+" {}; };\n")
	l.router.start("radvd", "radvd", "-n", "-C", conf, "-m", "stderr", "-p", l.file("radvd.pid"))
}

// playStub forwards questions from args[0] to args[1], as a local stub does.
func playStub(args []string) error {
	if len(args) != 2 {
		return errors.New("want two addresses")
	}
	c, err := net.ListenPacket("udp", args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for buf := make([]byte, 4096); ; {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		up, err := net.Dial("udp", args[1])
		if err != nil {
			continue
		}
		_ = up.SetDeadline(time.Now().Add(time.Second))
		if _, err := up.Write(buf[:n]); err == nil {
			if n, err := up.Read(buf); err == nil {
				_, _ = c.WriteTo(buf[:n], from)
			}
		}
		_ = up.Close()
	}
}

// TestNameServersThatComeLater: the network tells of its NAT64 by DNS alone, and the
// name server comes into resolv.conf after everything else, as a DHCP client's script
// writes it; by itself, or as a stub of this machine such as systemd-resolved.
func TestNameServersThatComeLater(t *testing.T) {
	for name, stub := range map[string]bool{"a server of the network": false, "a stub of this machine": true} {
		t.Run(name, func(t *testing.T) {
			need(t, "tayga", "radvd", "unbound")
			l := newLab(t, documentation)
			l.lan()
			l.tayga(ownPrefix)
			l.unbound(ownPrefix)
			l.quietRadvd()
			l.resolver("2001:db8:dead::53")
			l.online()
			s := l.service(serverName, "")
			s.start()
			s.waitStatus("the name server is silent", 40*time.Second, func(st status) bool { return st.Class == "broken-dns" || st.Reason == "sources-do-not-answer" })
			server := lanRouter
			if stub {
				server = "127.0.0.53"
				self, err := os.Executable()
				if err != nil {
					t.Fatal(err)
				}
				l.client.start("stub", "env", roleVariable+"=stub", self, "127.0.0.53:53", "["+lanRouter+"]:53").waitFor("ready")
			}
			begin := time.Now()
			l.resolver(server)
			st := s.waitStatus("the prefix is found", 20*time.Second, func(st status) bool { return deref(st.Prefix) == ownPrefix })
			t.Logf("prefix %v after the file was written, from %s", time.Since(begin).Round(time.Millisecond), deref(st.Source))
			s.up()
			l.works()
		})
	}
}

// TestVPNOfWgQuick: its default route stands in another table, which rules bring before
// the main one. reach64 stands down, and the servers' traffic stays in the tunnel.
func TestVPNOfWgQuick(t *testing.T) {
	l, s := ready(t)
	s.start().up()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	vpn := l.client.start("vpn", "env", roleVariable+"=vpn", self, "wg0")
	vpn.waitFor("ready")
	l.client.ip("addr add 10.9.0.2/32 dev wg0\n link set wg0 up\n route add default dev wg0 table 51820\n" +
		"rule add not fwmark 51820 table 51820 priority 32765\n rule add table main suppress_prefixlength 0 priority 32764")
	st := s.waitStatus("stands down for the VPN", 20*time.Second, func(st status) bool { return st.Path == "native" && st.CLAT == nil })
	if st.Class != "dual-stack" || !strings.Contains(st.Detail, "wg0, a tunnel") {
		t.Errorf("class %s, detail %q; want dual-stack and wg0", st.Class, st.Detail)
	}
	if out := l.client.must("ip", "-4", "route", "get", documentation); !strings.Contains(out, "dev wg0") {
		t.Errorf("the server's route: %s, want the tunnel", out)
	}
	l.client.ip("rule del priority 32765\n rule del priority 32764")
	if _, err := vpn.end(syscall.SIGTERM, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	s.up()
	s.stop()
}

// TestUsersMayLookAndNotChange: over the real socket.
func TestUsersMayLookAndNotChange(t *testing.T) {
	l, s := ready(t)
	need(t, "setpriv")
	s.start().up()
	as := func(code int, verb ...string) string {
		t.Helper()
		args := append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", s.binary}, append(verb, "--socket", s.socket)...)
		out, got, err := runFor(10*time.Second, l.client.command(t.Context(), "setpriv", args...))
		if err != nil || got != code {
			t.Errorf("reach64 %s as nobody: exit code %d, want %d (%v): %s", strings.Join(verb, " "), got, code, err, out.stderr)
		}
		return out.stderr
	}
	for _, dir := range []string{l.tmp, l.file("run")} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	as(0, "status")
	as(0, "metrics")
	for _, verb := range [][]string{{"pause"}, {"resume"}, {"reload"}, {"refresh"}, {"log-level", "debug"}} {
		if says := as(4, verb...); !strings.Contains(says, "only an administrator") {
			t.Errorf("%s: %s", verb, says)
		}
	}
	if st, err := s.status(); err != nil || !carries(st) {
		t.Errorf("after a user's tries: %v %s", err, st.text)
	}
}

// TestNAT64DiesWithoutAWord: packets get lost, nobody says anything, no traffic tells.
// The probe finds out within two of its intervals, and when it works again too.
func TestNAT64DiesWithoutAWord(t *testing.T) {
	l, _ := ready(t)
	s := l.service(documentation, "[probe]\ninterval = \"10s\"\ntimeout = \"2s\"\n")
	s.start().up()
	l.turn("nat64 off")
	begin := time.Now()
	st := s.waitStatus("the NAT64 is lost", 20*time.Second, func(st status) bool { return st.Reason == "server-does-not-answer" })
	t.Logf("noticed after %v with a probe every 10 s; exit code %d", time.Since(begin).Round(100*time.Millisecond), st.code)
	l.turn("nat64 on")
	begin = time.Now()
	s.waitStatus("the NAT64 works again", 20*time.Second, carries)
	t.Logf("again after %v", time.Since(begin).Round(100*time.Millisecond))
	l.works()
}
