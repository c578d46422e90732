// Package ipc is the local endpoint between the service and its tools: a unix
// socket, or on Windows a named pipe, that every local user may connect to, where
// the other side's identity is known.
//
// What may be asked for, and by whom, is agent/control's business.
package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// ErrNotRunning says that nobody listens at the socket.
var ErrNotRunning = errors.New("nobody listens at the control socket")

// Peer is the process at the other end of a connection. The zero value is
// nobody, who is no administrator.
type Peer struct {
	UID, GID, PID int    // UID and GID are -1 on Windows
	User          string // Windows: the security identifier, as text
	Admin         bool   // may change the machine: root, or an administrator with full rights
}

// String names the user for people.
func (p Peer) String() string {
	if p.User != "" {
		return "user " + p.User
	}
	return fmt.Sprintf("uid %d", p.UID)
}

// Listen listens at path. On Unix its folder is made with mode 0755, the socket
// gets 0666; a socket that a dead service left is replaced; one that is alive, and
// any other file, is not. On Windows path is the name of a pipe, or stands for one.
func Listen(path string) (net.Listener, error) { return listen(path) }

// Dial connects to the service at path. ErrNotRunning is the cause when there is
// no socket, or nobody behind it.
func Dial(ctx context.Context, path string) (net.Conn, error) { return dial(ctx, path) }

// PeerOf tells who is at the other end of c, which must come from Listen.
func PeerOf(c net.Conn) (Peer, error) { return peerOf(c) }
