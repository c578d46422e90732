package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// configured is a folder of configuration with this file, or none.
func configured(t *testing.T, text string) (file string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("REACH64_CONFIG_DIR", dir)
	file = filepath.Join(dir, "reach64.toml")
	if text != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func TestSetupKnowsWhetherTheServiceCanStart(t *testing.T) {
	const server = "[[server]]\nname = \"backup.example.com\"\n"
	for name, tt := range map[string]struct {
		have, file string
		complete   bool
		want       string // of the error
	}{
		"a fresh machine":                    {"", "", false, ""},
		"a server in the file":               {server, "", true, ""},
		"no server in the file":              {"[log]\nlevel = \"debug\"\n", "", false, ""},
		"a key that is none":                 {server + "prot = 1\n", "", false, "reach64.toml:3:1: unknown key"},
		"no server, and something wrong":     {"[log]\nlevel = \"loud\"\n", "", false, "log.level"},
		"a new file":                         {"", server, true, ""},
		"a new file in place of a wrong one": {"nonsense", server, true, ""},
		"a new file that is wrong":           {server, server + "prot = 1\n", false, "new.toml:3:1: unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			configured(t, tt.have)
			s := setup{}
			if tt.file != "" {
				s.file = filepath.Join(t.TempDir(), "new.toml")
				if err := os.WriteFile(s.file, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			complete, err := s.check()
			if complete != tt.complete || (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("complete %v, %v, want %v and an error with %q", complete, err, tt.complete, tt.want)
			}
		})
	}
	t.Run("a new file that is missing", func(t *testing.T) {
		configured(t, server)
		if complete, err := (setup{file: filepath.Join(t.TempDir(), "new.toml")}).check(); complete || err == nil || !strings.Contains(err.Error(), "new.toml") {
			t.Errorf("complete %v, %v, want an error that names the file", complete, err)
		}
	})
	t.Run("drop-ins that are there count", func(t *testing.T) {
		file := configured(t, "")
		dropIn := filepath.Join(filepath.Dir(file), "conf.d", "wrong.toml")
		if err := os.Mkdir(filepath.Dir(dropIn), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dropIn, []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := setup{file: filepath.Join(t.TempDir(), "new.toml")}
		if err := os.WriteFile(s.file, []byte(server), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.check(); err == nil || !strings.Contains(err.Error(), dropIn) {
			t.Errorf("%v, want an error that names %s", err, dropIn)
		}
	})
}

func TestSetupPutsTheConfigurationBack(t *testing.T) {
	for name, before := range map[string]string{"over another": "old", "where none was": ""} {
		t.Run(name, func(t *testing.T) {
			file := configured(t, before)
			s := setup{file: filepath.Join(t.TempDir(), "new.toml")}
			if err := os.WriteFile(s.file, []byte("new"), 0o600); err != nil {
				t.Fatal(err)
			}
			back, err := s.place()
			if err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != "new" {
				t.Errorf("placed: %q, %v", text, err)
			}
			if err := back(); err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(file); string(text) != before || (err != nil) != (before == "") {
				t.Errorf("after back: %q, %v, want %q", text, err, before)
			}
			entries, err := os.ReadDir(filepath.Dir(file))
			if err != nil || len(entries) > 1 {
				t.Errorf("left beside it: %v, %v", entries, err)
			}
		})
	}
}
