package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/ipv6"
)

// Serve serves TCP and UDP on addr ("[::]:7000") until ctx ends. UDP datagrams are
// taken and forgotten, apart from those that begin with echo, which go back: the
// counters of the namespace tell how many came. It owns a goroutine per
// connection and waits for them.
func Serve(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp6", addr)
	if err != nil {
		return fmt.Errorf("serve load: %w", err)
	}
	pc, err := lc.ListenPacket(ctx, "udp6", addr)
	if err != nil {
		_ = l.Close()
		return fmt.Errorf("serve load: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _, _ = l.Close(), pc.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { sink(pc) })
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("serve load: %w", err)
		}
		all.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			defer conn.Close()
			_ = serve(conn.(*net.TCPConn)) // the client sees it
		})
	}
}

// serve does what one connection asks for.
func serve(conn *net.TCPConn) error {
	var head [requestSize]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	r, err := parseRequest(head[:])
	if err != nil {
		return err
	}
	switch r.mode {
	case echo:
		var b [1]byte
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return err
		}
		_, err = conn.Write(b[:])
		return err
	case download:
		return give(conn, time.Now().Add(r.long), float64(r.rate))
	}
	n, err := take(conn, time.Now().Add(r.long))
	if err != nil {
		return err
	}
	_, err = conn.Write(binary.BigEndian.AppendUint64(nil, n))
	return err
}

// take reads until the end of the stream and counts what came before until.
func take(conn *net.TCPConn, until time.Time) (n uint64, err error) {
	buf := make([]byte, bufSize)
	for {
		k, err := conn.Read(buf)
		if k > 0 && time.Now().Before(until) {
			n += uint64(k)
		}
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// give writes until then, at most rate bytes a second, 0 for no limit.
func give(conn *net.TCPConn, until time.Time, rate float64) error {
	buf := make([]byte, bufSize)
	if rate > 0 {
		buf = buf[:min(bufSize, max(1460, int(rate/200)))] // some five milliseconds' worth
	}
	begin, sent := time.Now(), uint64(0)
	for time.Now().Before(until) {
		pause(begin, sent, rate)
		_ = conn.SetWriteDeadline(until)
		n, err := conn.Write(buf)
		sent += uint64(n)
		if err != nil {
			if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
				return nil
			}
			return err
		}
	}
	return nil
}

// sink takes datagrams. Those that begin with echo go back, from the address that
// they were sent to.
func sink(pc net.PacketConn) {
	_ = pc.(*net.UDPConn).SetReadBuffer(4 << 20)
	p := ipv6.NewPacketConn(pc)
	_ = p.SetControlMessage(ipv6.FlagDst, true) // without it the system chooses the address
	batch := make([]ipv6.Message, 64)
	for i := range batch {
		batch[i].Buffers = [][]byte{make([]byte, maxDatagram)}
		batch[i].OOB = ipv6.NewControlMessage(ipv6.FlagDst)
	}
	for {
		n, err := p.ReadBatch(batch, 0)
		if err != nil {
			return
		}
		for _, m := range batch[:n] {
			b := m.Buffers[0][:m.N]
			if m.N == 0 || b[0] != byte(echo) {
				continue
			}
			var cm ipv6.ControlMessage
			if cm.Parse(m.OOB[:m.NN]) != nil || cm.Dst == nil {
				_, _ = pc.WriteTo(b, m.Addr)
			} else {
				_, _ = p.WriteTo(b, &ipv6.ControlMessage{Src: cm.Dst}, m.Addr)
			}
		}
	}
}
