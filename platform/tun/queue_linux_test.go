package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reach64/reach64/platform"
	"github.com/reach64/reach64/tunnel/vnethdr"
)

// queuesUp opens a device with queues queues and gives it the tests' addresses.
func queuesUp(t *testing.T, queues int) *Device {
	t.Helper()
	d, err := OpenQueues("clat%d", queues)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	up(t, d)
	return d
}

// got is a datagram of one of the flows: its queue, and what the sender put in.
type got struct {
	queue     int
	flow, seq uint32
}

// drain reads all queues until n datagrams to port came, in the order of each queue.
func drain(t *testing.T, d *Device, n int, port uint16) []got {
	t.Helper()
	came := make(chan []got, len(d.Queues()))
	all := make(chan got, n+len(d.Queues())*8)
	for i, q := range d.Queues() {
		go func() {
			var mine []got
			defer func() { came <- mine }()
			buf, into := make([]byte, 3*BatchRoom), make([]vnethdr.Packet, 16)
			for {
				k, err := q.ReadBatch(buf, into)
				if err != nil {
					return
				}
				for _, p := range into[:k] {
					head := 40
					if p.Data[0]>>4 == 4 {
						head = 20
					}
					if len(p.Data) < head+16 || binary.BigEndian.Uint16(p.Data[head+2:]) != port {
						continue
					}
					body := p.Data[head+8:]
					g := got{i, binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])}
					mine = append(mine, g)
					all <- g
				}
			}
		}()
	}
	limit := time.After(20 * time.Second)
	for i := range n {
		select {
		case <-all:
		case <-limit:
			t.Errorf("%d of %d datagrams came", i, n)
			n = 0
		}
		if n == 0 {
			break
		}
	}
	d.Close()
	var list []got
	for range d.Queues() {
		list = append(list, <-came...)
	}
	return list
}

// TestFlowStaysOnOneQueue: many flows of either family are spread over the queues,
// and each keeps its order.
func TestFlowStaysOnOneQueue(t *testing.T) {
	const flows, each, port = 32, 20, 4711
	for _, peer := range []string{"192.0.2.2", "2001:db8::2"} {
		t.Run(peer, func(t *testing.T) {
			inNamespace(t, func(t *testing.T) {
				d := queuesUp(t, 4)
				to := netip.AddrPortFrom(netip.MustParseAddr(peer), port)
				var sockets []*net.UDPConn
				for range flows {
					c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					sockets = append(sockets, c)
				}
				for seq := range uint32(each) {
					for flow, c := range sockets {
						b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(flow)), seq)
						if _, err := c.Write(b); err != nil {
							t.Fatal(err)
						}
					}
				}
				queue, next, used := map[uint32]int{}, map[uint32]uint32{}, map[int]int{}
				for _, g := range drain(t, d, flows*each, port) {
					if g.seq == 0 {
						queue[g.flow] = g.queue
						used[g.queue]++
					}
					if g.queue != queue[g.flow] || g.seq != next[g.flow] {
						t.Errorf("flow %d: datagram %d came out of queue %d, want %d out of %d", g.flow, g.seq, g.queue, next[g.flow], queue[g.flow])
					}
					next[g.flow] = g.seq + 1
				}
				if len(used) < 2 {
					t.Errorf("flows by queue: %v, want them spread", used)
				}
			})
		})
	}
}

// TestPacketsOfAllKindsChooseAQueue: none is lost for want of ports.
func TestPacketsOfAllKindsChooseAQueue(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		d := queuesUp(t, 3)
		raw, err := net.Dial("ip4:254", "192.0.2.2")
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		big, err := net.Dial("udp", "192.0.2.2:4711") // in fragments
		if err != nil {
			t.Fatal(err)
		}
		defer big.Close()
		for _, write := range []func() error{
			func() error { _, err := raw.Write(nil); return err },
			func() error { _, err := raw.Write([]byte{1}); return err },
			func() error { _, err := big.Write(make([]byte, 4000)); return err },
		} {
			if err := write(); err != nil {
				t.Error(err)
			}
		}
		sizes := make(chan int, 16)
		for _, q := range d.Queues() {
			go func() {
				buf := make([]byte, MaxPacket)
				for {
					_, n, err := q.ReadPacket(buf)
					if err != nil {
						sizes <- -1
						return
					}
					sizes <- n
				}
			}()
		}
		var came []int
		limit := time.After(10 * time.Second)
		for len(came) < 5 {
			select {
			case n := <-sizes:
				came = append(came, n)
			case <-limit:
				t.Fatalf("packets of %v bytes came, want five", came)
			}
		}
		d.Close()
		for range d.Queues() {
			<-sizes
		}
		slices.Sort(came)
		if want := []int{20, 21, 1068, 1500, 1500}; !slices.Equal(came, want) {
			t.Errorf("packets of %v bytes came, want %v", came, want)
		}
	})
}

func TestBatchTakesWhatIsThere(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		d := queuesUp(t, 1)
		q := d.Queues()[0]
		for _, c := range []struct{ waiting, room, packets, want int }{
			{1, 2 * BatchRoom, 8, 1}, {5, 2 * BatchRoom, 8, 5}, {5, 2 * BatchRoom, 3, 3}, {2, BatchRoom, 8, 1},
		} {
			for i := range c.waiting {
				ask := echoRequest()
				ask[47] = byte(i) // the sequence number
				binary.BigEndian.PutUint16(ask[42:], 0)
				binary.BigEndian.PutUint16(ask[42:], ^sum(uint32(len(ask)-40)+unix.IPPROTO_ICMPV6, ask[8:40], ask[40:]))
				if err := q.WritePacket(vnethdr.Header{}, ask, nil); err != nil {
					t.Fatal(err)
				}
			}
			into := make([]vnethdr.Packet, c.packets)
			for read := 0; read < c.waiting; {
				n, err := q.ReadBatch(make([]byte, c.room), into)
				if err != nil {
					t.Fatal(err)
				}
				if read == 0 && n != c.want {
					t.Errorf("%+v: %d packets at once", c, n)
				}
				for i, p := range into[:n] {
					if len(p.Data) != 52 || p.Data[40] != 129 || p.Data[47] != byte(read+i) {
						t.Errorf("%+v: packet %d is % x, want the echo reply with this number", c, read+i, p.Data)
					}
				}
				read += n
			}
		}
	})
}

func TestBatchWithoutRoom(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		q := mustOpen(t, "clat0").Queues()[0]
		for _, c := range []struct{ room, packets int }{{BatchRoom - 1, 1}, {BatchRoom, 0}} {
			if _, err := q.ReadBatch(make([]byte, c.room), make([]vnethdr.Packet, c.packets)); !errors.Is(err, io.ErrShortBuffer) {
				t.Errorf("%+v: error %v, want io.ErrShortBuffer", c, err)
			}
		}
	})
}

func TestPacketOfManyParts(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		d := queuesUp(t, 2)
		ask := echoRequest()
		var parts [][]byte
		for i := range ask {
			parts = append(parts, ask[i:i+1], nil)
		}
		if err := d.Queues()[1].WriteParts(vnethdr.Header{}, parts[:MaxParts+1]); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%d parts: error %v, want EINVAL", MaxParts+1, err)
		}
		if err := d.Queues()[1].WriteParts(vnethdr.Header{}, parts); err != nil { // 104 of them
			t.Fatal(err)
		}
		replies := make(chan error, 2)
		for _, q := range d.Queues() {
			go func() {
				buf := make([]byte, MaxPacket)
				_, n, err := q.ReadPacket(buf)
				if err == nil && (n != len(ask) || buf[40] != 129) {
					err = fmt.Errorf("% x is no echo reply", buf[:n])
				}
				replies <- err
			}()
		}
		if err := <-replies; err != nil {
			t.Error(err)
		}
		d.Close()
		<-replies
	})
}

func TestNoAllocationPerBatch(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		q := queuesUp(t, 1).Queues()[0]
		ask, buf, into := echoRequest(), make([]byte, 4*BatchRoom), make([]vnethdr.Packet, 8)
		parts := [][]byte{ask[:40], ask[40:44], ask[44:]}
		trip := func() {
			for range 3 {
				if err := q.WriteParts(vnethdr.Header{}, parts); err != nil {
					t.Error(err)
				}
			}
			for n := 0; n < 3; {
				k, err := q.ReadBatch(buf, into)
				if err != nil {
					t.Fatal(err)
				}
				n += k
			}
		}
		if got := testing.AllocsPerRun(200, trip); got != 0 {
			t.Errorf("%v allocations for three writes and a batch, want 0", got)
		}
	})
}

// TestQueueDoesNotFollowWrites: where the answers of a flow are written does not move
// it, as it would if the kernel were left to choose.
func TestQueueDoesNotFollowWrites(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		d := queuesUp(t, 4)
		c, err := net.Dial("udp", "[2001:db8::2]:4711")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		local := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		answer := binary.BigEndian.AppendUint16([]byte{4711 >> 8, 4711 & 0xff}, local)
		answer = ipv6(unix.IPPROTO_UDP, 6, append(answer, 0, 9, 0, 0, 'a'))
		for seq := range uint32(8) {
			if _, err := c.Write(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0}, seq)); err != nil {
				t.Fatal(err)
			}
			q := d.Queues()[seq%4]
			if err := q.WritePacket(vnethdr.Header{}, answer, nil); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 9)); err != nil || n != 1 {
				t.Fatalf("answer %d: %d bytes, %v", seq, n, err)
			}
		}
		list := drain(t, d, 8, 4711)
		for _, g := range list {
			if g.queue != list[0].queue {
				t.Errorf("datagram %d came out of queue %d, the first out of %d", g.seq, g.queue, list[0].queue)
			}
		}
	})
}

func TestNoAllocationPerPacket(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		d := mustOpen(t, "clat0")
		up(t, d)
		ask, buf := echoRequest(), make([]byte, MaxPacket)
		trip := func() {
			if err := d.WritePacket(vnethdr.Header{}, ask[:40], ask[40:]); err != nil {
				t.Error(err)
			}
			if _, _, err := d.ReadPacket(buf); err != nil {
				t.Error(err)
			}
		}
		if got := testing.AllocsPerRun(200, trip); got != 0 {
			t.Errorf("%v allocations for one write and one read, want 0", got)
		}
	})
}

// TestAttendingThreadComesFirst: it is in a class of real time, and says so when it may
// not be.
func TestAttendingThreadComesFirst(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		q := mustOpen(t, "clat0").Queues()[0]
		class := func() (uint32, error) {
			attr, err := unix.SchedGetAttr(0, 0)
			if err != nil {
				return 0, err
			}
			return attr.Policy, nil
		}
		type result struct {
			err   error
			class uint32
		}
		for _, allowed := range []bool{true, false} {
			done := make(chan result)
			go func() {
				runtime.LockOSThread() // it ends with its capabilities
				if !allowed {
					hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
					var none [2]unix.CapUserData
					if err := unix.Capset(&hdr, &none[0]); err != nil {
						done <- result{err: err}
						return
					}
				}
				err := q.Attend()
				got, _ := class()
				done <- result{err, got}
			}()
			r := <-done
			var denied *platform.PermissionError
			switch {
			case allowed && errors.Is(r.err, unix.EPERM):
				t.Log("this system allows no real time to root")
			case allowed && (r.err != nil || r.class != unix.SCHED_RR):
				t.Errorf("error %v, class %d, want SCHED_RR", r.err, r.class)
			case !allowed && (!errors.As(r.err, &denied) || denied.Need != "CAP_SYS_NICE" || r.class != unix.SCHED_NORMAL):
				t.Errorf("without capabilities: error %v, class %d, want one that names CAP_SYS_NICE", r.err, r.class)
			}
		}
	})
}
