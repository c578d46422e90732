package policy

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"howett.net/plist"
)

const profile = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
	<key>server</key><array><string>backup.example.com:443</string><string>198.51.100.10</string></array>
	<key>path</key><dict><key>mode</key><string>off</string></dict>
	<key>discovery.require_validation</key><true/>
	<key>probe.interval</key><integer>60</integer>
</dict></plist>`

var wanted = []string{"discovery.require_validation=true", "path.mode=off", "probe.interval=60", "server=backup.example.com:443,198.51.100.10"}

func TestManagedPreferences(t *testing.T) {
	values, err := parsePlist(strings.NewReader(profile))
	if err != nil {
		t.Fatal(err)
	}
	// A management service writes the binary form.
	var binary bytes.Buffer
	if err := plist.NewEncoderForFormat(&binary, plist.BinaryFormat).Encode(values); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"XML": profile, "binary": binary.String()} {
		got, err := Preferences(strings.NewReader(text))
		if d := cmp.Diff(wanted, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
}

func TestUnreadablePropertyList(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no property list": "path.mode = off <<<", "cut off": profile[:200], "cut off, binary": "bplist00\x00\x01", "a list": `<plist><array/></plist>`,
		"too long": strings.Repeat(" ", maxPlist+1),
	} {
		if v, err := parsePlist(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "property list") {
			t.Errorf("%s: %v, %v, want an error that says what it is", name, v, err)
		}
	}
}

func TestValuesThatNoKeyHas(t *testing.T) {
	got, err := Assignments(map[string]any{"good": "x", "data": []byte{1}, "list": []any{"a", 1}, "half": 1.5,
		"deep": map[string]any{"a": map[string]any{"b": map[string]any{"c": map[string]any{"d": "x"}}}}})
	if d := cmp.Diff([]string{"good=x"}, got); d != "" {
		t.Error(d)
	}
	for _, want := range []string{"data: ", "list: the list holds int", "half: ", "deep.a.b.c: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want one with %q", err, want)
		}
	}
}

func TestListsThatCommasCannotSeparate(t *testing.T) {
	for name, tt := range map[string]struct {
		list any
		want string
	}{
		"texts":         {[]any{"a", "b"}, "key=a,b"},
		"a comma":       {[]string{"a", `{ name = "b", port = 1 }`}, `key=['a', '{ name = "b", port = 1 }']`},
		"dictionaries":  {[]any{"a", map[string]any{"name": "b", "pins": []any{"c"}, "tls": false}}, "key=['a', {name = 'b', pins = ['c'], tls = false}]"},
		"nothing in it": {[]any{}, "key="},
	} {
		got, err := Assignments(map[string]any{"key": tt.list})
		if d := cmp.Diff([]string{tt.want}, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
}

func TestWhatAProfileSaysOfItself(t *testing.T) {
	const own = "<key>PayloadUUID</key><string>X</string><key>PayloadVersion</key><integer>1</integer></dict></plist>"
	got, err := Preferences(strings.NewReader(strings.Replace(profile, "</dict></plist>", own, 1)))
	if d := cmp.Diff(wanted, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
}

func FuzzParsePlist(f *testing.F) {
	f.Add([]byte(profile))
	f.Add([]byte("bplist00\xd0\x08\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09"))
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := parsePlist(bytes.NewReader(b))
		if err != nil && values != nil {
			t.Error("values beside an error")
		}
		_, _ = Assignments(values) // must not panic
	})
}
