package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const main = "[[server]]\nname = \"b.example\"\n"

func layersOf(texts ...string) (out []Layer) {
	for i, text := range texts {
		out = append(out, Layer{Name: string(rune('a' + i)), Text: []byte(text)})
	}
	return out
}

func TestStrongerLayerWins(t *testing.T) {
	tests := map[string]struct {
		layers []string
		want   map[string]string // key: value as TOML has it, and origin
	}{
		"one layer":                       {[]string{main}, map[string]string{"path.mode": "auto default", "log.file": " default"}},
		"a scalar":                        {[]string{main + "[log]\nlevel = \"debug\"\n", "[log]\nlevel = \"error\"\n"}, map[string]string{"log.level": "error b"}},
		"other keys stay":                 {[]string{main + "[log]\nlevel = \"debug\"\nformat = \"json\"\n", "[log]\nlevel = \"error\"\n"}, map[string]string{"log.format": "json a", "log.level": "error b"}},
		"an empty text counts":            {[]string{main + "[log]\nfile = \"/x\"\n", "[log]\nfile = \"\"\n"}, map[string]string{"log.file": " b"}},
		"a list is replaced as a whole":   {[]string{main + "[discovery]\nallow = [\"2001:db8::/32\", \"fd00::/8\"]\n", "[discovery]\nallow = [\"fd00::/8\"]\n"}, map[string]string{"discovery.allow": "[fd00::/8] b"}},
		"an empty list counts":            {[]string{main + "[discovery]\nallow = [\"fd00::/8\"]\n", "[discovery]\nallow = []\n"}, map[string]string{"discovery.allow": "[] b"}},
		"false counts":                    {[]string{main + "[discovery]\nrequire_validation = true\nnat64_names = [\"n.example\"]\n", "[discovery]\nrequire_validation = false\n"}, map[string]string{"discovery.require_validation": "false b"}},
		"three layers, the last one wins": {[]string{main, "[log]\nlevel = \"error\"\n", "[log]\nlevel = \"debug\"\n"}, map[string]string{"log.level": "debug c"}},
		"dotted keys are the same":        {[]string{main, "log.level = \"error\"\n"}, map[string]string{"log.level": "error b"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, values, err := Merge(layersOf(tt.layers...), noFiles)
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			for _, v := range values {
				if _, ok := tt.want[v.Key]; ok {
					got[v.Key] = strings.TrimPrefix(text(v.Value)+" "+v.Origin, "\x00")
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// text shows a value plainly.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		if v {
			return "true"
		}
		return "false"
	case []any:
		var parts []string
		for _, p := range v {
			parts = append(parts, text(p))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return "?"
}

func TestServersAreReplacedTogether(t *testing.T) {
	c, values, err := Merge(layersOf("[[server]]\nname = \"one.example\"\n[[server]]\nname = \"two.example\"\n", "[[server]]\nname = \"three.example\"\n"), noFiles)
	if err != nil || len(c.Servers) != 1 || c.Servers[0].Name != "three.example" {
		t.Fatalf("servers %+v, %v", c.Servers, err)
	}
	if values[0].Key != "server" || values[0].Origin != "b" {
		t.Errorf("first value %+v", values[0])
	}
}

func TestMistakesNameTheirLayer(t *testing.T) {
	tests := map[string]struct {
		layers []string
		want   []string
	}{
		"unknown keys in two layers":   {[]string{main + "prot = 1\n", "[log]\nlevl = \"x\"\n"}, []string{"a:3:1", "b:2:1", `did you mean "log.level"`}},
		"a bad value":                  {[]string{main, "[log]\nlevel = \"loud\"\n"}, []string{"b: log.level:"}},
		"a bad value that is replaced": {[]string{main + "[log]\nlevel = \"loud\"\n", "[log]\nlevel = \"info\"\n"}, nil},
		"one of a list":                {[]string{main, "[discovery]\nallow = [\"fd00::/8\", \"x\"]\n"}, []string{"b: discovery.allow[2]:"}},
		"one of the servers":           {[]string{main, "[[server]]\nname = \"a b\"\n"}, []string{"b: server[1].name:"}},
		"nothing at all":               {nil, []string{"no backup server"}},
		"no server in any":             {[]string{"", ""}, []string{"a: server: no backup server"}},
		"a table that is none":         {[]string{main, "path = 5\n"}, []string{"b:1:"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := Merge(layersOf(tt.layers...), noFiles)
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("error %v", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v, want %q", err, w)
				}
			}
		})
	}
}

func TestAssignments(t *testing.T) {
	tests := map[string]struct {
		one  string
		want string // "!" and a part of the error
	}{
		"text":                {"path.mode=off", "[path]\nmode = 'off'"},
		"a text with a quote": {`log.file=a'b"c`, "[log]\nfile = \"a'b\\\"c\""},
		"yes or no":           {"discovery.require_validation=true", "[discovery]\nrequire_validation = true"},
		"a list":              {"discovery.sources=ra, dns", "[discovery]\nsources = ['ra', 'dns']"},
		"an empty list":       {"discovery.sources=", "[discovery]\nsources = []"},
		"servers":             {"server=a.example:8443,b.example", "[[server]]\nname = 'a.example'\nport = 8443\n\n[[server]]\nname = 'b.example'"},
		"a number":            {"log.max_size=20", "[log]\nmax_size = 20"},
		"no number":           {"log.max_size=20M", "!not a whole number"},
		"an address":          {"metrics.listen=[::1]:9464", "[metrics]\nlisten = '[::1]:9464'"},
		"a list as in TOML":   {`discovery.sources=["ra"]`, "[discovery]\nsources = ['ra']"},
		"servers as in TOML":  {`server=["a.example:8443", "{ name = 'b.example', tls = false }", { name = "c.example" }]`, "[[server]]\nname = 'a.example'\nport = 8443\n\n[[server]]\nname = 'b.example'\ntls = false\n\n[[server]]\nname = 'c.example'"},
		"a table, cut off":    {`server=["{ name = "]`, "!not written as TOML"},
		"a list, cut off":     {`server=["a.example"`, "!not written as TOML"},
		"a number as server":  {`server=[1]`, "!neither NAME[:PORT] nor a table"},
		"no value":            {"path.mode", "!not of the form"},
		"neither":             {"discovery.require_validation=perhaps", "!neither true nor false"},
		"unknown":             {"path.moed=off", `!did you mean "path.mode"`},
		"of one server":       {"server.port=1", "!give it in a file"},
		"a table":             {"path=off", "!unknown key"},
		"no server":           {"server=", "!names no server"},
		"a port that is none": {"server=a:b", "!NAME[:PORT]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := Assign("--set", []string{tt.one})
			if part, bad := strings.CutPrefix(tt.want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "--set") {
					t.Errorf("error %v, want %q", err, part)
				}
				return
			}
			if got := strings.TrimSpace(string(l.Text)); err != nil || got != tt.want {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	l, err := Environment([]string{"PATH=/bin", "REACH64_REQUIRE=all", "REACH64_STATE_DIR=/x", "REACH64_LOG_LEVEL=debug", "REACH64_DISCOVERY_WKP_NONGLOBAL=never", "REACH64_SERVER=c.example"})
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := Merge([]Layer{{"a", []byte(main)}, l}, noFiles)
	if err != nil || c.Log.Level != "debug" || c.Discovery.NonGlobal.String() != "never" || c.Servers[0].Name != "c.example" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Environment([]string{"REACH64_LOG_LEVL=x", "REACH64_SERVER_PORT=1"}); err == nil || !strings.Contains(err.Error(), "REACH64_LOG_LEVL") || !strings.Contains(err.Error(), "REACH64_SERVER_PORT") {
		t.Errorf("error %v", err)
	}
}

func TestDiff(t *testing.T) {
	values := func(text string) []Value {
		_, v, err := Merge(layersOf(text), noFiles)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, tt := range map[string]struct {
		old, now string
		want     []string
	}{
		"nothing":                {main, main, nil},
		"a default written down": {main, main + "[path]\nmode = \"auto\"\n", nil},
		"some":                   {main + "[log]\nlevel = \"debug\"\n", main + "[path]\nmode = \"off\"\n", []string{"path.mode", "log.level"}},
		"a server's port":        {main, main + "port = 8443\n", []string{"server"}},
	} {
		if got := Diff(values(tt.old), values(tt.now)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add(Reference, "[log]\nlevel = \"debug\"\n")
	f.Add(main, "server = []\n")
	f.Add(main, "log.level = \"x\"\n[log.more]\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		c, values, err := Merge(layersOf(a, b), noFiles)
		if err != nil {
			return
		}
		if len(c.Servers) == 0 || values[0].Key != "server" {
			t.Errorf("accepted a configuration without a server: %+v", values)
		}
	})
}
