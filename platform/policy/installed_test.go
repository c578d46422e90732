package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatTheInstallerWasTold(t *testing.T) {
	for name, tt := range map[string]struct {
		values map[string]any
		want   []string
	}{
		"nothing":                     {nil, nil},
		"empty values":                {map[string]any{"Server": "", "Port": "", "Mode": "", "Scope": " ", "LogLevel": ""}, nil},
		"a server":                    {map[string]any{"Server": "backup.example.com"}, []string{"server=backup.example.com"}},
		"a server and its port":       {map[string]any{"Server": "backup.example.com", "Port": "8443"}, []string{"server=backup.example.com:8443"}},
		"a port alone":                {map[string]any{"Port": "8443"}, nil},
		"a port that was set by hand": {map[string]any{"Server": "a.example", "Port": uint64(6061)}, []string{"server=a.example:6061"}},
		"two servers, one with a port": {map[string]any{"Server": "a.example:6061, 198.51.100.10,", "Port": "8443"},
			[]string{"server=a.example:6061,198.51.100.10:8443"}},
		"all": {map[string]any{"Server": "a.example", "Mode": "off", "Scope": "all", "LogLevel": "debug", "InstallDir": `C:\x`, "NoStart": "1"},
			[]string{"log.level=debug", "path.mode=off", "path.scope=all", "server=a.example"}},
	} {
		if d := cmp.Diff(tt.want, installed(tt.values)); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}
