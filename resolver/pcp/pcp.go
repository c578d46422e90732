// Package pcp reads and writes the messages of the Port Control Protocol (RFC
// 6887) that a host needs to learn NAT64 prefixes: ANNOUNCE and MAP requests with
// the PREFIX64 option (RFC 7225), and the answers to them; and it does the
// protocol's arithmetic, retransmission times and the check of a server's epoch.
//
// The reader is tolerant: one bad option costs only itself, one bad entry of a
// list of IPv4 prefixes only that entry. The package opens no socket, keeps no
// state and knows no time: resolver/discover asks. It makes no mappings and knows
// no PEER, THIRD_PARTY, PREFER_FAILURE or FILTER.
package pcp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/reach64/reach64/resolver/nat64"
)

// Numbers of the protocol, RFC 6887 sections 7 and 19.
const (
	Version    = 2
	Port       = 5351 // UDP, of servers
	MaxMessage = 1100 // bytes of a UDP payload
)

// The anycast addresses of PCP servers, RFC 7723.
var (
	Anycast4 = netip.MustParseAddr("192.0.0.9")
	Anycast6 = netip.MustParseAddr("2001:1::1")
)

// Opcode says what a message is about, RFC 6887 section 19.2.
type Opcode uint8

// The opcodes. ANNOUNCE creates no state in the server.
const (
	Announce Opcode = 0
	Map      Opcode = 1
)

// String returns the word of the RFC.
func (o Opcode) String() string {
	switch o {
	case Announce:
		return "ANNOUNCE"
	case Map:
		return "MAP"
	}
	return fmt.Sprintf("opcode %d", uint8(o))
}

// Result is a result code, RFC 6887 section 7.4.
type Result uint8

// The result codes that a client treats in a way of their own.
const (
	Success          Result = 0
	UnsuppVersion    Result = 1
	NotAuthorized    Result = 2
	MalformedRequest Result = 3
	UnsuppOpcode     Result = 4
	UnsuppOption     Result = 5
	MalformedOption  Result = 6
	NetworkFailure   Result = 7
	NoResources      Result = 8
	UserExQuota      Result = 10
	AddressMismatch  Result = 12
)

var resultNames = [...]string{"SUCCESS", "UNSUPP_VERSION", "NOT_AUTHORIZED", "MALFORMED_REQUEST", "UNSUPP_OPCODE", "UNSUPP_OPTION",
	"MALFORMED_OPTION", "NETWORK_FAILURE", "NO_RESOURCES", "UNSUPP_PROTOCOL", "USER_EX_QUOTA", "CANNOT_PROVIDE_EXTERNAL",
	"ADDRESS_MISMATCH", "EXCESSIVE_REMOTE_PEERS"}

// String returns the word of the RFC.
func (r Result) String() string {
	if int(r) >= len(resultNames) {
		return fmt.Sprintf("result %d", uint8(r))
	}
	return resultNames[r]
}

// Temporary tells whether the server may well answer the same question otherwise
// before long: the codes with a short lifetime in RFC 6887 section 7.4.
func (r Result) Temporary() bool {
	return r == NetworkFailure || r == NoResources || r == UserExQuota
}

// ErrInvalid is the cause when a whole message must be ignored.
var ErrInvalid = errors.New("invalid PCP response")

// Mapping are the fields of a MAP message that say which answer belongs to which
// request (RFC 6887 section 11.1).
type Mapping struct {
	Nonce        [12]byte
	Protocol     uint8 // IP protocol number
	InternalPort uint16
}

// Learn is a mapping that serves for asking alone: UDP, the discard port (spec
// 6887-12). Nonce has to be random, and another one for each server.
func Learn(nonce [12]byte) Mapping { return Mapping{Nonce: nonce, Protocol: 17, InternalPort: 9} }

// LearnLifetime is how long a mapping that serves for asking alone lives (spec
// PCP-5).
const LearnLifetime = 120 * time.Second

// Response is one answer of a server.
type Response struct {
	Version  uint8 // 2, or with UNSUPP_VERSION the one that the server speaks
	Opcode   Opcode
	Result   Result
	Lifetime time.Duration // of the mapping, or how long the error will last; ANNOUNCE has none
	Epoch    uint32        // seconds since the server lost its state
	Mapping  Mapping       // of a MAP response
	Prefixes []Prefix64    // none in an error: its options are copies of the request's
	Ignored  []Ignored
}

// Prefix64 is a PREFIX64 option, RFC 7225 section 5.
type Prefix64 struct {
	Prefix nat64.Prefix
	// IPv4 are the destinations that the prefix serves, masked; none: all.
	IPv4 []netip.Prefix
}

// Ignored is what a response holds and could not be used. Options of other codes
// are skipped without a word (RFC 6887 section 7.3).
type Ignored struct {
	Code   uint8
	Offset int // of the option, from the first byte of the message
	Why    string
}
