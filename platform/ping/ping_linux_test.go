package ping

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inNamespace puts the test's thread into a new network namespace with the loopback
// link up.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("REACH64_REQUIRE") == "all" {
			t.Fatal("required, but needs root for network namespaces")
		}
		t.Skip("needs root for network namespaces")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test's goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestEchoOverTheLoopbackLink(t *testing.T) {
	inNamespace(t)
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !c.SeesErrors() || !c.Whole() {
		t.Errorf("as root: sees errors %v, sends whole packets %v", c.SeesErrors(), c.Whole())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	requests := []Request{{Size: MinSize}, {Size: 1280}, {Size: 9000, Hops: 3}}
	answers, err := c.Ask(ctx, netip.IPv6Loopback(), requests, nil)
	if err != nil || len(answers) != len(requests) {
		t.Fatalf("answers %+v, %v", answers, err)
	}
	for _, a := range answers {
		if a.Kind != Reply || a.From != netip.IPv6Loopback() || a.Took <= 0 {
			t.Errorf("answer %+v", a)
		}
	}
	answers, err = c.Ask(ctx, netip.IPv6Loopback(), requests, func(a Answer) bool { return a.Size == MinSize })
	if err != nil || len(answers) == 0 || answers[len(answers)-1].Size != MinSize {
		t.Errorf("did not stop when it had enough: %+v, %v", answers, err)
	}
}

// TestLateAnswersAreNobodyElses: answers that nobody waited for lie ready when the next
// questions are asked, which nobody answers.
func TestLateAnswersAreNobodyElses(t *testing.T) {
	inNamespace(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	give := func(l netlink.Link, text string) *netlink.Addr {
		t.Helper()
		a, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(l, a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	there := give(lo, "2001:db8::1/128")
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to, requests := netip.MustParseAddr("2001:db8::1"), []Request{{Size: 64}, {Size: 65}, {Size: 66}}
	var first []Answer
	for tries := 0; len(first) == 0; tries++ { // the kernel takes an address into use in its own time
		if tries == 50 {
			t.Fatalf("no answer from %s: %v", to, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		first, err = c.Ask(ctx, to, requests, func(Answer) bool { return true })
		cancel()
	}
	// From here on all goes into a link that swallows it.
	if err := netlink.AddrDel(lo, there); err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "hole"
	hole := &netlink.Veth{LinkAttrs: attrs, PeerName: "nobody"}
	if err := netlink.LinkAdd(hole); err != nil {
		t.Fatal(err)
	}
	nobody, err := netlink.LinkByName("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netlink.LinkSetARPOff(hole), netlink.LinkSetUp(hole), netlink.LinkSetUp(nobody)); err != nil {
		t.Fatal(err)
	}
	give(hole, "2001:db8::2/64")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if answers, err := c.Ask(ctx, to, requests, nil); err != nil || len(answers) != 0 {
		t.Errorf("answers %+v, %v; want none", answers, err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	inNamespace(t)
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Ask(t.Context(), netip.MustParseAddr("2001:db8::1"), []Request{{Size: 64}}, nil); err == nil {
		t.Error("no error without a route")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	answers, err := c.Ask(ctx, netip.IPv6Loopback(), []Request{{Size: 64}, {Size: 70000}}, nil) // the second is too big to be sent
	if err != nil || len(answers) != 1 {
		t.Errorf("answers %+v, %v; want the one that could be sent", answers, err)
	}
}
