package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// cause is one way to fail: its POSIX error numbers, Windows' Winsock ones (Go's
// syscall package does not unite them), and what other stacks write, such as
// gVisor's, whose errors carry no number.
type cause struct {
	reason string
	errnos []syscall.Errno
	words  []string
}

var causes = []cause{
	{Refused, []syscall.Errno{syscall.ECONNREFUSED, 10061}, []string{"refused"}},
	{Reset, []syscall.Errno{syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, 10053, 10054}, []string{"reset by peer", "aborted"}},
	{Unreachable, []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT,
		syscall.ENETDOWN, 10047, 10049, 10050, 10051, 10065}, []string{"no route", "unreachable"}},
	{Timeout, []syscall.Errno{syscall.ETIMEDOUT, 10060}, []string{"timed out"}},
	{NotPermitted, []syscall.Errno{syscall.EACCES, syscall.EPERM, 10013}, nil},
}

// connectReason names the reason for which TCP did not stand.
func connectReason(ctx context.Context, err error) string {
	switch reason := common(ctx, err); {
	case reason != "":
		return reason
	default:
		return ConnectFailed
	}
}

// handshakeReason names the reason for which TLS was not completed over a TCP
// connection that stood.
func handshakeReason(ctx context.Context, err error) string {
	switch reason := common(ctx, err); {
	case reason == Timeout:
		return TLSTimeout
	case reason != "":
		return reason
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Reset
	default:
		return TLSFailed
	}
}

func common(ctx context.Context, err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled):
		return Cancelled
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded):
		return Timeout
	}
	var n syscall.Errno
	numbered := errors.As(err, &n)
	var op *net.OpError
	for _, c := range causes {
		for _, e := range c.errnos {
			if numbered && n == e {
				return c.reason
			}
		}
		for _, w := range c.words {
			if !numbered && errors.As(err, &op) && strings.Contains(op.Err.Error(), w) {
				return c.reason
			}
		}
	}
	if errors.As(err, &timeout) && timeout.Timeout() {
		return Timeout
	}
	return ""
}
