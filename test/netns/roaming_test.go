package netns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// took is how long the way to the right class and path was: as a whole, and without
// what the service has to wait for, which is duplicate address detection by the kernel,
// routers and name servers that have not answered yet, the silence of a server that was
// probed, and hold-down.
type took struct{ whole, lag, waited time.Duration }

// waits are the reasons of documents that say that something is waited for: "no-default-route",
// on the way to another verdict, is the kernel's own wait for the router.
var waits = map[string]bool{"discovering-prefix": true, "ipv4-flapping": true, "no-default-route": true}

// TestRoaming goes to each network and back, and with REACH64_ROAM=N through N further
// changes at random. After each change class and path are right; at the end
// nothing has leaked.
func TestRoaming(t *testing.T) {
	need(t)
	l := newLab(t, documentation)
	r := startRoam(l)
	// So that the kernel's lists have what they get, in the order in which they get it.
	l.client.ip("link set wlan0 up\n link set wlan0 down\n link set da0 up\n link set da0 down\n link set eth0 down\n link set eth0 name lan7\n link set lan7 name eth0\n link set eth0 up")
	r.start()
	r.s.stop()
	l.unique()
	before, sysctls := l.client.state(), l.client.sysctls()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f := r.start()
	times := map[string][]took{}
	change := func(name string, do func(*roam), right func(status) bool) {
		t.Helper()
		do(r)
		begin := time.Now()
		_, n := f.last()
		d := f.wait(t, name, 60*time.Second, right)
		took := measure(begin, d, f.since(max(0, n-1)))
		took.lag = max(0, min(took.lag, took.whole-evidence[name]-took.waited))
		if name == "two uplinks" { // the second one is waited for, and no document tells
			took.lag = min(took.lag, max(0, d.at.Sub(r.routed("wlan0"))))
		}
		times[name] = append(times[name], took)
	}
	list, changes := places(), 0
	more, _ := strconv.Atoi(os.Getenv("REACH64_ROAM"))
	var warm holds
	for i := 0; changes < 2*len(list)+more; i++ {
		p := list[i%len(list)]
		if i >= len(list) {
			p = list[random.IntN(len(list))]
		}
		change(p.name, p.enter, p.right)
		change("back from "+p.name, p.leave, base)
		if changes += 2; i == len(list)-1 {
			warm = r.settled(more).holds()
		}
	}
	l.works()
	cold := r.settled(more).holds()
	t.Logf("%d changes; after each place once: %+v; at the end: %+v", changes, warm, cold)
	if cold.fds > warm.fds+2 || cold.goroutines > warm.goroutines+2 || cold.programs != warm.programs {
		t.Errorf("something leaks: %+v, then %+v", warm, cold)
	}
	// Which pages of the program's file are in memory is chance: 3 MiB more or less.
	if grown := cold.own - warm.own; more >= 100 && grown > 2<<10 {
		t.Errorf("memory has grown by %d KiB, want less than 2 MiB", grown)
	}
	report(t, times)
	if diff := changed(sysctls, l.client.sysctls()); len(diff) > 0 {
		t.Errorf("sysctls changed: %q", diff)
	}
	r.s.stop()
	l.unique()
	l.client.unchanged(before)
}

// measure tells how long it took. seen are the documents on the way, the last one
// before the change first.
func measure(begin time.Time, d followed, seen []followed) took {
	whole := max(0, d.at.Sub(begin))
	lag, waited := whole, time.Duration(0)
	for i, s := range seen[:max(0, len(seen)-1)] {
		if (s.CLAT != nil && !s.CLAT.Ready || waits[s.Reason]) && !seen[i+1].at.After(d.at) && s.at.After(begin) {
			waited += seen[i+1].at.Sub(s.at)
		}
	}
	lag -= waited
	// The last word of a server that the verdict waited for.
	for _, s := range seen {
		for _, v := range s.Servers {
			if v.Checked != nil && v.Checked.After(begin) && !v.Checked.After(d.at) {
				lag = min(lag, d.at.Sub(*v.Checked))
			}
		}
	}
	if t := d.Times.RAToHandshake; t != nil && (carries(d.status) || relays(d.status)) { // from the router's first word
		lag = min(lag, time.Duration(*t*float64(time.Second))-waited)
	}
	return took{whole, max(0, lag), waited}
}

func report(t *testing.T, times map[string][]took) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-46s %5s %18s %18s\n", "transition", "times", "whole: median worst", "lag: median worst")
	names := make([]string, 0, len(times))
	for name := range times {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return strings.Compare(strings.TrimPrefix(a, "back from ")+a, strings.TrimPrefix(b, "back from ")+b)
	})
	for _, name := range names {
		of := func(get func(took) time.Duration) (median, worst time.Duration) {
			var list []time.Duration
			for _, v := range times[name] {
				list = append(list, get(v).Round(time.Millisecond))
			}
			slices.Sort(list)
			return list[len(list)/2], list[len(list)-1]
		}
		m, w := of(func(v took) time.Duration { return v.whole })
		lm, lw := of(func(v took) time.Duration { return v.lag })
		fmt.Fprintf(&b, "%-46s %5d %9v %9v %9v %9v\n", name, len(times[name]), m, w, lm, lw)
	}
	t.Log("\n" + b.String())
}

// unique waits until the kernel has looked for duplicates of each address.
func (l *lab) unique() {
	l.t.Helper()
	eventually(l.t, 10*time.Second, "every address is unique", func() error {
		if out := l.client.must("ip", "-o", "addr", "show", "tentative"); strings.Contains(out, "inet") {
			return fmt.Errorf("tentative: %s", out)
		}
		return nil
	})
}

// settled waits, in a long run, until the service has given back what changes alone
// need: memory is compared at rest.
func (r *roam) settled(more int) *roam {
	if more >= 100 {
		<-time.After(25 * time.Second)
	}
	return r
}

// holds is what the service holds.
type holds struct {
	fds        int
	rss, own   int // resident in KiB, and what of it is not a file's
	goroutines int
	programs   int // BPF, and their attachments
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)

func (r *roam) holds() (h holds) {
	r.t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.s.p.pid()))
	if err != nil {
		r.t.Fatal(err)
	}
	h.fds = len(list)
	if h.rss, h.own, err = resident(r.s.p.pid()); err != nil {
		r.t.Fatal(err)
	}
	out, _, err := runFor(5*time.Second, exec.CommandContext(context.Background(), r.s.binary, "metrics", "--socket", r.s.socket))
	m := goroutines.FindStringSubmatch(out.stdout)
	if err != nil || m == nil {
		r.t.Fatalf("no number of goroutines (%v): %s", err, out.stderr)
	}
	h.goroutines, _ = strconv.Atoi(m[1])
	h.programs = programs(r.t, r.s.p.pid())
	return h
}

// programs counts the BPF programs and attachments that a process holds. What is not
// held goes: none is pinned, and filters of clsact are part of the state that is compared.
func programs(t *testing.T, pid int) (n int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), "prog_id:") { // an error: closed meanwhile
			n++
		}
	}
	return n
}
