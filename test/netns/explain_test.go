package netns

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
)

// TestExplainAServer: by its address and by its name, with the CLAT and without it.
func TestExplainAServer(t *testing.T) {
	l := realLab(t)
	s := l.service(documentation, "").start()
	st := s.up()
	here := func(code int, args ...string) string {
		t.Helper()
		out, got, err := runFor(20e9, l.client.command(t.Context(), s.binary, append([]string{"explain"}, args...)...))
		if err != nil || got != code {
			t.Errorf("explain %v: exit code %d, want %d, %v: %s", args, got, code, err, out.stderr)
		}
		return out.stdout
	}
	through := synthesized(ownPrefix, l.server4)
	text := here(0, documentation+":8443")
	t.Log(text)
	for _, want := range []string{"route    " + documentation + "/32 dev clat0", "path     clat: reach64's CLAT", "works    yes, TCP stands",
		st.CLAT.IPv4 + " -> " + documentation, st.CLAT.IPv6 + " -> " + through, "the NAT64's own address -> " + documentation} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in it", want)
		}
	}
	// unbound gives both records, and the CLAT makes both work.
	text = here(0, serverName+":8443")
	t.Log(text)
	if !strings.Contains(text, "is "+documentation+" through the network's NAT64 prefix") {
		t.Error("the address that DNS64 made is not explained")
	}
	s.stop()
	text = here(11, documentation)
	if !strings.Contains(text, "there is no route") {
		t.Errorf("without the CLAT: %s", text)
	}
	var doc struct {
		Result struct {
			Kind, Path, Prefix, Embedded, Route string
			Works                               *bool
			Packet                              []struct{ Where, Family, Source, Destination string }
		}
	}
	if err := json.Unmarshal([]byte(here(0, "--json", "--prefix", ownPrefix, net.JoinHostPort(through, "8443"))), &doc); err != nil {
		t.Fatal(err)
	}
	if r := doc.Result; r.Kind != "nat64" || r.Path != "synthesized" || r.Embedded != documentation || r.Works == nil || !*r.Works || len(r.Packet) != 2 || r.Packet[1].Family != "IPv4" {
		t.Errorf("explain %s: %+v", through, r)
	}
}
