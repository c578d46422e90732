package paths

import (
	"path/filepath"
	"testing"
)

func TestEnvironmentMovesStateAndRunTimeFiles(t *testing.T) {
	t.Setenv("REACH64_STATE_DIR", "elsewhere/state")
	t.Setenv("REACH64_RUN_DIR", "elsewhere/run")
	if got := StateDir(); got != "elsewhere/state" {
		t.Errorf("StateDir = %q", got)
	}
	if got, want := Socket(), filepath.Join("elsewhere/run", "reach64.sock"); got != want {
		t.Errorf("Socket = %q, want %q", got, want)
	}
}

func TestPlacesOfEachSystem(t *testing.T) {
	mac := "/Library/Application Support/Reach64"
	windows := func(data string) layout {
		root := filepath.Join(data, "Reach64")
		return layout{root, filepath.Join(root, "state"), filepath.Join(root, "state"), filepath.Join(root, "logs")}
	}
	tests := map[string]struct {
		system, programData string
		want                layout
	}{
		"Linux":                       {"linux", "", layout{"/etc/reach64", "/var/lib/reach64", "/run/reach64", "/var/log/reach64"}},
		"macOS":                       {"darwin", "", layout{mac, mac + "/state", "/var/run/reach64", "/Library/Logs/Reach64"}},
		"Windows":                     {"windows", `D:\Data`, windows(`D:\Data`)},
		"Windows without environment": {"windows", "", windows(`C:\ProgramData`)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := placesOf(tt.system, tt.programData); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestControlSocketOfEachSystem(t *testing.T) {
	for name, tt := range map[string]struct{ system, moved, want string }{
		"Linux":                            {"linux", "", filepath.Join("run", "reach64.sock")},
		"Windows: an administrator's pipe": {"windows", "", `\\.\pipe\ProtectedPrefix\Administrators\Reach64\control`},
		"Windows, moved":                   {"windows", "run", filepath.Join("run", "reach64.sock")},
	} {
		if got := socketOf(tt.system, tt.moved, "run"); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestDropInsAreBesideTheConfiguration(t *testing.T) {
	if got, want := ConfDir(), filepath.Join(filepath.Dir(ConfigFile()), "conf.d"); got != want {
		t.Errorf("ConfDir = %q, want %q", got, want)
	}
}

func TestEmptyVariableIsNone(t *testing.T) {
	t.Setenv("REACH64_STATE_DIR", "")
	if StateDir() == "" {
		t.Error("StateDir is empty")
	}
}
