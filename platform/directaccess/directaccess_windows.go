package directaccess

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// System reads the parts of the registry that Read looks at, and the adapters. Keys
// that are not there are left out: most machines have no such policy. It needs no
// privilege.
func System() (Tree, []Adapter, error) {
	var t Tree
	for _, path := range []string{clientKey, ncsiKey, probesKey, tunnelKey, httpsKey} {
		if err := readKey(&t, path); err != nil {
			return Tree{}, nil, err
		}
	}
	for _, path := range []string{policyRules, localRules} {
		if err := readRules(&t, path); err != nil {
			return Tree{}, nil, err
		}
	}
	list, err := adapters()
	if err != nil {
		return Tree{}, nil, err
	}
	return t, list, nil
}

// open opens a key of the 64-bit view. It is false when there is none.
func open(path string) (registry.Key, bool, error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, strings.TrimPrefix(path, `HKLM\`), registry.READ|registry.WOW64_64KEY)
	if errors.Is(err, registry.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("open registry key %s: %w", path, err)
	}
	return k, true, nil
}

func readRules(t *Tree, path string) error {
	k, ok, err := open(path)
	if err != nil || !ok {
		return err
	}
	defer k.Close()
	names, err := k.ReadSubKeyNames(-1)
	if err != nil {
		return fmt.Errorf("list registry key %s: %w", path, err)
	}
	for _, name := range names[:min(len(names), maxRules+1)] {
		if err := readKey(t, path+`\`+name); err != nil {
			return err
		}
	}
	return nil
}

// readKey reads all values of one key. One that vanishes meanwhile is left out.
func readKey(t *Tree, path string) error {
	k, ok, err := open(path)
	if err != nil || !ok {
		return err
	}
	defer k.Close()
	t.Add(path)
	names, err := k.ReadValueNames(-1)
	if err != nil {
		return fmt.Errorf("list values of registry key %s: %w", path, err)
	}
	for _, name := range names {
		if v, ok := readValue(k, name); ok {
			t.Set(path, name, v)
		}
	}
	return nil
}

// readValue is false for a value that is gone by now, or may not be read.
func readValue(k registry.Key, name string) (Value, bool) {
	_, kind, err := k.GetValue(name, nil)
	if err != nil && !errors.Is(err, registry.ErrShortBuffer) {
		return Value{}, false
	}
	switch kind {
	case registry.SZ, registry.EXPAND_SZ:
		s, _, err := k.GetStringValue(name)
		return Value{Kind: Text, Texts: []string{s}}, err == nil
	case registry.MULTI_SZ:
		list, _, err := k.GetStringsValue(name)
		return Value{Kind: Texts, Texts: list}, err == nil
	case registry.DWORD, registry.QWORD:
		n, _, err := k.GetIntegerValue(name)
		if err == nil && n > 0xffffffff {
			return Value{Kind: Other}, true
		}
		return Value{Kind: Number, Number: uint32(n)}, err == nil
	}
	return Value{Kind: Other}, true
}

// adapters asks for all links with their unicast addresses.
func adapters() ([]Adapter, error) {
	size := uint32(16 << 10)
	for range 5 { // the list may grow between two calls
		buf := make([]byte, size)
		first := (*windows.IpAdapterAddresses)(unsafe.Pointer(&buf[0]))
		err := windows.GetAdaptersAddresses(windows.AF_UNSPEC, windows.GAA_FLAG_SKIP_ANYCAST|windows.GAA_FLAG_SKIP_MULTICAST|windows.GAA_FLAG_SKIP_DNS_SERVER, 0, first, &size)
		switch {
		case errors.Is(err, windows.ERROR_NO_DATA):
			return nil, nil
		case errors.Is(err, windows.ERROR_BUFFER_OVERFLOW):
			continue
		case err != nil:
			return nil, fmt.Errorf("list adapters: %w", err)
		}
		var out []Adapter
		for a := first; a != nil; a = a.Next {
			out = append(out, adapter(a))
		}
		return out, nil
	}
	return nil, fmt.Errorf("list adapters: %w", windows.ERROR_BUFFER_OVERFLOW)
}

func adapter(a *windows.IpAdapterAddresses) Adapter {
	out := Adapter{
		Index: int(a.IfIndex), Name: windows.UTF16PtrToString(a.FriendlyName), Description: windows.UTF16PtrToString(a.Description),
		IfType: a.IfType, TunnelType: a.TunnelType, Up: a.OperStatus == windows.IfOperStatusUp,
	}
	if out.Index == 0 {
		out.Index = int(a.Ipv6IfIndex) // no IPv4 on it
	}
	for u := a.FirstUnicastAddress; u != nil; u = u.Next {
		if ip, ok := netip.AddrFromSlice(u.Address.IP()); ok {
			out.Addrs = append(out.Addrs, ip.Unmap())
		}
	}
	return out
}
