package wine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/reach64/reach64/installer/admx"
)

// policyKey is where the templates write.
const policyKey = `HKLM\SOFTWARE\Policies\Reach64`

// entered are the lines of testdata/all.toml's servers as an administrator enters them.
var entered = []string{"backup.example.com:8443", "198.51.100.10",
	`{ name = "backup2.example.com", port = 6061, ipv4 = ["203.0.113.9"], server_name = "backup.example.net", ` +
		`pin_sha256 = ["2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"], dns = ["2001:db8::53", "192.0.2.53"] }`}

// wanted is a configuration with every key that a policy sets.
func wanted(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../installer/templates/testdata/all.toml")
	if err != nil {
		t.Fatal(err)
	}
	var tables map[string]any
	if err := toml.Unmarshal(text, &tables); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]any)
	for table, v := range tables {
		keys, ok := v.(map[string]any)
		if !ok {
			out[table] = v
			continue
		}
		for key, v := range keys {
			out[table+"."+key] = v
		}
	}
	return out
}

// policies are those of the template.
func policies(t *testing.T) []admx.Policy {
	t.Helper()
	var files [2]*os.File
	for i, name := range []string{"reach64.admx", "en-US/reach64.adml"} {
		f, err := os.Open(filepath.Join("../../installer/windows/policy", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	read, err := admx.Read(files[0], files[1])
	if err != nil {
		t.Fatal(err)
	}
	return read.Policies
}

// utf16le is a text as Windows has it.
func utf16le(text string) (out []byte) {
	for _, unit := range utf16.Encode([]rune(text)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out
}

// registration is a line of a .reg file.
func registration(name string, value any) string {
	switch value := value.(type) {
	case uint32:
		return fmt.Sprintf("%q=dword:%08x\r\n", name, value)
	case string:
		return fmt.Sprintf("%q=%q\r\n", name, value)
	case []string:
		var hex []string
		for _, b := range utf16le(strings.Join(value, "\x00") + "\x00\x00") {
			hex = append(hex, fmt.Sprintf("%02x", b))
		}
		return fmt.Sprintf("%q=hex(7):%s\r\n", name, strings.Join(hex, ","))
	}
	return fmt.Sprintf("%q=: %T\r\n", name, value)
}

// TestGroupPolicy writes what the editor of group policy would for every policy of the template, and wants
// reach64.exe to have it in force.
func TestGroupPolicy(t *testing.T) {
	m := need(t)
	want := wanted(t)
	want["discovery.trust_anchor_file"] = m.write(t, "etc/anchors.txt", []byte(". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\r\n"))
	text := "\ufeffWindows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\Software\\Policies\\Reach64]\r\n"
	for _, p := range policies(t) {
		input := want[p.Value]
		if list, ok := input.([]any); ok {
			lines := []string{}
			for _, one := range list {
				lines = append(lines, fmt.Sprint(one))
			}
			input = lines
		}
		if p.Value == "server" {
			input = entered
		}
		value, err := p.Registry(input)
		if err != nil {
			t.Fatal(err)
		}
		text += registration(p.Value, value)
	}
	if r := m.wine(t, "", "regedit", "/S", m.write(t, "etc/policy.reg", utf16le(text))); r.code != 0 {
		t.Fatalf("fill the registry: %v", r)
	}
	t.Cleanup(func() {
		if r := m.wine(t, "", "reg", "delete", policyKey, "/f"); r.code != 0 {
			t.Errorf("delete the policy: %v", r)
		}
		if r := m.reach64(t, 0, "policy"); !strings.Contains(r.out, "no policy is in force") || !strings.Contains(r.out, policyKey) {
			t.Errorf("without a policy: %v", r)
		}
	})
	var shown struct {
		Result struct {
			Keys []struct {
				Key, Origin string
				Value       any
			}
		}
	}
	// There is no configuration file: policy alone is enough.
	r := m.reach64(t, 0, "config", "show", "--json")
	if err := json.Unmarshal([]byte(r.out), &shown); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]any)
	for _, k := range shown.Result.Keys {
		if k.Origin == policyKey {
			got[k.Key] = k.Value
		} else if k.Key != "control.socket" {
			t.Errorf("%s is from %s", k.Key, k.Origin)
		}
	}
	if d := cmp.Diff(printed(t, want), printed(t, got)); d != "" {
		t.Errorf("in force (-want +got):\n%s", d)
	}
	r = m.reach64(t, 0, "policy")
	if lines := strings.Split(r.out, "\n"); lines[0] != policyKey || !slices.Contains(lines, "  path.mode = off, over auto from default") {
		t.Errorf("policy: %v", r)
	}
}

// printed is a value with JSON's types.
func printed(t *testing.T, v any) (out map[string]any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}
