package endpoint

import (
	"errors"
	"os"
	"sync"
)

// Death says when a service dies as by kill -9: at one of its changes to the system.
// The zero value is never.
type Death struct {
	At     int  // the how manieth change, from 1; 0: never
	Before bool // the change was written into the journal and not made
}

// errDead is what becomes of changes that a dead service would make.
var errDead = errors.New("the service is dead")

// life counts the changes of one service, and after its death lets none happen. mu
// guards what is below it.
type life struct {
	journal string // file; "" for one who does not die
	death   Death
	died    chan struct{} // closed at the death

	mu   sync.Mutex
	made int
	dead bool
	left []byte // the journal at the death
}

func immortal() *life { return &life{died: make(chan struct{})} }

func newLife(journal string, d Death) *life {
	return &life{journal: journal, death: d, died: make(chan struct{})}
}

// change makes a change, unless the service is dead or dies before it.
func (l *life) change(do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	now := l.journal != "" && l.made == l.death.At
	if now && l.death.Before {
		l.die()
	}
	if l.dead {
		return errDead
	}
	err := do()
	if now {
		l.die()
	}
	return err
}

// die ends the service. The caller holds mu.
func (l *life) die() {
	if l.dead {
		return
	}
	l.dead = true
	l.left, _ = os.ReadFile(l.journal) // an error shows: nothing is undone
	close(l.died)
}

// kill ends the service now.
func (l *life) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.die()
}

// bury puts the journal back to what it was at the death: what was written since, a
// dead service would not have written.
func (l *life) bury() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dead {
		return nil
	}
	return os.WriteFile(l.journal, l.left, 0o600)
}
