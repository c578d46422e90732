package siit

// Direction is which way a packet goes.
type Direction uint8

// The directions. DirNone is a packet of neither family.
const (
	DirNone Direction = iota
	Dir4to6
	Dir6to4
)

var directionWords = [...]string{"none", "4to6", "6to4"}

// String returns the word used in counters.
func (d Direction) String() string { return directionWords[d] }

// Kind is what sort of verdict it is.
type Kind uint8

// The kinds.
const (
	Dropped    Kind = iota
	Translated      // the Batch holds one packet or more for the other side
	Answered        // the Batch holds an ICMP error for the sender
)

var kindWords = [...]string{"dropped", "translated", "answered"}

// String returns the word used in reports.
func (k Kind) String() string { return kindWords[k] }

// Verdict is what became of a packet, with its reason.
type Verdict uint8

// The verdicts.
const (
	OK                  Verdict = iota // translated
	FilledChecksum                     // translated; the UDP checksum that it had not was computed
	Authenticated                      // translated; its AH will not hold at the receiver (SIIT-28)
	AnsweredTTL                        // TTL or Hop Limit ran out: Time Exceeded
	AnsweredTooBig                     // larger than the other side's MTU: Fragmentation Needed, Packet Too Big
	AnsweredSourceRoute                // IPv4 source route not used up: Source Route Failed
	AnsweredRouting                    // IPv6 Routing header with segments left: Parameter Problem
	AnsweredNonGlobal                  // as NotAllowed: Communication Administratively Prohibited
	AnsweredOutside                    // as OutsidePrefix: the same
	AnsweredProtocol                   // as BadProtocol: the same
	NotIP                              // version is neither 4 nor 6
	Malformed                          // lengths or header do not agree
	BadHeaderChecksum                  // IPv4 header checksum is wrong
	BadChecksum                        // checksum of an ICMP error is wrong
	NotOurs                            // not from or to the CLAT's address
	Martian                            // an address that may not be there
	NotAllowed                         // non-global IPv4 under the well-known prefix
	OutsidePrefix                      // IPv6 source is not in the prefix
	BadFragment                        // a fragment whose length or place cannot be, or of an extension header
	TinyFragment                       // a first fragment too short for the transport's checksum
	FragmentedICMP                     // fragments of ICMP, whose checksum needs the whole length
	TooBig                             // as AnsweredTooBig, but may not be answered
	TTLExpired                         // as AnsweredTTL, but may not be answered
	BadOptions                         // IPv4 options or IPv6 extension headers are malformed or too many
	SourceRouted                       // as AnsweredSourceRoute and AnsweredRouting, but may not be answered
	BadProtocol                        // a protocol that means something else in the other family
	ICMPType                           // an ICMP type or code without counterpart
	ICMPQuote                          // an ICMP error that does not quote a packet of ours
	ZeroChecksum                       // UDP without checksum
	Offload                            // offload state that does not fit the packet
	NumVerdicts
)

var verdicts = [NumVerdicts]struct {
	kind Kind
	word string
}{
	OK:                  {Translated, "translated"},
	FilledChecksum:      {Translated, "translated-checksum-computed"},
	Authenticated:       {Translated, "translated-authenticated"},
	AnsweredTTL:         {Answered, "answered-ttl-expired"},
	AnsweredTooBig:      {Answered, "answered-too-big"},
	AnsweredSourceRoute: {Answered, "answered-source-route"},
	AnsweredRouting:     {Answered, "answered-routing-header"},
	AnsweredNonGlobal:   {Answered, "answered-non-global"},
	AnsweredOutside:     {Answered, "answered-outside-prefix"},
	AnsweredProtocol:    {Answered, "answered-protocol"},
	NotIP:               {Dropped, "dropped-not-ip"},
	Malformed:           {Dropped, "dropped-malformed"},
	BadHeaderChecksum:   {Dropped, "dropped-bad-header-checksum"},
	BadChecksum:         {Dropped, "dropped-bad-checksum"},
	NotOurs:             {Dropped, "dropped-not-ours"},
	Martian:             {Dropped, "dropped-martian"},
	NotAllowed:          {Dropped, "dropped-non-global"},
	OutsidePrefix:       {Dropped, "dropped-outside-prefix"},
	BadFragment:         {Dropped, "dropped-bad-fragment"},
	TinyFragment:        {Dropped, "dropped-tiny-first-fragment"},
	FragmentedICMP:      {Dropped, "dropped-fragmented-icmp"},
	TooBig:              {Dropped, "dropped-too-big"},
	TTLExpired:          {Dropped, "dropped-ttl-expired"},
	BadOptions:          {Dropped, "dropped-bad-options"},
	SourceRouted:        {Dropped, "dropped-source-routed"},
	BadProtocol:         {Dropped, "dropped-protocol"},
	ICMPType:            {Dropped, "dropped-icmp-type"},
	ICMPQuote:           {Dropped, "dropped-icmp-quote"},
	ZeroChecksum:        {Dropped, "dropped-zero-checksum"},
	Offload:             {Dropped, "dropped-offload"},
}

// String returns the reason word, the same in counters, status and tests.
func (v Verdict) String() string { return verdicts[v].word }

// Kind tells whether the packet was translated, answered or dropped.
func (v Verdict) Kind() Kind { return verdicts[v].kind }
