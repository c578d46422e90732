package relay

import (
	"errors"
	"io"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// mostRead is how many bytes are taken from a server at a time: one super-packet
// with its headers.
const mostRead = 65535 - 120

// down carries what the server sends, and says why it ended.
func (f *tcpFlow) down() event {
	entry, room := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&entry)
	defer f.queue.EventUnregister(&entry)
	p := &downPump{flow: f, room: room}
	return f.pump(&p.why, func() error { return f.stream.ReadReady(p.move) }, flowResetByServer)
}

// up carries what the host sends, and says why it ended.
func (f *tcpFlow) up() event {
	entry, data := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&entry)
	defer f.queue.EventUnregister(&entry)
	p := &upPump{flow: f, data: data}
	return f.pump(&p.why, func() error { return f.stream.WriteReady(p.move) }, flowResetByServer)
}

// pump runs one direction. *why is set by what it runs when that ends by itself.
func (f *tcpFlow) pump(why *event, run func() error, reset event) event {
	for {
		err := run()
		switch {
		case err == nil:
			return *why
		case f.broken():
			return flowResetByHost
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Woken by a reset that was none: wait again.
			_ = f.conn.SetDeadline(time.Time{})
		default:
			if c := causeOf(err); c.event != flowEnded {
				return c.event
			}
			return flowFailed // closed by the other direction, whose reason counts
		}
	}
}

// downPump is what down owns.
type downPump struct {
	flow *tcpFlow
	room <-chan struct{} // the host's side may take more, or is gone
	src  source
	one  [64]byte // read into when it is not known whether there is anything
	why  event
}

// move moves what there is from r to the host; see Stream.
func (p *downPump) move(r io.Reader) (done bool) {
	counted, _ := r.(interface{ Len() int })
	for {
		p.src = source{r: r}
		if counted != nil {
			p.src.n = min(counted.Len(), mostRead)
		}
		if p.src.n == 0 {
			n, err := r.Read(p.one[:])
			switch {
			case errors.Is(err, io.ErrNoProgress):
				return false
			case err != nil:
				return p.end(err)
			}
			p.src.some = p.one[:n]
		}
		if err := p.write(); err != nil {
			return p.end(err)
		}
	}
}

// write gives the host's side what src has, as soon as that has room.
func (p *downPump) write() error {
	for p.src.Len() > 0 {
		n, err := p.flow.ep.Write(&p.src, tcpip.WriteOptions{})
		if n > 0 {
			p.flow.relay.stats.bytes6to4.Add(uint64(n))
		}
		switch err.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			<-p.room
		case *tcpip.ErrBadBuffer:
			return p.src.err
		default:
			return errHost
		}
	}
	return nil
}

// end says why the direction ended.
func (p *downPump) end(err error) (done bool) {
	switch {
	case errors.Is(err, errHost):
		p.why = flowResetByHost
	case !errors.Is(err, io.EOF):
		p.why = causeOf(err).event
	case p.flow.ep.Shutdown(tcpip.ShutdownWrite) != nil:
		p.why = flowResetByHost
	default:
		p.why = flowEnded
	}
	return true
}

var errHost = errors.New("the host's side is closed")

// source is what the host's side takes, straight from the server's socket where
// it is known how much is there. It implements tcpip.Payloader, which has to give
// as much as it has said.
type source struct {
	r    io.Reader
	n    int // bytes that r has for sure
	some []byte
	err  error
}

// Len implements tcpip.Payloader.
func (s *source) Len() int { return s.n + len(s.some) }

// Read implements tcpip.Payloader.
func (s *source) Read(b []byte) (n int, err error) {
	switch {
	case len(b) == 0:
		return 0, nil
	case len(s.some) > 0:
		n = copy(b, s.some)
		s.some = s.some[n:]
		return n, nil
	case s.n == 0:
		return 0, io.EOF
	}
	n, s.err = s.r.Read(b[:min(len(b), s.n)])
	if s.n -= n; n > 0 {
		s.err = nil
	}
	return n, s.err
}

// upPump is what up owns.
type upPump struct {
	flow *tcpFlow
	data <-chan struct{} // the host's side may have data, or is gone
	dst  sink
	why  event
}

// move moves what there is from the host to w; see Stream.
func (p *upPump) move(w io.Writer) (done bool) {
	for {
		p.dst = sink{w: w}
		res, err := p.flow.ep.Read(&p.dst, tcpip.ReadOptions{})
		if res.Count > 0 {
			p.flow.relay.stats.bytes4to6.Add(uint64(res.Count))
		}
		switch err.(type) {
		case nil, *tcpip.ErrBadBuffer: // the latter: nothing was written, see dst.err
			switch {
			case errors.Is(p.dst.err, io.ErrShortWrite):
				return false
			case p.dst.err != nil:
				p.why = causeOf(p.dst.err).event
				return true
			}
		case *tcpip.ErrWouldBlock:
			if f, ok := w.(flusher); ok && f.Flush() != nil {
				return false // WriteReady knows the error
			}
			<-p.data
		case *tcpip.ErrClosedForReceive:
			if f, ok := w.(flusher); ok && f.Flush() != nil {
				return false
			}
			p.why = flowEnded
			if c, ok := p.flow.conn.(interface{ CloseWrite() error }); !ok {
				p.why = flowFailed
			} else if err := c.CloseWrite(); err != nil {
				p.why = causeOf(err).event
			}
			return true
		default:
			p.why = flowResetByHost
			return true
		}
	}
}

// flusher is a writer that keeps data until it is full.
type flusher interface{ Flush() error }

// sink is w, and keeps its error.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(b []byte) (n int, err error) {
	n, s.err = s.w.Write(b)
	return n, s.err
}
