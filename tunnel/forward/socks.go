package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	socks5 "github.com/things-go/go-socks5"
	"github.com/things-go/go-socks5/statute"
)

// SOCKS5 serves l as a SOCKS5 proxy: CONNECT alone, without authentication.
// Names are looked up here, as the client asks for by sending them.
func (s *Server) SOCKS5(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, func(ctx context.Context, client net.Conn) error {
		_ = client.SetDeadline(time.Now().Add(requestLimit))
		refuse := func(_ context.Context, w io.Writer, r *socks5.Request) error {
			return errors.Join(fmt.Errorf("SOCKS5 command %d is not served", r.Command), socks5.SendReply(w, statute.RepCommandNotSupported, nil))
		}
		proxy := socks5.NewServer(
			socks5.WithResolver(unresolved{}),
			socks5.WithBindHandle(refuse),
			socks5.WithAssociateHandle(refuse),
			socks5.WithConnectHandle(func(_ context.Context, w io.Writer, r *socks5.Request) error {
				return s.socksConnect(ctx, client, w, r)
			}))
		return proxy.ServeConn(client)
	})
}

func (s *Server) socksConnect(ctx context.Context, client net.Conn, w io.Writer, r *socks5.Request) error {
	host := r.RawDestAddr.FQDN
	if host == "" {
		host = r.RawDestAddr.IP.String()
	}
	_ = client.SetDeadline(time.Time{})
	server, err := s.Dialer.Dial(ctx, host, uint16(r.RawDestAddr.Port))
	if err != nil {
		return errors.Join(err, socks5.SendReply(w, reply(err), nil))
	}
	if err := socks5.SendReply(w, statute.RepSuccess, server.LocalAddr()); err != nil {
		_ = server.Close()
		return fmt.Errorf("answer client: %w", err)
	}
	s.relay(ctx, client, r.Reader, server)
	return nil
}

// reply is the SOCKS5 reply code for an error of the dialler, which may stand for
// several attempts.
func reply(err error) uint8 {
	switch text := err.Error(); {
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(text, "refused"):
		return statute.RepConnectionRefused
	case strings.Contains(text, "network is unreachable"), strings.Contains(text, "no address to try"):
		return statute.RepNetworkUnreachable
	}
	return statute.RepHostUnreachable
}

// unresolved leaves names as they are, for the dialler to look up.
type unresolved struct{}

func (unresolved) Resolve(ctx context.Context, _ string) (context.Context, net.IP, error) {
	return ctx, nil, nil
}
