package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/ipc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a service that counts what it is asked for.
type fake struct{ refreshed atomic.Int32 }

func (f *fake) Status() status.Status { return status.Status{Class: "offline", Path: "none"} }
func (f *fake) Refresh()              { f.refreshed.Add(1) }

func newServer(svc Service) *Server {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return NewServer(log, "1.2.3", svc)
}

// serve runs a server on a socket until the test ends.
func serve(t *testing.T, svc Service) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := ipc.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- newServer(svc).Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

func TestStatusIsTheServicesDocument(t *testing.T) {
	body, err := Get(t.Context(), serve(t, &fake{}), "/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Schema  int
		Version string
		Result  status.Status
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Schema != 1 || doc.Version != "1.2.3" || doc.Result.Class != "offline" {
		t.Errorf("document = %+v", doc)
	}
}

func TestNoServiceIsSaid(t *testing.T) {
	if _, err := Get(t.Context(), filepath.Join(t.TempDir(), "none"), "/v1/status"); !errors.Is(err, ipc.ErrNotRunning) {
		t.Errorf("err = %v, want ErrNotRunning", err)
	}
}

func TestUnknownDocumentIsAnError(t *testing.T) {
	if _, err := Get(t.Context(), serve(t, &fake{}), "/v1/nothing"); err == nil {
		t.Error("no error")
	}
}

func TestOnlyAnAdministratorMayAskForAChange(t *testing.T) {
	tests := map[string]struct {
		peer ipc.Peer
		code int
		want int32
	}{
		"root":             {ipc.Peer{UID: 0, Admin: true}, http.StatusOK, 1},
		"a user":           {ipc.Peer{UID: 1000}, http.StatusForbidden, 0},
		"nobody knows who": {ipc.Peer{}, http.StatusForbidden, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := &fake{}
			req := httptest.NewRequest(http.MethodPost, "/v1/refresh", nil)
			req = req.WithContext(context.WithValue(req.Context(), peerKey{}, tt.peer))
			rec := httptest.NewRecorder()
			newServer(svc).refresh(rec, req)
			if rec.Code != tt.code || svc.refreshed.Load() != tt.want {
				t.Errorf("code %d, refreshed %d times; want %d, %d", rec.Code, svc.refreshed.Load(), tt.code, tt.want)
			}
		})
	}
}
