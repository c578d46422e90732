package control

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/platform/ipc"
)

// managed writes down what it is told.
type managed struct {
	fake
	told []string
}

var errBad = errors.New("reach64.toml:2:1: unknown key")

func (m *managed) Reload(context.Context) (Reloaded, error) {
	m.told = append(m.told, "reload")
	if len(m.told) > 1 {
		return Reloaded{}, errBad
	}
	return Reloaded{Restart: []string{"dns.listen"}}, nil
}

func (m *managed) Pause(_ context.Context, d time.Duration) error {
	m.told = append(m.told, "pause "+d.String())
	return nil
}

func (m *managed) Resume(context.Context) error {
	m.told = append(m.told, "resume")
	return nil
}

func (m *managed) SetLogLevel(level string) error {
	m.told = append(m.told, "level "+level)
	return nil
}

func TestOrders(t *testing.T) {
	root, user := ipc.Peer{Admin: true}, ipc.Peer{UID: 1000}
	tests := map[string]struct {
		peer  ipc.Peer
		order func(*Server) http.HandlerFunc
		query string
		code  int
		told  []string
		says  string
	}{
		"reload":              {root, (*Server).reload, "", 200, []string{"reload"}, `"dns.listen"`},
		"reload by a user":    {user, (*Server).reload, "", 403, nil, "only an administrator"},
		"pause":               {root, (*Server).pause, "", 200, []string{"pause 0s"}, ""},
		"pause with a time":   {root, (*Server).pause, "?for=90m", 200, []string{"pause 1h30m0s"}, ""},
		"pause for nonsense":  {root, (*Server).pause, "?for=soon", 422, nil, "soon"},
		"pause for less":      {root, (*Server).pause, "?for=-1s", 422, nil, "-1s"},
		"pause for years":     {root, (*Server).pause, "?for=90000h", 422, nil, "720h"},
		"pause by a user":     {user, (*Server).pause, "", 403, nil, "only an administrator"},
		"resume":              {root, (*Server).resume, "", 200, []string{"resume"}, ""},
		"resume by a user":    {user, (*Server).resume, "", 403, nil, "only an administrator"},
		"log level":           {root, (*Server).logLevel, "?level=debug", 200, []string{"level debug"}, ""},
		"log level by a user": {user, (*Server).logLevel, "?level=debug", 403, nil, "only an administrator"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := &managed{}
			req := httptest.NewRequest(http.MethodPost, "/x"+tt.query, nil)
			rec := httptest.NewRecorder()
			tt.order(newServer(svc))(rec, req.WithContext(context.WithValue(req.Context(), peerKey{}, tt.peer)))
			if rec.Code != tt.code || !slices.Equal(svc.told, tt.told) || !strings.Contains(rec.Body.String(), tt.says) {
				t.Errorf("code %d, told %q, says %s; want %d, %q, %s", rec.Code, svc.told, rec.Body, tt.code, tt.told, tt.says)
			}
		})
	}
}

// TestAServiceThatCannotBeManaged has none of the orders.
func TestAServiceThatCannotBeManaged(t *testing.T) {
	rec := httptest.NewRecorder()
	newServer(&fake{}).reload()(rec, httptest.NewRequest(http.MethodPost, "/v1/reload", nil))
	if rec.Code != http.StatusNotFound {
		t.Errorf("code %d, want 404", rec.Code)
	}
}

// TestReloadOverTheSocket: the second one is refused, with the service's reason. It
// needs an administrator on both ends.
func TestReloadOverTheSocket(t *testing.T) {
	socket := serve(t, &managed{})
	r, err := Reload(t.Context(), socket)
	if errors.Is(err, ErrForbidden) {
		return // the tests run as a user: that is the answer then
	}
	if err != nil || !slices.Equal(r.Restart, []string{"dns.listen"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	var refused *RefusedError
	if _, err := Reload(t.Context(), socket); !errors.As(err, &refused) || refused.Reason != errBad.Error() {
		t.Errorf("error %v, want the service's", err)
	}
}
