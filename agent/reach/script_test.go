package reach

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reach64/reach64/platform/netstate"
	"github.com/reach64/reach64/resolver/nat64"
	"github.com/reach64/reach64/resolver/pref64"
)

const wlan = 3 // its link index; eth0's is 2

// wifi adds a second uplink with a worse metric.
func (w *world) wifi() *world {
	w.Net.Links = append(w.Net.Links, netstate.Link{Index: wlan, Name: "wlan0", Up: true, Ethernet: true, MTU: 1500, MTU6: 1500, Addrs: []netstate.Addr{
		{Prefix: netip.MustParsePrefix("2001:db8:2::2/64"), Autoconf: true}}})
	w.Net.Routes = append(w.Net.Routes, netstate.Route{Dst: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fe80::2"), Link: wlan, Metric: 2024})
	return w
}

// wifi4 adds one with IPv4 alone.
func (w *world) wifi4() *world {
	w.Net.Links = append(w.Net.Links, netstate.Link{Index: wlan, Name: "wlan0", Up: true, Ethernet: true, MTU: 1500, Addrs: []netstate.Addr{{Prefix: netip.MustParsePrefix("192.0.2.7/24")}}})
	w.Net.Routes = append(w.Net.Routes, netstate.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"), Link: wlan, Metric: 600})
	return w
}

// renumbered gives eth0 a second network, which the kernel lists first.
func (w *world) renumbered(deprecated bool) *world {
	l := &w.Net.Links[0]
	l.Addrs[1].Deprecated = deprecated
	l.Addrs = append([]netstate.Addr{{Prefix: netip.MustParsePrefix("2001:db8:64:1::2/64"), Autoconf: true}}, l.Addrs...)
	return w
}

var prefixOf = map[string]nat64.Prefix{"A": prefixA, "B": prefixB, "corporate": corporate}

// say changes the world by one word of a script.
func (w *world) say(word string) error {
	key, value, _ := strings.Cut(word, ":")
	yes := value == "yes"
	switch key {
	case "down":
		w.down()
	case "no6":
		w.no6()
	case "native4":
		w.native4()
	case "searching":
		w.searching()
	case "deaf":
		w.deaf()
	case "captive":
		w.captive()
	case "mostly":
		w.mostly()
	case "foreign":
		w.foreign()
	case "dns64":
		w.dns64()
	case "wlan":
		w.wifi()
	case "wlan4":
		w.wifi4()
	case "renumbered":
		w.renumbered(value != "")
	case "duplicate":
		w.Net.Links[0].Addrs[1].DADFailed = true
	case "mtu":
		_, err := fmt.Sscan(value, &w.Net.Links[0].MTU6)
		return err
	case "corporate":
		w.tunnel("fd12:3456:789a:1000::2/64").found(corporate, pref64.OS, 7)
	case "up":
		w.up()
		if value == "wlan" { // the address is on the other link
			l := &w.Net.Links[0].Addrs
			*l = (*l)[:len(*l)-1]
		}
	case "clat":
		w.probed(PathCLAT, yes)
	case "synth":
		w.probed(PathSynthesized, yes)
	case "native":
		w.probed(PathNative, yes)
	case "over4":
		w.over4(map[string]Native4{"answers": Answers, "silent": Silent}[value])
	case "ra", "dns":
		name, link, elsewhere := strings.Cut(value, "@")
		c := pref64.Candidate{Prefix: prefixOf[name], Source: map[string]pref64.Source{"ra": pref64.RA, "dns": pref64.DNS}[key], Link: 2}
		if elsewhere && link == "wlan0" {
			c.Link = wlan
		}
		w.Prefixes = append(w.Prefixes, c)
	default:
		return fmt.Errorf("no such word: %q", word)
	}
	return nil
}

// shown is a CLAT as the scripts write it.
func shown(c CLAT) string {
	for name, p := range prefixOf {
		if c.Prefix == p {
			return name + "@" + c.Name
		}
	}
	return "none"
}

// day is one script as it is played.
type day struct {
	m         *Machine
	last, now CLAT
}

// line plays one line.
func (d *day) line(text string) error {
	switch text {
	case "same CLAT":
		if d.last.Resized(0) != d.now.Resized(0) {
			return fmt.Errorf("the CLAT is another: %+v, then %+v", d.last, d.now)
		}
		return nil
	case "other CLAT":
		if d.last == d.now {
			return fmt.Errorf("the CLAT is still %+v", d.now)
		}
		return nil
	}
	moment, rest, ok := strings.Cut(strings.TrimPrefix(text, "at "), ":")
	given, want, ok2 := strings.Cut(rest, "->")
	at, err := time.ParseDuration(moment)
	if !ok || !ok2 || err != nil {
		return fmt.Errorf("not a line of a script")
	}
	w := v6only()
	for word := range strings.FieldsSeq(given) {
		if err := w.say(word); err != nil {
			return err
		}
	}
	// The search of before ends with the network, as the agent sees to.
	w.Epoch = d.m.Step(t0.Add(at), w.World).Intent.Epoch
	out := d.m.Step(t0.Add(at), w.World)
	d.last, d.now = d.now, out.Intent.CLAT
	got := fmt.Sprintf("%v %v %s %s", out.Class, out.Path, out.Reason, shown(out.Intent.CLAT))
	fields := strings.Fields(want)
	if len(fields) == 3 {
		fields = append(fields, "none")
	}
	if got != strings.Join(fields, " ") {
		return fmt.Errorf("got %s (%s)", got, out.Detail)
	}
	return nil
}

// TestDays plays the scripts. Every class is in one of them.
func TestDays(t *testing.T) {
	raw, err := os.ReadFile("testdata/days.txt")
	if err != nil {
		t.Fatal(err)
	}
	for class := range classWords {
		if !strings.Contains(string(raw), "-> "+classWords[class]+" ") {
			t.Errorf("no script comes to %v", Class(class))
		}
	}
	for script := range strings.SplitSeq(string(raw), "\n== ") {
		name, lines, _ := strings.Cut(script, "\n")
		if strings.HasPrefix(name, "#") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			d := &day{m: New(Settings{})}
			for line := range strings.SplitSeq(lines, "\n") {
				if line = strings.TrimSpace(line); line == "" {
					continue
				}
				if err := d.line(line); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
		})
	}
}
