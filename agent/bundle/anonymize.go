package bundle

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/reach64/reach64/resolver/nat64"
)

// Anonymizer replaces names, addresses and link addresses by pseudonyms, always the
// same for the same thing. Relations stay: addresses of one IPv4 /24 or IPv6 /64 stay
// together, an IPv4 address inside a NAT64's prefix (RFC 6052) becomes its pseudonym
// inside the prefix's pseudonym, which has the same length; 64:ff9b::/96 and other
// addresses that are the same everywhere stay. It is not safe for concurrent use.
type Anonymizer struct {
	strict   bool
	prefixes map[nat64.Prefix]nat64.Prefix
	phrases  []string          // exact, the longest first
	said     map[string]string // pseudonyms of phrases
	names    map[string]string // lower case
	domains  []string          // known names, with all that lies below them
	nets4    map[netip.Prefix]netip.Addr
	hosts4   map[netip.Addr]netip.Addr
	count4   map[netip.Prefix]int
	nets6    map[netip.Prefix]int
	iids     map[[8]byte]int
	macs     map[string]int
	kept     []string // lower case
}

// Keep makes words known that look like names and are none.
func (a *Anonymizer) Keep(words ...string) {
	for _, w := range words {
		a.kept = append(a.kept, strings.ToLower(w))
	}
}

// NewAnonymizer returns one. With strict every word that looks like a host name is
// replaced, not only those that are known.
func NewAnonymizer(strict bool) *Anonymizer {
	return &Anonymizer{strict: strict, prefixes: map[nat64.Prefix]nat64.Prefix{}, said: map[string]string{}, names: map[string]string{},
		nets4: map[netip.Prefix]netip.Addr{}, hosts4: map[netip.Addr]netip.Addr{}, count4: map[netip.Prefix]int{},
		nets6: map[netip.Prefix]int{}, iids: map[[8]byte]int{}, macs: map[string]int{}}
}

// Prefix makes a NAT64 prefix known: addresses in it hold IPv4 addresses.
func (a *Anonymizer) Prefix(p nat64.Prefix) {
	if !p.IsValid() || p.IsWellKnown() || a.prefixes[p].IsValid() {
		return
	}
	n := len(a.prefixes) + 1
	b := [16]byte{0x3f, 0xff, 0x64, byte(n)}
	to, err := nat64.New(netip.PrefixFrom(netip.AddrFrom16(b), p.Bits()))
	if err == nil {
		a.prefixes[p] = to
	}
}

// Name makes a host name, or a text such as a certificate's subject, known. An
// address, and what is too short to be told from other words, is not.
func (a *Anonymizer) Name(name string) {
	name = strings.Trim(strings.TrimSpace(name), ".")
	if _, err := netip.ParseAddr(name); err == nil || len(name) < 3 || a.common(strings.ToLower(name)) {
		return
	}
	if !wordOnly.MatchString(name) {
		if a.said[name] == "" {
			a.said[name] = fmt.Sprintf("text%d", len(a.said)+1)
			a.phrases = append(a.phrases, name)
			slices.SortFunc(a.phrases, func(x, y string) int { return len(y) - len(x) })
		}
		return
	}
	if low := strings.ToLower(name); !slices.Contains(a.domains, low) {
		a.domains = append(a.domains, low)
		a.pseudonym(low)
	}
}

func (a *Anonymizer) pseudonym(low string) string {
	if a.names[low] == "" {
		a.names[low] = fmt.Sprintf("name%d.invalid", len(a.names)+1)
	}
	return a.names[low]
}

var (
	wordOnly = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z_.-]*$`)
	token    = regexp.MustCompile(`(?i)\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\b` + // link address
		`|[0-9a-z_]*:[0-9a-z_:.]*:[0-9a-z_:.]*(?:%[0-9a-z_.-]+)?(?:/[0-9]{1,3})?` + // IPv6, perhaps with a word before it
		`|[0-9a-z_][0-9a-z_.-]*(?:/[0-9]{1,2}\b)?`) // IPv4, names and other words
	link = regexp.MustCompile(`(?i)^[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}$`)
	home = regexp.MustCompile(`(/home/|/Users/|\\Users\\)[^/\\\s"']+`)
	// domain looks like a host name: two labels at least, the last of letters.
	domain = regexp.MustCompile(`^(?:[0-9a-z_](?:[0-9a-z_-]*[0-9a-z_])?\.)+[a-z][a-z0-9-]*[a-z0-9]$`)
)

// Text makes a text anonymous.
func (a *Anonymizer) Text(text string) string {
	for _, p := range a.phrases {
		text = strings.ReplaceAll(text, p, a.said[p])
	}
	text = home.ReplaceAllString(text, "${1}somebody")
	return token.ReplaceAllStringFunc(text, a.token)
}

// token replaces one word.
func (a *Anonymizer) token(s string) string {
	switch {
	case link.MatchString(s):
		return a.link(s)
	case strings.Count(s, ":") > 1:
		return a.ipv6(s)
	}
	if out, ok := a.ipv4(s); ok {
		return out
	}
	return a.word(s)
}

// word replaces a name. Dots at the end belong to the sentence.
func (a *Anonymizer) word(s string) string {
	body := strings.TrimRight(s, ".-")
	low := strings.ToLower(body)
	if a.common(low) {
		return s
	}
	for _, d := range a.domains {
		if low == d || strings.HasSuffix(low, "."+d) {
			return a.pseudonym(low) + s[len(body):]
		}
	}
	if strings.HasSuffix(low, ".in-addr.arpa") || strings.HasSuffix(low, ".ip6.arpa") || a.strict && domain.MatchString(low) {
		return a.pseudonym(low) + s[len(body):]
	}
	return s
}

// Endings of words with dots that are no host names: files of the bundle and of
// programs, and names that are the same everywhere.
var endings = strings.Fields(".toml .json .jsonl .txt .go .s .c .log .sock .conf .lock .d .pem .exe .html .pcap .pcapng .zip .service")

func (a *Anonymizer) common(low string) bool {
	return slices.Contains(a.kept, low) || low == "ipv4only.arpa" || low == "localhost" || low == "github.com" || strings.HasPrefix(low, "github.com/") || strings.HasSuffix(low, ".invalid") ||
		slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(low, e) })
}

func (a *Anonymizer) link(s string) string {
	low := strings.ToLower(strings.ReplaceAll(s, "-", ":"))
	if low == "00:00:00:00:00:00" || low == "ff:ff:ff:ff:ff:ff" {
		return s
	}
	if a.macs[low] == 0 {
		a.macs[low] = len(a.macs) + 1
	}
	n := a.macs[low]
	return fmt.Sprintf("02:00:00:00:%02x:%02x", n>>8&0xff, n&0xff)
}
