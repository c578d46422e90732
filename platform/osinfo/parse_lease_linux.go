package osinfo

import (
	"encoding/binary"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds of V6ONLY_WAIT, RFC 8925 section 3.4.
const minV6OnlyWait = 300 * time.Second

// names108 are what DHCP clients call option 108, IPv6-Only Preferred (RFC 8925):
// in lease files of dhclient and of systemd's code, which NetworkManager uses too.
var names108 = []string{"unknown-108", "ipv6-only-preferred", "v6-only-preferred", "dhcp-ipv6-only-preferred",
	"option_108", "ipv6_only_preferred", "ipv6_only_preferred_sec"}

// names114 are what they call option 114, the address of a captive portal's API (RFC
// 8910); it was another one's before, of which dhclient still has the name.
var names114 = []string{"unknown-114", "default-url", "v4-captive-portal", "captive-portal", "option_114", "captive_portal"}

// lease is one DHCPv4 lease.
type lease struct {
	link    string        // "" not said
	expires time.Time     // zero: not said, or never
	v6only  time.Duration // V6ONLY_WAIT, 0: option 108 was not there
	portal  string        // URI of a captive portal's API, "" option 114 was not there
}

// parseLeases reads the leases of a file, in order. What is not understood is
// passed over, as the clients themselves do.
func parseLeases(text string) (out []lease) {
	var one lease
	inside, any := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(strings.TrimSpace(line), ";")
		switch {
		case strings.HasPrefix(line, "lease") && strings.HasSuffix(line, "{"):
			one, inside = lease{}, true
		case line == "}" && inside:
			out, inside = append(out, one), false
		case inside:
			one.dhclient(strings.Fields(line))
		default: // KEY=value, one lease in the whole file
			key, value, ok := strings.Cut(line, "=")
			switch value = strings.TrimSpace(value); {
			case ok && is(key, names108):
				one.v6only, any = wait108(value), true
			case ok && is(key, names114):
				one.portal, any = uri(value), true
			}
		}
	}
	if any {
		out = append(out, one)
	}
	return out
}

// dhclient reads one statement of dhclient.leases(5).
func (l *lease) dhclient(words []string) {
	switch {
	case len(words) == 2 && words[0] == "interface":
		l.link = strings.Trim(words[1], `"`)
	case len(words) == 4 && words[0] == "expire":
		if t, err := time.Parse("2006/01/02 15:04:05", words[2]+" "+words[3]); err == nil {
			l.expires = t
		}
	case len(words) == 3 && words[0] == "expire" && words[1] == "epoch":
		if n, err := strconv.ParseInt(words[2], 10, 64); err == nil {
			l.expires = time.Unix(n, 0)
		}
	case len(words) == 3 && words[0] == "option" && is(words[1], names108):
		l.v6only = wait108(words[2])
	case len(words) == 3 && words[0] == "option" && is(words[1], names114):
		l.portal = uri(words[2])
	}
}

// uri reads an address of the web: text, in quotes or not, or bytes in hexadecimal. ""
// for anything else, such as the URN that says that there is no portal (RFC 8910
// section 2).
func uri(text string) string {
	text = strings.Trim(text, `"`)
	if raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", "")); err == nil {
		text = string(raw)
	}
	if u, err := url.Parse(text); err != nil || u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return text
}

func is(name string, known []string) bool {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, n := range known {
		if n == name {
			return true
		}
	}
	return false
}

// wait108 reads the value: seconds, or the option's four bytes in hexadecimal with
// or without colons. 0: not of this length, so the option is to be ignored (spec
// 8925-1). Less than the least wait counts as that.
func wait108(text string) time.Duration {
	if b := strings.Split(text, ":"); len(b) == 4 {
		var raw [4]byte
		for i, s := range b {
			n, err := strconv.ParseUint(s, 16, 8)
			if err != nil {
				return 0
			}
			raw[i] = byte(n)
		}
		return max(time.Duration(binary.BigEndian.Uint32(raw[:]))*time.Second, minV6OnlyWait)
	}
	base := 10
	if len(text) == 8 {
		base = 16
	}
	n, err := strconv.ParseUint(text, base, 32)
	if err != nil {
		return 0
	}
	return max(time.Duration(n)*time.Second, minV6OnlyWait)
}
