// Package status is the document that reach64 shows of itself: the JSON schema
// of the control API and of `reach64 status --json`, and its text for people.
//
// It is plain data. Fields are only added within a schema; unknown is null;
// durations are seconds.
package status

import (
	"time"
)

// Schema is the version of the JSON documents.
const Schema = 1

// Envelope is what every JSON answer of reach64 is wrapped in.
type Envelope struct {
	Schema      int       `json:"schema"`
	GeneratedAt time.Time `json:"generated_at"`
	Version     string    `json:"version"`
	Result      any       `json:"result"`
}

// Wrap returns the envelope of a result.
func Wrap(now time.Time, version string, result any) Envelope {
	return Envelope{Schema: Schema, GeneratedAt: now.UTC().Truncate(time.Millisecond), Version: version, Result: result}
}

// Status is the whole state of the service.
type Status struct {
	Class    string  `json:"class"`
	Path     string  `json:"path"`
	Datapath *string `json:"datapath"`
	// DatapathNote says why the datapath is not a faster one.
	DatapathNote *string           `json:"datapath_note"`
	Reason       string            `json:"reason"`
	Sentence     string            `json:"sentence"`
	Detail       *string           `json:"detail"`
	Advice       *string           `json:"advice"`
	Uplink       *string           `json:"uplink"`
	Uplinks      []Uplink          `json:"uplinks"` // every link with a default route, each as if it were the only one
	Prefix       *string           `json:"prefix"`
	Source       *string           `json:"prefix_source"`
	CLAT         *CLAT             `json:"clat"`
	Servers      []Server          `json:"servers"`
	Sources      []Source          `json:"sources"`
	Counters     map[string]uint64 `json:"counters"`
	Times        Times             `json:"times"`
	Since        time.Time         `json:"since"` // when class, path or reason last changed
	Started      time.Time         `json:"started"`
	Epoch        uint64            `json:"epoch"`
	PID          int               `json:"pid"`
	// Configuration is what the service uses; null: it does not say.
	Configuration *Configuration `json:"configuration"`
}

// Configuration tells which configuration is in use, so that one on disk can be
// compared with it.
type Configuration struct {
	Files    []string  `json:"files"`  // the weakest first
	Digest   string    `json:"digest"` // SHA-256 of the files, in hex
	LoadedAt time.Time `json:"loaded_at"`
}

// Uplink is a link with a default route.
type Uplink struct {
	Name   string  `json:"name"`
	Class  string  `json:"class"`
	IPv6   bool    `json:"ipv6"`
	IPv4   bool    `json:"ipv4"`
	Prefix *string `json:"prefix"` // the best NAT64 prefix known there
	CLAT   bool    `json:"clat"`   // the CLAT goes by it
}

// What becomes of connections through the CLAT when the service is started anew, for
// an upgrade: a reload, discovery anew and another log level never touch them.
const (
	FlowsResume = "flows-resume" // they stall and go on: the addresses stay the same, and no state is kept
	FlowsEnd    = "flows-end"
)

// CLAT is the local translator.
type CLAT struct {
	IPv4    string   `json:"ipv4"`
	IPv6    *string  `json:"ipv6"` // null: flows go on from the host's own address
	Device  string   `json:"device"`
	Uplink  string   `json:"uplink"`
	Restart string   `json:"on_restart"`
	MTU     int      `json:"mtu"`
	Ready   bool     `json:"ready"`
	Neutral bool     `json:"checksum_neutral"`
	Steered string   `json:"steering"`
	Routes  []string `json:"routes"`
}

// Server is one configured server and how it is reached.
type Server struct {
	Name      string   `json:"name"`
	Port      uint16   `json:"port"`
	Address   *string  `json:"address"`
	Path      string   `json:"path"`
	Reachable *bool    `json:"reachable"`
	RTT       *float64 `json:"rtt"`       // seconds, of the TCP handshake
	Handshake *float64 `json:"handshake"` // seconds, of the TLS handshake
	Reason    string   `json:"reason"`
	Error     *string  `json:"error"`
	Checked   *string  `json:"checked_at"`
	Others    []Probe  `json:"others"` // other addresses and paths of the same server
}

// Probe is one address of a server tried over one path.
type Probe struct {
	Address   string `json:"address"`
	Path      string `json:"path"`
	Reachable *bool  `json:"reachable"`
	Reason    string `json:"reason"`
}

// Source is one place where a prefix was looked for, and what it said.
type Source struct {
	Source   string   `json:"source"`
	Link     *string  `json:"link"`
	Server   *string  `json:"server"`
	Verdict  string   `json:"verdict"` // found, none, error, skipped, pending
	Reason   string   `json:"reason"`
	Took     *float64 `json:"took"`    // seconds
	NextIn   *float64 `json:"next_in"` // seconds
	Prefixes []string `json:"prefixes"`
}

// Times measures the way from a new network to a server that answers.
type Times struct {
	RAToHandshake *float64 `json:"ra_to_handshake"` // seconds, last time the path came up
}

// Ptr returns a pointer to v, or nil for the zero value: unknown is null.
func Ptr[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Seconds returns d in seconds, nil for zero.
func Seconds(d time.Duration) *float64 { return Ptr(d.Seconds()) }
