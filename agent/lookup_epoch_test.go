package agent

import (
	"errors"
	"io"
	"net/netip"
	"testing"

	"github.com/sirupsen/logrus"
)

// TestAnswersOfAnotherNetwork: what a DNS64 made of a name in the network before says
// nothing in this one; the server's IPv4 address stays what it is.
func TestAnswersOfAnotherNetwork(t *testing.T) {
	const name = "backup.example.test"
	log := logrus.New()
	log.SetOutput(io.Discard)
	four, six := []netip.Addr{netip.MustParseAddr("198.51.100.10")}, []netip.Addr{netip.MustParseAddr("2001:db8:64:ff9b::c633:640a")}
	silent := errors.New("no answer")
	l := newLookup(log, []string{name}, nil, nil)
	for _, step := range []struct {
		what       string
		epoch      uint64 // of the question, from now on
		stored     *answer
		ipv4, ipv6 int
		err        error
	}{
		{"answered", 1, &answer{ipv4: four, ipv6: six, epoch: 1}, 1, 1, nil},
		{"no answer, the same network", 1, &answer{err: silent, epoch: 1}, 1, 1, silent},
		{"another network, nothing answered yet", 2, nil, 1, 0, nil},
		{"an answer that was late", 2, &answer{ipv4: four, ipv6: six, epoch: 1}, 1, 0, nil},
		{"another network, no answer", 2, &answer{err: silent, epoch: 2}, 1, 0, silent},
		{"answered again", 2, &answer{ipv4: four, ipv6: six, epoch: 2}, 1, 1, nil},
	} {
		l.ask(question{epoch: step.epoch})
		if step.stored != nil {
			l.store(name, *step.stored)
		}
		if a := l.answer(name); len(a.ipv4) != step.ipv4 || len(a.ipv6) != step.ipv6 || !errors.Is(a.err, step.err) {
			t.Errorf("%s: %+v", step.what, a)
		}
	}
}
