package control

import (
	"fmt"
	"net/http"
	"runtime/pprof"

	"github.com/reach64/reach64/platform/ipc"
)

// goroutines says what every goroutine of the service is at. Only an administrator
// may ask, since it stops the service for a moment.
func (s *Server) goroutines(w http.ResponseWriter, r *http.Request) {
	if peer, _ := r.Context().Value(peerKey{}).(ipc.Peer); !peer.Admin {
		s.reply(w, http.StatusForbidden, Problem{Error: fmt.Sprintf("uid %d may not see goroutines, only an administrator may", peer.UID)})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := pprof.Lookup("goroutine").WriteTo(w, 2); err != nil {
		s.log.WithError(err).Debug("write goroutines")
	}
}
