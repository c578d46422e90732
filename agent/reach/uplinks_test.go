package reach

import (
	"fmt"
	"strings"
	"testing"
)

// TestUplinks: each uplink is told what it is alone, whatever is used.
func TestUplinks(t *testing.T) {
	for words, want := range map[string]string{
		"ra:A":                          "eth0 v6-only-nat64 A first used",
		"ra:A up":                       "eth0 v6-only-nat64 A first used", // our own device is none
		"ra:A wlan":                     "eth0 v6-only-nat64 A first used, wlan0 v6-only-no-nat64 none",
		"wlan ra:B@wlan0 up:wlan":       "eth0 v6-only-no-nat64 none first, wlan0 v6-only-nat64 B used",
		"wlan ra:B@wlan0 searching":     "eth0 unknown none first, wlan0 v6-only-nat64 B",
		"dns:A dns64 wlan dns:B@wlan0":  "eth0 v6-only-nat64-dns64 A first used, wlan0 v6-only-nat64-dns64 B",
		"ra:A wlan4":                    "eth0 v6-only-nat64 A first, wlan0 v4-only none",
		"native4 ra:A wlan captive":     "eth0 dual-stack A first, wlan0 v6-only-no-nat64 none",
		"down wlan ra:B@wlan0":          "wlan0 v6-only-nat64 B first used",
		"down":                          "",
		"duplicate":                     "",
		"no6 native4 over4:silent deaf": "eth0 v4-only none",
	} {
		w := v6only()
		for word := range strings.FieldsSeq(words) {
			if err := w.say(word); err != nil {
				t.Fatal(err)
			}
		}
		m := New(Settings{})
		m.Step(t0, w.World)
		used := m.Step(t0, w.World).Intent.CLAT
		var got []string
		for _, u := range Uplinks(w.World, used) {
			text := fmt.Sprintf("%s %v %s", u.Name, u.Class, shown(CLAT{Prefix: u.Prefix, Name: ""}))
			text = strings.TrimSuffix(text, "@")
			if u.First6 {
				text += " first"
			}
			if u.Used {
				text += " used"
			}
			got = append(got, text)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %s; want %s", words, strings.Join(got, ", "), want)
		}
	}
}
