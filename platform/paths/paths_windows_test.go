package paths

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// TestGuardedFolders guards a folder that is made, and one that is there. Wine maps
// rights to modes of Unix; what Windows makes of them is for reach64 selftest.
func TestGuardedFolders(t *testing.T) {
	made := filepath.Join(t.TempDir(), "Reach64")
	there := t.TempDir()
	for name, folder := range map[string]string{"new": made, "there already": there} {
		for range 2 {
			if err := guard(folder, stateRights); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := guard(file, stateRights); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("a file in place of the folder: %v", err)
	}
}

func TestRightsAreWellFormed(t *testing.T) {
	for _, rights := range []string{configRights, stateRights} {
		descr, err := windows.SecurityDescriptorFromString(rights)
		if err != nil {
			t.Fatalf("%s: %v", rights, err)
		}
		if control, _, err := descr.Control(); err != nil || control&windows.SE_DACL_PROTECTED == 0 {
			t.Errorf("%s: inherits (%v, %v)", rights, control, err)
		}
	}
}

func TestProgramDataIsKnownToTheSystem(t *testing.T) {
	t.Setenv("ProgramData", `D:\elsewhere`)
	if got := programData(); got == "" || strings.HasPrefix(got, "D:") {
		t.Errorf("ProgramData %q comes from the environment", got)
	}
}
