package netmon

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
	"unsafe"

	"github.com/sirupsen/logrus"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"
)

// The sizes and offsets of iptypes.h and netioapi.h for what the snapshot reads, the same
// on both 64-bit processors: the compiler refuses others.
var (
	_ [448]byte = [unsafe.Sizeof(winipcfg.IPAdapterAddresses{})]byte{}
	_ [24]byte  = [unsafe.Offsetof(winipcfg.IPAdapterAddresses{}.FirstUnicastAddress)]byte{}
	_ [104]byte = [unsafe.Sizeof(winipcfg.MibIPforwardRow2{})]byte{}
	_ [168]byte = [unsafe.Sizeof(winipcfg.MibIPInterfaceRow{})]byte{}
)

// TestSnapshotAgreesWithPackageNet reads the real state of this machine.
func TestSnapshotAgreesWithPackageNet(t *testing.T) {
	m, err := New(logrus.New())
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(links) == 0 {
		t.Fatal("package net finds no link")
	}
	for _, want := range links {
		got, ok := s.LinkByName(want.Name)
		if !ok || got.Index != want.Index || got.Loopback != (want.Flags&net.FlagLoopback != 0) {
			t.Errorf("link %+v, %v, want %+v", got, ok, want)
		}
		addrs, err := want.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Addrs) != len(addrs) {
			t.Errorf("%s: addresses %v, want %v", want.Name, got.Addrs, addrs)
		}
	}
}

func TestWatchBeginsAndEnds(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	m, err := New(log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	select {
	case <-m.Changed():
	case err := <-done:
		t.Fatalf("watch ended: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("the begin of the watch is not signalled")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
