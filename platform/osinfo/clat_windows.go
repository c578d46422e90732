package osinfo

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows/registry"
)

// Where the CLAT of Windows is set up, below HKEY_LOCAL_MACHINE.
const (
	clatService = `SYSTEM\CurrentControlSet\Services\IpxlatCfgSvc`
	clatPolicy  = `SOFTWARE\Policies\Microsoft\Windows\TCPIP\v6Transition\IPxlatCfgSvc`
)

// NativeCLAT says how the operating system's own CLAT is set up, "" where nothing can
// be known. With an error the text goes by what could be read.
func NativeCLAT() (string, error) {
	local, err1 := numbers(registry.LOCAL_MACHINE, clatService)
	policy, err2 := numbers(registry.LOCAL_MACHINE, clatPolicy)
	if err1 != nil {
		return "", errors.Join(err1, err2)
	}
	text, problems := windowsCLAT(local, policy)
	return text, errors.Join(append(problems, err2)...)
}

// numbers reads the values of a key: numbers as uint64, of all else the type. It is nil
// when there is no such key.
func numbers(hive registry.Key, path string) (map[string]any, error) {
	k, err := registry.OpenKey(hive, path, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if errors.Is(err, registry.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open registry key %s: %w", path, err)
	}
	defer k.Close()
	names, err := k.ReadValueNames(-1)
	if err != nil {
		return nil, fmt.Errorf("list values of registry key %s: %w", path, err)
	}
	out := make(map[string]any)
	for _, name := range names {
		n, _, err := k.GetIntegerValue(name)
		if err != nil {
			out[name] = err
			continue
		}
		out[name] = n
	}
	return out, nil
}
