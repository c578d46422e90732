package netns

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// TestCapture: both sides of the translator in one file, with the verdict on what
// goes in, as another's reader sees it, and tshark where it is.
func TestCapture(t *testing.T) {
	need(t, "setpriv")
	l, _ := ready(t)
	l.openToAll()
	s := l.service(documentation, "[path]\ndatapath = \"tun\"\n").start()
	s.up()
	file := l.file("both.pcapng")
	done := l.client.start("capture", s.binary, "capture", "--for", "3s", "--out", file, "--snap", "200", "--socket", s.socket)
	eventually(t, 5*time.Second, "the capture has begun", func() error {
		if parts, _ := os.ReadDir(l.tmp); !strings.Contains(names(parts), "both.pcapng.") {
			return errRunning
		}
		return nil
	})
	if _, err := l.ping("-s", "500"); err != nil {
		t.Error(err)
	}
	if out, err := l.curl(5*time.Second, l.url("/5000")); err != nil {
		t.Errorf("curl: %v %s", err, out)
	}
	<-done.done
	if !strings.Contains(done.output(), "packets in "+file) {
		t.Fatalf("capture: %s", done.output())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for {
		data, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		p := gopacket.NewPacket(data, layers.LinkTypeRaw, gopacket.Default)
		ifi, err := r.Interface(ci.InterfaceIndex)
		if err != nil || p.NetworkLayer() == nil || len(data) > 200 {
			t.Fatalf("packet %v of %+v, %v", p, ifi, err)
		}
		seen[ifi.Name+" "+p.NetworkLayer().LayerType().String()]++
	}
	if seen["clat0 IPv4"] < 6 || seen["eth0 IPv6"] < 6 || len(seen) != 2 {
		t.Errorf("packets seen: %v", seen)
	}
	for _, verdict := range []string{"reach64: 4to6 translated", "reach64: 6to4 translated"} {
		if n := strings.Count(string(b), verdict); n < 6 {
			t.Errorf("%d comments %q", n, verdict)
		}
	}
	if tshark, err := exec.LookPath("tshark"); err == nil {
		out, code, err := runFor(30*time.Second, exec.Command(tshark, "-r", file, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment", "-e", "_ws.col.Protocol"))
		if err != nil || code != 0 || !strings.Contains(out.stdout, "clat0\treach64: 4to6 translated") || !strings.Contains(out.stdout, "eth0\treach64: 6to4 translated") {
			t.Errorf("tshark: exit code %d, %v\n%.2000s%s", code, err, out.stdout, out.stderr)
		}
		lines := strings.SplitAfterN(out.stdout, "\n", 7)
		t.Logf("tshark reads %d packets:\n%s", strings.Count(out.stdout, "\n"), strings.Join(lines[:min(6, len(lines))], ""))
	} else if os.Getenv("REACH64_REQUIRE") == "all" {
		t.Error("REACH64_REQUIRE=all, but tshark is missing")
	}
	out, code, err := runFor(10*time.Second, l.client.command(context.Background(), "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", s.binary, "capture", "--out", "/dev/null", "--socket", s.socket))
	if err != nil || code != 4 || !strings.Contains(out.stderr, "CAP_NET_RAW") {
		t.Errorf("as nobody: exit code %d, want 4, %v: %s", code, err, out.stderr)
	}
}

func names(entries []os.DirEntry) (out string) {
	for _, e := range entries {
		out += e.Name() + " "
	}
	return out
}
