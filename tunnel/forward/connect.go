package forward

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxRequest is how long a request with its headers may be, in bytes.
const maxRequest = 64 << 10

// Connect serves l as an HTTP proxy that knows CONNECT alone (RFC 9110 section
// 9.3.6), which is what clients use for TLS.
func (s *Server) Connect(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, func(ctx context.Context, client net.Conn) error {
		_ = client.SetDeadline(time.Now().Add(requestLimit))
		limited := &io.LimitedReader{R: client, N: maxRequest}
		in := bufio.NewReader(limited)
		req, err := http.ReadRequest(in)
		if err != nil {
			_ = answer(client, http.StatusBadRequest, "")
			return fmt.Errorf("read request: %w", err)
		}
		if req.Method != http.MethodConnect {
			_ = answer(client, http.StatusMethodNotAllowed, "Allow: CONNECT\r\n")
			return fmt.Errorf("%s is not served, only CONNECT", req.Method)
		}
		host, port, err := target(req.RequestURI)
		if err != nil {
			_ = answer(client, http.StatusBadRequest, "")
			return err
		}
		limited.N = math.MaxInt64 // what follows is not ours to limit
		_ = client.SetDeadline(time.Time{})
		server, err := s.Dialer.Dial(ctx, host, port)
		if err != nil {
			_ = answer(client, http.StatusBadGateway, "")
			return err
		}
		if err := answer(client, http.StatusOK, ""); err != nil {
			_ = server.Close()
			return err
		}
		s.relay(ctx, client, in, server)
		return nil
	})
}

// target reads the authority of a CONNECT request.
func target(authority string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(authority)
	if err != nil {
		return "", 0, fmt.Errorf("read CONNECT target %q: %w", authority, err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("read CONNECT target %q: it is not HOST:PORT", authority)
	}
	return host, uint16(n), nil
}

// answer writes a response without body. A 2xx response to CONNECT has no length.
func answer(client net.Conn, code int, header string) error {
	if code != http.StatusOK {
		header += "Content-Length: 0\r\nConnection: close\r\n"
	}
	if _, err := fmt.Fprintf(client, "HTTP/1.1 %d %s\r\n%s\r\n", code, http.StatusText(code), header); err != nil {
		return fmt.Errorf("answer client: %w", err)
	}
	return nil
}
