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

func TestEmptyVariableIsNone(t *testing.T) {
	t.Setenv("REACH64_STATE_DIR", "")
	if StateDir() == "" {
		t.Error("StateDir is empty")
	}
}
