package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"howett.net/plist"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/platform/policy"
)

// Payload is what a profile and each payload say of themselves.
type Payload struct {
	Identifier string `plist:"PayloadIdentifier"`
	Type       string `plist:"PayloadType"`
	UUID       string `plist:"PayloadUUID"`
	Version    int    `plist:"PayloadVersion"`
}

// profile is the form that Apple gives to managed preferences.
type profile struct {
	Payload
	Scope   string `plist:"PayloadScope"`
	Content []struct {
		Payload
		Domains map[string]struct {
			Forced []struct {
				Settings map[string]any `plist:"mcx_preference_settings"`
			}
		} `plist:"PayloadContent"`
	} `plist:"PayloadContent"`
}

// settings are those that the example enforces.
func settings(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../darwin/reach64.mobileconfig")
	if err != nil {
		t.Fatal(err)
	}
	var p profile
	if _, err := plist.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	if p.Type != "Configuration" || p.Scope != "System" || len(p.Content) != 1 || p.Content[0].Type != "com.apple.ManagedClient.preferences" {
		t.Fatalf("profile %+v", p)
	}
	uuid := regexp.MustCompile(`^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$`)
	for _, one := range []Payload{p.Payload, p.Content[0].Payload} {
		if one.Version != 1 || one.Identifier == "" || !uuid.MatchString(one.UUID) {
			t.Errorf("payload %+v", one)
		}
	}
	if p.UUID == p.Content[0].UUID {
		t.Error("profile and payload have the same UUID")
	}
	forced := p.Content[0].Domains["com.github.reach64"].Forced
	if len(p.Content[0].Domains) != 1 || len(forced) != 1 || len(forced[0].Settings) == 0 {
		t.Fatalf("domains %+v", p.Content[0].Domains)
	}
	return forced[0].Settings
}

// TestProfile goes from the example over the file that a Mac makes of it to the configuration.
func TestProfile(t *testing.T) {
	var file bytes.Buffer
	if err := plist.NewEncoderForFormat(&file, plist.BinaryFormat).Encode(settings(t)); err != nil {
		t.Fatal(err)
	}
	list, err := policy.Preferences(&file)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := config.Assign("profile", list)
	if err != nil {
		t.Fatal(err)
	}
	c, values, err := config.Merge([]config.Layer{layer}, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Servers) != 2 || c.Servers[0].Name != "backup.example.com" || c.Servers[1].Port != 8443 || len(c.Servers[1].Pins) != 1 ||
		!slices.Equal(c.Servers[1].IPv4, []netip.Addr{netip.MustParseAddr("198.51.100.10")}) {
		t.Errorf("servers %+v", c.Servers)
	}
	got := map[string]string{}
	for _, v := range values {
		if v.Origin == "profile" && v.Key != "server" {
			got[v.Key] = fmt.Sprint(v.Value)
		}
	}
	want := map[string]string{"path.mode": "auto", "path.scope": "server", "probe.interval": "5m", "log.level": "info", "log.max_size": "20", "metrics.listen": "127.0.0.1:9464"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// form is the part of JSON schema that the file uses.
type form struct {
	Type, Title string
	Default     any
	Enum        []string
	Minimum     *uint32
	Maximum     *uint32
	Items       *form
	Properties  map[string]*form
	Required    []string
	Closed      *bool `json:"additionalProperties"`
}

func TestSchema(t *testing.T) {
	text, err := os.ReadFile("../darwin/com.github.reach64.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root form
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	all := policies(t)
	types := map[string]string{"text": "string", "enum": "string", "boolean": "boolean", "decimal": "integer", "multiText": "array"}
	found := map[string]bool{"server": true}
	for table, tf := range root.Properties {
		if table == "server" {
			continue
		}
		closed(t, table, tf)
		for name, f := range tf.Properties {
			key := table + "." + name
			found[key] = true
			p := all[key]
			if f.Type != types[p.Kind] || f.Type == "array" && f.Items.Type != "string" {
				t.Errorf("%s: %s, want %s", key, f.Type, types[p.Kind])
			}
			if d := cmp.Diff(p.Words, f.Enum); d != "" {
				t.Errorf("%s (-template for Windows +schema):\n%s", key, d)
			}
			if p.Kind == "decimal" && (f.Minimum == nil || f.Maximum == nil || *f.Minimum != p.Low || *f.Maximum != p.High) {
				t.Errorf("%s: the range is not %d to %d", key, p.Low, p.High)
			}
		}
	}
	for key := range all {
		if !found[key] {
			t.Errorf("%s is not in the schema", key)
		}
	}
	server(t, root.Properties["server"].Items)
	conforms(t, "profile", &root, settings(t))
}

// server wants the keys of a server with their types and defaults.
func server(t *testing.T, f *form) {
	t.Helper()
	closed(t, "server", f)
	types := map[string]string{"name": "string", "port": "integer", "ipv4": "array", "tls": "boolean", "server_name": "string", "ca_file": "string", "pin_sha256": "array", "dns": "array"}
	for _, key := range config.Keys() {
		name, ok := strings.CutPrefix(key, "server.")
		if !ok {
			continue
		}
		if f.Properties[name] == nil || f.Properties[name].Type != types[name] {
			t.Errorf("server.%s: %+v, want %s", name, f.Properties[name], types[name])
		}
	}
	c, err := config.Parse("file", []byte("[[server]]\nname = \"a.example\"\n"), os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	port := f.Properties["port"]
	if port.Default != float64(c.Servers[0].Port) || f.Properties["tls"].Default != c.Servers[0].TLS || port.Minimum == nil || *port.Minimum != 1 || port.Maximum == nil || *port.Maximum != 65535 {
		t.Errorf("port %+v, tls %+v", port, f.Properties["tls"])
	}
}

func closed(t *testing.T, name string, f *form) {
	t.Helper()
	if f.Type != "object" || f.Closed == nil || *f.Closed {
		t.Errorf("%s is not closed to other keys", name)
	}
}

// conforms wants a value to be as the schema says; a server may be a text, too.
func conforms(t *testing.T, name string, f *form, value any) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			if f.Properties[key] == nil {
				t.Errorf("%s: the schema has no %s", name, key)
				continue
			}
			conforms(t, name+"."+key, f.Properties[key], v)
		}
	case []any:
		for _, v := range value {
			if _, text := v.(string); !text || f.Items.Type == "string" {
				conforms(t, name, f.Items, v)
			}
		}
	case string:
		if f.Type != "string" || len(f.Enum) > 0 && !slices.Contains(f.Enum, value) {
			t.Errorf("%s: %q does not conform to %+v", name, value, f)
		}
	case uint64:
		if f.Type != "integer" || value < uint64(*f.Minimum) || value > uint64(*f.Maximum) {
			t.Errorf("%s: %d does not conform to %+v", name, value, f)
		}
	default:
		t.Errorf("%s: %T", name, value)
	}
}
