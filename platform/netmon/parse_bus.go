package netmon

import "github.com/godbus/dbus/v5"

// fromResolved reads systemd-resolved's property DNSEx, a(iiayqs): link, family,
// address, port, name for TLS (org.freedesktop.resolve1(5)).
func fromResolved(v any) (k known, ok bool) {
	list, ok := v.([][]any)
	for _, one := range list {
		if len(one) < 4 {
			continue
		}
		link, _ := one[0].(int32)
		raw, _ := one[2].([]byte)
		if port, _ := one[3].(uint16); port == 0 || port == 53 {
			k.add(int(link), "", raw)
		}
	}
	return k, ok
}

// fromManager reads NetworkManager's property Configuration, aa{sv}
// (org.freedesktop.NetworkManager.DnsManager).
func fromManager(v any) (k known, ok bool) {
	list, ok := v.([]map[string]dbus.Variant)
	for _, one := range list {
		link, _ := one["interface"].Value().(string)
		servers, _ := one["nameservers"].Value().([]string)
		for _, s := range servers {
			k.addText(link, s)
		}
	}
	return k, ok
}
