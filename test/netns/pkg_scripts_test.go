package netns

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// macScript runs a script of the pkg on a copy of the root with what it needs of macOS: a folder /Library, a
// group wheel, and a launchctl that writes down how it was called and knows no service. Library is
// what /Library holds before and after.
const macScript = `mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount --rbind /dev dev
mkdir -p Library usr/local/bin
mount --bind "$1" Library
cp "$2" usr/local/bin/reach64
cp "$3" mnt/script
grep -q '^wheel:' etc/group || echo 'wheel:x:0:' >>etc/group
printf '#!/bin/sh\necho "$@" >>/Library/launchctl\n[ "$1" != print ]\n' >bin/launchctl
chmod 755 bin/launchctl
exec chroot . /usr/bin/env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "REACH64_CONFIG_DIR=/Library/Application Support/Reach64" \
	"REACH64_POLICY_DIR=/Library/Application Support/Reach64/policy.d" sh /mnt/script`

func runMacScript(t *testing.T, library, script string) printed {
	t.Helper()
	file, err := filepath.Abs("../../installer/darwin/" + script)
	if err != nil {
		t.Fatal(err)
	}
	out, code, err := runFor(20*time.Second, exec.Command("unshare", "-m", "sh", "-euc", macScript, "sh", library, binary(t, "reach64"), file))
	if err != nil || code != 0 {
		t.Fatalf("%s: exit code %d, %v: %s%s", script, code, err, out.stdout, out.stderr)
	}
	return out
}

// TestPkgScripts runs the scripts of macOS' package with the choices that a management system
// makes by files.
func TestPkgScripts(t *testing.T) {
	need(t, "unshare", "go")
	const started = "enable system/com.github.reach64\nbootstrap system /Library/LaunchDaemons/com.github.reach64.plist\n"
	example, err := os.ReadFile("../../installer/linux/reach64.toml")
	if err != nil {
		t.Fatal(err)
	}
	own := "[[server]]\nname = \"own.example.com\"\n"
	for name, tt := range map[string]struct {
		files  map[string]string // before
		want   string            // of the configuration
		called string            // of launchctl
		said   string
	}{
		"nothing is chosen": {map[string]string{}, string(example), "", "not started"},
		"a server": {map[string]string{"install.conf": "SERVER=backup.example.com\n"},
			"name = \"backup.example.com\"\nport = 443\n\n[path]\nmode = \"auto\"\nscope = \"server\"\n\n[log]\nlevel = \"info\"\n", started, ""},
		"everything": {map[string]string{"install.conf": "SERVER=198.51.100.10\nPORT=8443\nMODE=off\nSCOPE=all\nLOGLEVEL=debug\nNOSTART=0\n"},
			"name = \"198.51.100.10\"\nport = 8443\n\n[path]\nmode = \"off\"\nscope = \"all\"\n\n[log]\nlevel = \"debug\"\n", started, ""},
		"not to be started":         {map[string]string{"install.conf": "SERVER=backup.example.com\nNOSTART=1\n"}, "backup.example.com", "", ""},
		"a choice that is wrong":    {map[string]string{"install.conf": "SERVER=backup.example.com\nMODE=on\n"}, "mode = \"on\"", "", `"on" is none of auto, off`},
		"a configuration":           {map[string]string{"install.conf": "SERVER=backup.example.com\n", "reach64.toml": own}, own, started, ""},
		"a policy in a file":        {map[string]string{"policy.d/10.toml": own}, string(example), started, ""},
		"a configuration, not good": {map[string]string{"reach64.toml": "colour = 1\n"}, "colour = 1\n", "", "colour"},
	} {
		t.Run(name, func(t *testing.T) {
			library := t.TempDir()
			if err := os.Chmod(library, 0o755); err != nil {
				t.Fatal(err)
			}
			folder := filepath.Join(library, "Application Support/Reach64")
			tt.files["reach64.toml.example"] = string(example) // of the package's payload
			for name, text := range tt.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			runMacScript(t, library, "preinstall")
			if err := os.Remove(filepath.Join(library, "launchctl")); err != nil {
				t.Errorf("preinstall did not ask for the service: %v", err)
			}
			out := runMacScript(t, library, "postinstall")
			if !strings.Contains(out.stderr, tt.said) || tt.said == "" && out.stderr != "" {
				t.Errorf("it said %q, want %q", out.stderr, tt.said)
			}
			if got, err := os.ReadFile(filepath.Join(folder, "reach64.toml")); err != nil || !strings.Contains(string(got), tt.want) {
				t.Errorf("configuration %s, %v, want %s", got, err, tt.want)
			}
			if called, _ := os.ReadFile(filepath.Join(library, "launchctl")); string(called) != tt.called { // none: not called
				t.Errorf("launchctl was called with %q, want %q", called, tt.called)
			}
			if i, err := os.Stat(filepath.Join(folder, "state")); err != nil || i.Mode().Perm() != 0o700 {
				t.Errorf("folder for state: %v, %v", i, err)
			}
		})
	}
}
