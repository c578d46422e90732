package svc

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
)

// waitHint is how long the service manager waits for the next sign of progress.
const waitHint = 10 * time.Second

// The events of power of winuser.h that end a sleep: always, and with a user present.
const (
	resumeAutomatic = 0x12 // PBT_APMRESUMEAUTOMATIC
	resumeSuspend   = 0x07 // PBT_APMRESUMESUSPEND
)

// handler is this process as a service, while Run runs it as one.
type handler struct {
	ctx    context.Context
	do     func(ctx context.Context) error
	ready  chan struct{} // closed by Manager.Ready
	once   sync.Once
	events chan Event // capacity 8; a full channel loses the event
	err    error      // of do; read after svc.Run
}

// current is the handler of this process; nil: it is no service, or not yet one.
var (
	currentMu sync.Mutex
	current   *handler
)

func running() *handler {
	currentMu.Lock()
	defer currentMu.Unlock()
	return current
}

// Run runs do as a service when the service manager has started this process, and
// plainly otherwise. The system tells only one who tries: what asks for the session
// of the process is wrong under Wine.
func Run(ctx context.Context, do func(ctx context.Context) error) error {
	h := &handler{ctx: ctx, do: do, ready: make(chan struct{}), events: make(chan Event, 8)}
	currentMu.Lock()
	current = h
	currentMu.Unlock()
	err := svc.Run(Name, h)
	if errors.Is(err, windows.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) {
		currentMu.Lock()
		current = nil
		currentMu.Unlock()
		return do(ctx)
	}
	return errors.Join(h.err, err)
}

// Execute is called by the service manager.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (specific bool, code uint32) {
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	pending := svc.Status{State: svc.StartPending, Accepts: svc.AcceptStop | svc.AcceptShutdown, WaitHint: uint32(waitHint.Milliseconds())}
	changes <- pending
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.err = h.do(ctx)
	}()
	ready := h.ready
	progress := time.NewTicker(waitHint / 2)
	defer progress.Stop()
	for {
		select {
		case <-done:
			if h.err != nil {
				return true, 1 // a failure: the recovery actions apply
			}
			return false, 0
		case <-ready:
			ready = nil
			pending = svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown | svc.AcceptPreShutdown | svc.AcceptPowerEvent | svc.AcceptParamChange}
			changes <- pending
		case <-progress.C:
			if pending.State != svc.Running {
				pending.CheckPoint++
				changes <- pending
			}
		case r := <-requests:
			if h.obey(r, changes) {
				ready = nil
				pending = svc.Status{State: svc.StopPending, WaitHint: uint32(waitHint.Milliseconds())}
				changes <- pending
				cancel()
			}
		}
	}
}

// obey does what the manager asks for. It is true when the service has to end.
func (h *handler) obey(r svc.ChangeRequest, changes chan<- svc.Status) (stop bool) {
	switch r.Cmd {
	case svc.Interrogate:
		changes <- r.CurrentStatus
	case svc.Stop, svc.Shutdown, svc.PreShutdown:
		return true
	case svc.ParamChange:
		h.tell(Reload)
	case svc.PowerEvent:
		if r.EventType == resumeAutomatic || r.EventType == resumeSuspend {
			h.tell(Resumed)
		}
	}
	return false
}

func (h *handler) tell(e Event) {
	select {
	case h.events <- e:
	default:
	}
}

// Events are what the service manager tells besides the end.
func (m *Manager) Events() <-chan Event {
	if h := running(); h != nil {
		return h.events
	}
	return nil
}

// started tells the service manager that the service is ready. It is true the first
// time.
func started() (first bool) {
	if h := running(); h != nil {
		h.once.Do(func() { close(h.ready); first = true })
	}
	return first
}
