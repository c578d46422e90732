package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/installer/admx"
	"github.com/reach64/reach64/platform/policy"
)

// origin is what the layer of the policy is called.
const origin = `HKLM\SOFTWARE\Policies\Reach64`

// anchors stands for discovery.trust_anchor_file.
const anchors = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"

func readFile(name string) ([]byte, error) {
	if name == "anchors.txt" {
		return []byte(anchors), nil
	}
	return nil, fs.ErrNotExist
}

// policies are what the repository has.
func policies(t *testing.T) map[string]admx.Policy {
	t.Helper()
	a, err := os.Open(filepath.Join("../..", admxFile))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	l, err := os.Open(filepath.Join("../..", admlFile))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	read, err := admx.Read(a, l)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]admx.Policy)
	for _, p := range read.Policies {
		if _, twice := out[p.Value]; twice {
			t.Errorf("two out set %s", p.Value)
		}
		out[p.Value] = p
	}
	return out
}

// enforce sets the registry's values over a file that names one server.
func enforce(values map[string]any) (map[string]config.Value, error) {
	list, err := policy.Assignments(values)
	if err != nil {
		return nil, err
	}
	layer, err := config.Assign(origin, list)
	if err != nil {
		return nil, err
	}
	base := config.Layer{Name: "file", Text: []byte("[[server]]\nname = \"198.51.100.99\"\n")}
	_, got, err := config.Merge([]config.Layer{base, layer}, readFile)
	return byKey(got), err
}

func byKey(values []config.Value) map[string]config.Value {
	out := make(map[string]config.Value)
	for _, v := range values {
		out[v.Key] = v
	}
	return out
}

func TestFilesAreGenerated(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v; it is not what would be written: run go generate ./installer/templates", name, err)
		}
	}
}

func TestEveryKeyHasAPolicyOrAReason(t *testing.T) {
	all := policies(t)
	keys := config.Keys()
	for _, key := range keys {
		name, isServer := strings.CutPrefix(key, "server.")
		isTable := slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, key+".") }) && key != "server"
		switch {
		case isTable:
		case isServer:
			if !slices.ContainsFunc(serverKeys, func(s setting) bool { return s.key == name }) {
				t.Errorf("%s is not among the keys of a server", key)
			}
		case withheld[key] != "":
			if _, ok := all[key]; ok {
				t.Errorf("%s has a policy, though %s", key, withheld[key])
			}
		case all[key].Name == "":
			t.Errorf("%s has neither a policy nor a reason to have none", key)
		}
	}
	for key, p := range all {
		if !slices.Contains(keys, key) {
			t.Errorf("policy %s sets %s, which is no key", p.Name, key)
		}
		if p.Key != `Software\Policies\Reach64` {
			t.Errorf("policy %s is in %s", p.Name, p.Key)
		}
	}
}

var (
	isNoneOf = regexp.MustCompile(`is none of ([\w-]+(?:, [\w-]+)*)`)
	ranged   = regexp.MustCompile(` Range: (\S+) to (\S+)\.$`)
)

// TestTypesWordsAndRanges asks the configuration itself what it takes.
func TestTypesWordsAndRanges(t *testing.T) {
	kinds := map[string]string{"string": "text", "bool": "boolean", "int64": "decimal", "[]interface {}": "multiText"}
	defaults := byKey(func() []config.Value { _, v, _ := config.Merge(nil, readFile); return v }())
	defaults["server"] = config.Value{Value: []any{}}
	for key, p := range policies(t) {
		def := defaults[key].Value
		_, err := enforce(map[string]any{key: "no such word"})
		found := isNoneOf.FindStringSubmatch(fmt.Sprint(err))
		switch want := kinds[fmt.Sprintf("%T", def)]; {
		case found != nil && want == "text":
			if p.Kind != "enum" {
				t.Errorf("%s: %s, want enum", key, p.Kind)
			}
			if d := cmp.Diff(slices.Sorted(strings.SplitSeq(found[1], ", ")), slices.Sorted(slices.Values(p.Words))); d != "" {
				t.Errorf("%s: words (-configuration +template):\n%s", key, d)
			}
		case p.Kind != want:
			t.Errorf("%s: %s, want %s", key, p.Kind, want)
		}
		if p.Shown != "" && p.Shown != fmt.Sprint(def) {
			t.Errorf("%s: the editor shows %s, the default is %v", key, p.Shown, def)
		}
		if want := "Configuration key: " + key + ". Default: "; !strings.Contains(p.Explain, want) {
			t.Errorf("%s: the text lacks %q: %s", key, want, p.Explain)
		}
		if s, ok := def.(string); ok && s != "" && !strings.Contains(p.Explain, "Default: "+s+".") {
			t.Errorf("%s: the text does not say that %s is the default: %s", key, s, p.Explain)
		}
		limits(t, key, p, def)
	}
}

// limits wants the text to tell the range where there is one, and that range to be right.
func limits(t *testing.T, key string, p admx.Policy, def any) {
	t.Helper()
	said := ranged.FindStringSubmatch(p.Explain)
	_, err := time.ParseDuration(fmt.Sprint(def))
	isDuration := err == nil && p.Kind == "text"
	if (isDuration || p.Kind == "decimal") != (said != nil) {
		t.Fatalf("%s: range %q of %v", key, said, def)
	}
	if said == nil {
		return
	}
	var inside, outside []any
	if isDuration {
		low, lerr := time.ParseDuration(said[1])
		high, herr := time.ParseDuration(said[2])
		if lerr != nil || herr != nil {
			t.Fatalf("%s: range %q: %v, %v", key, said, lerr, herr)
		}
		inside, outside = []any{low.String(), high.String()}, []any{(low - 1).String(), (high + 1).String()}
	} else {
		if got := fmt.Sprint(p.Low, p.High); got != said[1]+" "+said[2] {
			t.Errorf("%s: the editor takes %s, the text says %s to %s", key, got, said[1], said[2])
		}
		inside, outside = []any{p.Low, p.High}, []any{p.Low - 1, p.High + 1}
	}
	for _, v := range inside {
		if _, err := enforce(map[string]any{key: v}); err != nil {
			t.Errorf("%s = %v is in the range: %v", key, v, err)
		}
	}
	for _, v := range outside {
		if _, err := enforce(map[string]any{key: v}); err == nil {
			t.Errorf("%s = %v is outside the range, and taken", key, v)
		}
	}
}

// TestFromTheEditorToTheConfiguration enters testdata/all.toml into the templates, and wants it to be in force.
func TestFromTheEditorToTheConfiguration(t *testing.T) {
	text, err := os.ReadFile("testdata/all.toml")
	if err != nil {
		t.Fatal(err)
	}
	conf, wanted, err := config.Merge([]config.Layer{{Name: origin, Text: text}}, readFile)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]any)
	for key, p := range policies(t) {
		w := byKey(wanted)[key]
		if w.Origin != origin {
			t.Errorf("testdata/all.toml lacks %s", key)
			continue
		}
		if values[key], err = p.Registry(input(key, w.Value)); err != nil {
			t.Error(err)
		}
	}
	got, err := enforce(values)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(byKey(wanted), got); d != "" {
		t.Errorf("in force (-want +got):\n%s", d)
	}
	if len(conf.Servers) != 3 || len(conf.Servers[2].Pins) != 1 {
		t.Errorf("servers %+v", conf.Servers)
	}
}

// input is what an administrator enters for a value.
func input(key string, value any) any {
	if key == "server" {
		return []string{"backup.example.com:8443", "198.51.100.10",
			`{ name = "backup2.example.com", port = 6061, ipv4 = ["203.0.113.9"], server_name = "backup.example.net", ` +
				`pin_sha256 = ["2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"], dns = ["2001:db8::53", "192.0.2.53"] }`}
	}
	list, ok := value.([]any)
	if !ok {
		return value
	}
	lines := []string{}
	for _, one := range list {
		lines = append(lines, fmt.Sprint(one))
	}
	return lines
}

func TestMistakesInThePolicyAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		key   string
		value any
		want  string
	}{
		"a key of a server":        {"server", []string{`{ nome = "backup.example.com" }`}, `unknown key "server.nome"`},
		"a server that is cut off": {"server", []string{`{ name = "backup.example.com"`}, "server: { name"},
		"a port":                   {"server", []string{"backup.example.com:99999"}, "99999 is not a TCP port"},
		"a list in one line":       {"discovery.prefixes", []string{"64:ff9b::/96, 2001:db8::/96"}, "discovery.prefixes[1]"},
		"a number as text":         {"log.max_size", "ten", "not a whole number"},
	} {
		_, err := enforce(map[string]any{tt.key: tt.value})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), origin) {
			t.Errorf("%s: %v, want %q and the place", name, err, tt.want)
		}
	}
}
