package relay

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
)

// cause is what an error of a socket means: its POSIX numbers, Winsock's, which
// Go's syscall package does not unite with them, and the words of stacks whose
// errors carry no number, such as gVisor's.
type cause struct {
	event  event
	answer icmpError // zero: none
	errnos []syscall.Errno
	words  []string
}

var causes = []cause{
	{flowRefused, portUnreachable, []syscall.Errno{syscall.ECONNREFUSED, 10061}, []string{"refused"}},
	{flowResetByServer, icmpError{}, []syscall.Errno{syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN, 10053, 10054, 10057}, []string{"reset by peer", "aborted"}},
	{flowUnreachable, netUnreachable, []syscall.Errno{syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT,
		syscall.ENODEV, 10047, 10049, 10050, 10051}, []string{"network is unreachable"}},
	{flowUnreachable, hostUnreachable, []syscall.Errno{syscall.EHOSTUNREACH, 10065}, []string{"no route", "unreachable"}},
	{flowProhibited, prohibited, []syscall.Errno{syscall.EACCES, syscall.EPERM, 10013}, nil},
	{flowSilent, icmpError{}, []syscall.Errno{syscall.ETIMEDOUT, 10060}, []string{"timed out"}},
	{flowNoSocket, prohibited, []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, 10024, 10055}, nil},
	{flowTooBig, tooBig, []syscall.Errno{syscall.EMSGSIZE, 10040}, []string{"message too long"}},
}

// causeOf says what an error means; of one that is not known it is flowFailed.
func causeOf(err error) cause {
	var n syscall.Errno
	numbered := errors.As(err, &n)
	var op *net.OpError
	for _, c := range causes {
		for _, e := range c.errnos {
			if numbered && n == e {
				return c
			}
		}
		for _, w := range c.words {
			if !numbered && errors.As(err, &op) && strings.Contains(op.Err.Error(), w) {
				return c
			}
		}
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed):
		return cause{event: flowEnded}
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return cause{event: flowSilent}
	}
	return cause{event: flowFailed}
}
