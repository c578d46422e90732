package config

import (
	"fmt"
	"net/netip"
)

type rawDNS struct {
	Listen  string   `toml:"listen"`
	Exclude []string `toml:"exclude"`
}

func (v *validator) dns(r rawDNS) DNS {
	d := DNS{Listen: v.loopback("dns.listen", r.Listen, 53)}
	for i, s := range r.Exclude {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			v.bad(fmt.Sprintf("dns.exclude[%d]", i+1), "%q is not a prefix such as 10.0.0.0/8 or 2001:db8::/32", s)
			continue
		}
		d.Exclude = append(d.Exclude, p.Masked())
	}
	return d
}
