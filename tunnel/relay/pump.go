package relay

import (
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// mostRead is how many bytes are taken from a server at a time: what the stack puts into
// one packet. One byte more, and it would send that in a packet of its own.
const mostRead = maxPacket - header.TCPTotalHeaderMaximumSize - 1

// failed says why a direction ends whose socket gave err; ended is false when it
// goes on.
func (f *tcpFlow) failed(err error) (why event, ended bool) {
	switch {
	case f.broken():
		return flowResetByHost, true
	case errors.Is(err, os.ErrDeadlineExceeded):
		// Woken by a reset that was none: wait again.
		_ = f.conn.SetDeadline(time.Time{})
		return 0, false
	}
	if c := causeOf(err); c.event != flowEnded {
		return c.event, true
	}
	return flowFailed, true // closed by the other direction, whose reason counts
}

// downPump carries what the server sends.
type downPump struct {
	flow *tcpFlow
	src  source
	one  [64]byte // read into when it is not known whether there is anything
	why  event
}

// run carries until the direction has ended, and says why.
func (p *downPump) run() event {
	move := p.move
	for {
		err := p.flow.stream.ReadReady(move)
		if err == nil {
			return p.why
		}
		if why, ended := p.flow.failed(err); ended {
			return why
		}
	}
}

// move moves what there is from r to the host; see Stream.
func (p *downPump) move(r io.Reader) (done bool) {
	counted, _ := r.(interface{ Len() int })
	most := pieceOf(int(p.flow.relay.flows.share.Load()))
	for {
		p.src = source{r: r}
		if counted != nil {
			p.src.n = min(counted.Len(), most)
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
		runtime.Gosched() // a server that never rests must not keep the others waiting
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
			<-p.flow.room
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

// upPump carries what the host sends.
type upPump struct {
	flow  *tcpFlow
	steps func(w io.Writer) bool // move, made once
	dst   sink
	over  bool
	why   event
}

// run carries what there is. over says that the direction has ended, and why.
func (p *upPump) run() (why event, over bool) {
	if p.steps == nil {
		p.steps = p.move
	}
	for {
		err := p.flow.stream.WriteReady(p.steps)
		if err == nil {
			return p.why, p.over
		}
		if why, ended := p.flow.failed(err); ended {
			return why, true
		}
	}
}

// end says why the direction ended.
func (p *upPump) end(why event) (done bool) {
	p.why, p.over = why, true
	return true
}

// move moves what there is from the host to w; see Stream. It is done when there is
// nothing more, too.
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
				return p.end(causeOf(p.dst.err).event)
			}
		case *tcpip.ErrWouldBlock:
			return true
		case *tcpip.ErrClosedForReceive:
			if f, ok := w.(flusher); ok && f.Flush() != nil {
				return false // WriteReady knows the error
			}
			c, ok := p.flow.conn.(interface{ CloseWrite() error })
			if !ok {
				return p.end(flowFailed)
			}
			if err := c.CloseWrite(); err != nil {
				return p.end(causeOf(err).event)
			}
			return p.end(flowEnded)
		default:
			return p.end(flowResetByHost)
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
