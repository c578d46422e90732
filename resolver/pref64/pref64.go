// Package pref64 holds what is known about NAT64 prefixes and decides among it:
// how a prefix is read out of DNS answers (RFC 7050), which source ranks above
// which (RFC 8781 section 5, RFC 9872), how long a candidate lives, and what is
// refused.
//
// It is pure: time is an argument. It asks nobody (resolver/discover does) and
// does not know what probes say (agent/reach does).
package pref64

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
)

// Source is where a prefix was learned. A lower value ranks higher (spec PREC-2).
type Source uint8

// The sources, best first.
const (
	Policy Source = iota // configuration or policy
	OS                   // operating system, such as DirectAccess policy
	PCP                  // PCP PREFIX64, RFC 7225
	RA                   // router advertisement, RFC 8781
	DNS                  // ipv4only.arpa, RFC 7050
	Server               // the server's own AAAA
)

var sourceNames = [...]string{"policy", "os", "pcp", "ra", "dns", "server"}

// Sources returns all sources in rank order.
func Sources() []Source { return []Source{Policy, OS, PCP, RA, DNS, Server} }

// String returns the word used in configuration, status and JSON.
func (s Source) String() string {
	if int(s) >= len(sourceNames) {
		return fmt.Sprintf("source %d", uint8(s))
	}
	return sourceNames[s]
}

// ParseSource reads policy, os, pcp, ra, dns or server.
func ParseSource(text string) (Source, error) {
	for i, name := range sourceNames {
		if text == name {
			return Source(i), nil
		}
	}
	return 0, fmt.Errorf("%q is none of policy, os, pcp, ra, dns, server", text)
}

// MarshalText writes the word of String.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Trust says how far a candidate is believed. A lower value is believed more.
type Trust uint8

// The levels of trust, design section 6.
const (
	Trusted     Trust = iota // by configuration, policy, the system, or validation
	LinkTrusted              // as far as the link is
	AfterProbe               // only after a probe through it succeeded
)

var trustNames = [...]string{"trusted", "link", "after-probe"}

// String returns trusted, link or after-probe.
func (t Trust) String() string {
	if int(t) >= len(trustNames) {
		return fmt.Sprintf("trust %d", uint8(t))
	}
	return trustNames[t]
}

// MarshalText writes the word of String.
func (t Trust) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Candidate is a prefix with where it came from, on which link, until when, and
// how far it is trusted.
type Candidate struct {
	Prefix nat64.Prefix
	Source Source
	Link   int        // index; 0: every link, for configured prefixes
	Server netip.Addr // router or resolver, may carry a zone; invalid: none
	Until  time.Time  // zero: no expiry
	Trust  Trust
	Reason string // for people: why it is there, what confirms or contradicts it
	Order  int    // place in its answer, from 0 (spec 7050-4)
	IPv4   Scope  // destinations that it serves; zero: all (spec 7225-4)
}

// Expired tells whether c has run out at now.
func (c Candidate) Expired(now time.Time) bool { return !c.Until.IsZero() && !now.Before(c.Until) }

// key returns the answer that c belongs to.
func (c Candidate) key() Key { return Key{c.Source, c.Link, c.Server} }
