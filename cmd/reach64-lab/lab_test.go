package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
)

// asEnv makes the test binary play another part: it runs itself in the network
// namespaces of the lab.
const asEnv = "REACH64_LAB_AS"

func TestMain(m *testing.M) {
	parts := map[string]func(args []string) error{"lab": beLab, "server": beServer, "client": beClient}
	if part, ok := parts[os.Getenv(asEnv)]; ok {
		if err := part(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// transferred is how many bytes go each way.
const transferred = 20 << 20

// data is what the server sends and expects.
func data() io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{64}), transferred)
}

func hashOf(r io.Reader) string {
	h := sha256.New()
	io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil))
}

func beLab(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if code := run(ctx, args, os.Stdout); code != exitOK {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

// beServer sends data to each TCP client, then answers with the hash of what the
// client sent; and echoes UDP. It ends when it is killed.
func beServer([]string) error {
	l, err := net.Listen("tcp4", "198.51.100.10:443")
	if err != nil {
		return err
	}
	u, err := net.ListenPacket("udp4", "198.51.100.10:7")
	if err != nil {
		return err
	}
	go func() {
		for buf := make([]byte, 65536); ; {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			u.WriteTo(buf[:n], from)
		}
	}()
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			io.Copy(c, data())
			io.WriteString(c, hashOf(c)) // ends with the client's half-close
		}()
	}
}

// beClient does one thing and reports errors: tcp, refused, silent, udp, ping, noping.
func beClient(args []string) error {
	const server = "64:ff9b::198.51.100.10"
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	switch args[0] {
	case "tcp":
		return exchange(dialer, "["+server+"]:443")
	case "refused":
		if _, err := dialer.Dial("tcp", "["+server+"]:444"); !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("dial port 444: %v, want connection refused", err)
		}
		return nil
	case "silent":
		var late net.Error
		if _, err := dialer.Dial("tcp", "["+server+"]:443"); !errors.As(err, &late) || !late.Timeout() {
			return fmt.Errorf("dial: %v, want a time-out", err)
		}
		return nil
	case "udp":
		return udpEcho(dialer, "["+server+"]:7")
	case "ping":
		return ping(server, 5*time.Second)
	case "noping":
		if ping("64:ff9b::198.51.100.99", 2*time.Second) == nil {
			return errors.New("a reply from a machine that does not exist")
		}
		return nil
	}
	return fmt.Errorf("no part %q", args[0])
}

// exchange loads and sends data at once over one connection and compares hashes.
func exchange(d *net.Dialer, addr string) error {
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	want, begin := hashOf(data()), time.Now()
	if got := hashOf(io.LimitReader(c, transferred)); got != want {
		return fmt.Errorf("received data has hash %s, want %s", got, want)
	}
	down := time.Since(begin)
	begin = time.Now()
	if _, err := io.Copy(c, data()); err != nil {
		return err
	}
	c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != want {
		return fmt.Errorf("the server received data with hash %q, %v, want %s", got, err, want)
	}
	up := time.Since(begin)
	fmt.Printf("%d MiB: down %.0f MB/s, up %.0f MB/s\n", transferred>>20, transferred/1e6/down.Seconds(), transferred/1e6/up.Seconds())
	return nil
}

// udpEcho sends datagrams of several sizes; the last is fragmented both ways.
func udpEcho(d *net.Dialer, addr string) error {
	c, err := d.Dial("udp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	for _, size := range []int{1, 1400, 5000} {
		want := strings.Repeat("u", size)
		buf := make([]byte, 65536)
		io.WriteString(c, want)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
			return fmt.Errorf("echo of %d bytes: %d, %v", size, n, err)
		}
	}
	return nil
}

func ping(addr string, limit time.Duration) error {
	c, err := net.DialTimeout("ip6:ipv6-icmp", addr, limit)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	payload := binary.BigEndian.AppendUint64(nil, 0x6464)
	msg, err := (&icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: 7, Seq: 9, Data: payload}}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := c.Write(msg); err != nil { // the kernel fills in the checksum
		return err
	}
	for buf := make([]byte, 2000); ; {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		if n == len(msg) && buf[0] == 129 && string(buf[4:n]) == string(msg[4:]) {
			return nil
		}
	}
}

// lab is three namespaces: client (eth0) - lan, router, wan - server (eth0).
type lab struct {
	*testing.T
	name string
}

func newLab(t *testing.T) *lab {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip from iproute2")
	}
	l := &lab{t, fmt.Sprintf("r64lab%d", os.Getpid())}
	for _, ns := range []string{"c", "r", "s"} {
		l.ip("netns add " + l.name + ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", l.name+ns).Run() })
	}
	for _, cmd := range []string{
		"-n %[1]sr link add lan type veth peer name eth0 netns %[1]sc", "-n %[1]sr link add wan type veth peer name eth0 netns %[1]ss",
		"-n %[1]sr link set lan addrgenmode none", // the kernel stays quiet on the lab's link
		"-n %[1]sr addr add 198.51.100.1/24 dev wan", "-n %[1]ss addr add 198.51.100.10/24 dev eth0",
		"-n %[1]sr link set wan up", "-n %[1]ss link set eth0 up", "-n %[1]sr link set lan up", "-n %[1]sc link set eth0 up",
	} {
		l.ip(fmt.Sprintf(cmd, l.name))
	}
	return l
}

func (l *lab) ip(args string) string {
	l.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		l.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

// command is this test binary in another part and namespace.
func (l *lab) command(ns, part string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		l.Fatal(err)
	}
	c := exec.Command("ip", append([]string{"netns", "exec", l.name + ns, self}, args...)...)
	c.Env = append(os.Environ(), asEnv+"="+part)
	c.Stderr = os.Stderr
	return c
}

// start runs a part that says "ready", and returns a function that ends it with
// SIGTERM and tells how it ended.
func (l *lab) start(ns, part string, args ...string) func() error {
	l.Helper()
	c := l.command(ns, part, args...)
	out, err := c.StdoutPipe()
	if err != nil {
		l.Fatal(err)
	}
	if err := c.Start(); err != nil {
		l.Fatal(err)
	}
	ended := false
	stop := func() error {
		ended = true
		c.Process.Signal(syscall.SIGTERM) // ip has become the part
		return c.Wait()
	}
	l.Cleanup(func() {
		if !ended {
			stop()
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		l.Fatalf("%s said %q, %v, want ready", part, line, err)
	}
	return stop
}

// client runs one thing in the client's namespace.
func (l *lab) client(what string) {
	l.Helper()
	out, err := l.command("c", "client", what).Output()
	if err != nil {
		l.Errorf("client %s: %v", what, err)
	}
	if len(out) > 0 {
		l.Logf("%s: %s", what, strings.TrimSpace(string(out)))
	}
}

// TestKernelClient: a Linux client behind a veth with all offloads on, as a
// kernel has them by default.
func TestKernelClient(t *testing.T) {
	l := newLab(t)
	l.start("s", "server")
	control := filepath.Join(t.TempDir(), "s")
	stop := l.start("r", "lab", "router", "--link", "lan", "--control", control, "--ra-interval", "1s")
	for end := time.Now().Add(15 * time.Second); ; <-time.After(50 * time.Millisecond) {
		addrs := l.ip("-n " + l.name + "c -6 addr show dev eth0 scope global -tentative")
		routes := l.ip("-n " + l.name + "c -6 route show default")
		if strings.Contains(addrs, "2001:db8:1:") && strings.Contains(routes, "via fe80::5eff:fe00:6401 dev eth0 proto ra") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no address by SLAAC or no route: %s%s", addrs, routes)
		}
	}
	for _, what := range []string{"tcp", "refused", "udp", "ping", "noping"} {
		l.client(what)
	}
	say := func(line string) string {
		c, err := net.Dial("unix", control)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, line+"\n")
		answer, _ := bufio.NewReader(c).ReadString('\n')
		return answer
	}
	if got := say("nat64 off"); got != "ok\n" {
		t.Errorf("nat64 off: %q", got)
	}
	l.client("silent")
	say("nat64 on")
	l.client("refused")
	if got := say("counters"); !strings.Contains(got, " tcp=1 tcp-failed=2 udp=1 echo=2 echo-reply=1 ") {
		t.Errorf("counters %q", got)
	}
	if err := stop(); err != nil {
		t.Errorf("the lab ended with %v, want exit code 0 on SIGTERM", err)
	}
	// Its last advertisement took the route away.
	for end := time.Now().Add(5 * time.Second); l.ip("-n "+l.name+"c -6 route show default") != ""; <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the default route is still there")
		}
	}
}
