package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Installed reads what the installer of Windows was told (HKLM\SOFTWARE\Reach64): the
// weakest settings, since files, environment and policy can say otherwise. With an
// error it has what could be read.
func Installed() (Policy, error) { return readInstalled() }

// installedKeys are the keys of the configuration by the installer's names.
var installedKeys = map[string]string{"Mode": "path.mode", "Scope": "path.scope", "LogLevel": "log.level"}

// installed makes assignments of the installer's values; an empty one says nothing.
// Port is for the servers that have none themselves.
func installed(values map[string]any) (out []string) {
	text := func(name string) string {
		v, ok := values[name]
		if !ok {
			return ""
		}
		return strings.TrimSpace(fmt.Sprint(v))
	}
	for name, key := range installedKeys {
		if v := text(name); v != "" {
			out = append(out, key+"="+v)
		}
	}
	var servers []string
	for s := range strings.SplitSeq(text("Server"), ",") {
		s = strings.TrimSpace(s)
		switch {
		case s == "":
			continue
		case text("Port") != "" && !strings.Contains(s, ":"):
			s += ":" + text("Port")
		}
		servers = append(servers, s)
	}
	if len(servers) > 0 {
		out = append(out, "server="+strings.Join(servers, ","))
	}
	slices.Sort(out)
	return out
}
