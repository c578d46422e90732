// Package siit translates IP packets between IPv4 and IPv6 as a host's CLAT
// does: RFC 7915 with one explicit mapping of the host's own pair of addresses
// (RFC 7757) and the network's NAT64 prefix for everybody else (RFC 6052).
//
// It opens nothing, keeps no state of flows and no time. It does not reassemble:
// what needs a whole datagram that is not there is dropped with a reason.
//
// # Use
//
// New checks a Config and returns a Translator, which is immutable and serves any
// number of goroutines. Each goroutine has a Batch for the output:
//
//	out.Reset()
//	direction, verdict := translator.Translate(out, vnethdr.Header{}, packet)
//	for _, p := range out.Packets() {
//		send(p.Hdr, p.Head, p.Tail)
//	}
//
// Each input gives one Verdict, whose Kind is Translated (the Batch holds one
// packet or more for the other side), Answered (it holds one ICMP error for the
// sender, which a Limiter must let pass) or Dropped (it holds nothing). Its text
// is the reason word.
//
// The input is never modified, and nothing past it is read. An output packet is
// a Head, which belongs to the Batch until its Reset, and a Tail, which is a part
// of the input: only headers are rewritten, so that a super-packet of 64 KiB
// costs what a small packet costs. Nothing is allocated once a Batch has grown,
// and no input makes it panic.
//
// # What is translated
//
// TCP, UDP, DCCP and UDP-Lite with their checksums, ICMP echo, ICMP errors with
// what they quote and with their extensions (RFC 4884), and any other transport
// by its IP header alone. IPv4 options and IPv6 extension headers are left out.
// Fragments of all forms pass both ways, but those of ICMP: the checksum of ICMPv6
// covers a length that no fragment shows. An IPv4 packet that may be fragmented
// is cut to Config.LowestMTU6, an IPv6 packet that IPv4 may fragment to
// Config.MTU4; what may not be cut and does not fit is answered.
//
// # Offload
//
// A vnethdr.Header tells of work that the kernel left to a device: a checksum of
// which only the pseudo-header's part is there, and segmentation. Both are
// carried over to the other family. A super-packet is cut in software only when
// its segments have to be fragmented, or when it is longer than IPv4 can say.
//
// # Choices
//
// Where the RFCs leave it open, or where this package differs from their letter:
//
//   - Protocol numbers that mean an extension header or the other family's ICMP
//     are not copied into the other family (7915-13).
//   - A first fragment too short for its checksum is dropped (SIIT-21).
//   - A Packet Too Big below 1280 counts as 1280, so that nobody shrinks packets
//     further (7915-62).
//   - Translated ICMPv4 errors are cut to 576 bytes (7915-74).
//   - An IPv6 fragment too large for the IPv4 side is fragmented again, since its
//     IPv4 form may be; its sender is told nothing (SIIT-28a).
//   - The Identification of what comes from IPv6 without one counts up in each
//     Batch, since nobody but the host sees it (SEC-14, 7915-37).
//   - A translator has a prefix. When the network withdraws it, the host takes
//     the routes away, and nothing has to be answered (SIIT-66, at its end).
//   - The quote in an ICMPv4 error makes room for the Node Identification of its
//     sender (Config.NodeID), not for the sender's own extensions (SIIT-61).
//   - The source of an ICMP error that has an IPv4 address which the host does not
//     route is replaced: a reverse-path filter would drop it (SIIT-72).
//
// # Requirements
//
// What must hold, by the project's requirement IDs (SIIT, R6052, SEC and SECU;
// the others are of the RFCs of these numbers), where it is done,
// and by which tests it is shown. A test keeps this table true.
//
//	SIIT-1    parse, To4             | TestVerdicts4to6, TestVerdicts6to4
//	SIIT-2    Translate              | TestVerdicts4to6
//	SIIT-3    To6, To4               | TestVerdicts4to6, TestVerdicts6to4, TestPeerDefectTTLNotLowered
//	SIIT-4    header6, header4       | TestPeerDefectTTLNotLowered
//	SIIT-5    unicast4, unicast6     | TestErrorsAreNeverAnswered6to4, TestVerdicts4to6
//	SIIT-6    unicast4, unicast6     | TestErrorsAreNeverAnswered6to4, TestQuotesThatAreNotOurs, TestVerdicts4to6
//	SIIT-7    To6                    | TestVerdicts4to6
//	SIIT-8    To4, source4           | TestVerdicts6to4, TestPeerDefectOwnAddressThroughThePrefix
//	SIIT-9    Translate              | FuzzNoPanic
//	SIIT-10   header6                | TestDSCPCanBeCleared, TestTrafficClassIsKept, TestPeerDefectTopDSCPBitLost
//	SIIT-11   checkOptions           | TestVerdicts4to6, TestPeerDefectOptionsDropped, TestPeerDefectSourceRoutePassed
//	SIIT-12   checkOptions           | TestVerdicts4to6
//	SIIT-13   badProtocol4, parse    | TestQuotedPacketsThatCannotBe4to6, TestVerdicts4to6, TestVerdicts6to4
//	SIIT-14   Translate              | TestSpecVectors, TestVectorOfCutting
//	SIIT-15   room6                  | FuzzFragmentsAgainstOracle, TestSizesAtWhichPacketsAreCut, TestVerdicts4to6
//	SIIT-16   cut6                   | TestSizesAtWhichPacketsAreCut, TestVectorOfCutting
//	SIIT-16a  icmpTo6                | TestVerdicts4to6
//	SIIT-17   cut6                   | TestVectorOfCutting
//	SIIT-18   cut6                   | TestVectorOfCutting
//	SIIT-19   transportTo6           | TestPartialChecksumIsCompletedBeforeCutting
//	SIIT-20   room6                  | TestSizesAtWhichPacketsAreCut
//	SIIT-21   fragmentHead           | FuzzFragmentsAgainstOracle, TestFragmentsThatCannotPass
//	SIIT-22   icmpTo6, To4           | TestFragmentsThatCannotPass
//	SIIT-23   parse                  | TestVerdicts4to6
//	SIIT-24   header4, seal4         | TestDSCPCanBeCleared, TestTrafficClassIsKept, TestPeerDefectTopDSCPBitLost
//	SIIT-25   df4                    | TestDontFragmentOfSuperPackets
//	SIIT-26   fragmentHeader, header4 | FuzzFragmentsAgainstOracle, TestIdentification, TestVerdicts6to4
//	SIIT-27   parse                  | TestAnswersToTheNetwork, TestVerdicts6to4, TestPeerDefectExtensionHeadersDropped
//	SIIT-28   parse                  | TestQuotedPacketsThatCannotBe6to4, TestTooManyExtensionHeaders, TestVerdicts6to4
//	SIIT-28a  room4, cut4            | FuzzFragmentsAgainstOracle, TestSizesAtWhichPacketsAreCut6to4
//	SIIT-29   update                 | FuzzAgainstOracle, TestIncrementalUpdate
//	SIIT-30   fix, change6, change4  | FuzzAgainstOracle
//	SIIT-31   fillUDP, transportTo6  | TestFragmentsThatCannotPass, TestUDPWithoutChecksum, TestUDPWithoutChecksumByConfiguration
//	SIIT-32   transportTo4           | TestUDPWithoutChecksumByConfiguration, TestVerdicts6to4
//	SIIT-33   transportHead          | TestUDPWithoutChecksum, TestVerdicts4to6, TestVerdicts6to4
//	SIIT-34   fixEcho                | FuzzAgainstOracle
//	SIIT-35   checkField             | TestOtherChecksumsThatCoverAddresses, TestUnknownTransportsPassUntouched, TestVerdicts4to6
//	SIIT-36   update, errorTo6, checkError6 | TestChecksumsAreNotRepaired, TestQuotesThatAreNotOurs
//	SIIT-40   errorTypes6            | TestEveryICMPv4TypeAndCode, TestICMPv4ErrorsByTheTable, TestVerdicts4to6
//	SIIT-41   errorTypes4            | TestEveryICMPv6TypeAndCode, TestICMPv6ErrorsByTheTable, TestPeerDefectPacketTooBigDropped
//	SIIT-42   pointerTo6             | TestEveryPointer4to6, TestICMPv4ErrorsByTheTable
//	SIIT-43   pointerTo4             | TestEveryPointer6to4, TestICMPv6ErrorsByTheTable
//	SIIT-44   errorTo6, errorTo4     | TestEveryPointer4to6, TestEveryPointer6to4
//	SIIT-50   mtuTo6                 | TestMTUInFragmentationNeeded
//	SIIT-51   mtuTo4                 | TestMTUInPacketTooBig, TestPeerDefectPacketTooBigDropped
//	SIIT-52   mtuTo6                 | TestLikelyMTUs, TestMTUInFragmentationNeeded
//	SIIT-55   quoteTo6, quoteTo4     | TestQuotedPacketsThatCannotBe4to6, TestQuotedPacketsThatCannotBe6to4, TestPeerDefectQuotedPacketNotTranslated
//	SIIT-56   errorTo6, quoted6      | TestQuotedPacketsThatCannotBe4to6, TestQuotesThatAreNotOurs, TestPeerDefectQuotedPacketNotTranslated
//	SIIT-57   quoteTo6, quoteTo4     | FuzzErrorsAgainstOracle, TestQuotedFragments
//	SIIT-58   fixQuoted, fixQuotedEcho | FuzzErrorsAgainstOracle, TestQuotedEcho
//	SIIT-59   fixQuotedEcho          | TestQuotedPacketsThatCannotBe4to6, TestQuotesThatAreNotOurs
//	SIIT-60   quoted6, parse         | TestQuotedPacketsThatCannotBe4to6, TestQuotedPacketsThatCannotBe6to4, TestQuotesThatAreNotOurs
//	SIIT-61   extend                 | FuzzErrorsAgainstOracle, FuzzExtensionsAgainstOracle, TestErrorsFitASmallMTU
//	SIIT-62   original, extend       | FuzzExtensionsAgainstOracle, TestCheckedVectors
//	SIIT-63   original, errorTo6     | TestExtensionsThatCannotStay
//	SIIT-64   errorTo6, errorTo4     | FuzzExtensionsAgainstOracle
//	SIIT-65   icmpTo6, To4           | TestFragmentsThatCannotPass
//	SIIT-66   answer4, answer6       | TestAnswersToTheHost, TestAnswersToTheNetwork, TestProhibitedIsSaid
//	SIIT-67   isQuery4, isQuery6     | TestErrorsAreNeverAnswered4to6, TestErrorsAreNeverAnswered6to4
//	SIIT-68   Allow                  | TestLimiter, TestLimiterRefills
//	SIIT-69   answer4, answer6       | TestAnswersToTheHost, TestAnswersToTheNetwork
//	SIIT-70   errorSource4           | TestSourcesOfHops, TestPeerDefectErrorsOfNativeRoutersDropped
//	SIIT-71   To6                    | TestVerdicts4to6
//	SIIT-72   errorSource4, routed   | TestSourceOfErrorsWithHostRoutesAlone, TestSourcesOfHops
//	SIIT-73   quoted6                | TestQuotesThatAreNotOurs
//	SIIT-80   NeutralAddr, isNeutral | TestNeutralAddresses
//	SIIT-81   NeutralAddr            | TestNeutralAddresses
//	SIIT-82   IsReservedIID          | TestReservedInterfaceIdentifiers
//	SIIT-83   NeutralAddr            | TestNeutralAddresses
//	SIIT-84   Neutral                | TestNeutralAddresses
//	SIIT-85   offload                | TestOffloadThatDoesNotFitIsDropped
//	SIIT-86   offload                | TestOffloadBehindOptions, TestOffloadThatDoesNotFitIsDropped6to4, TestSegmentsOfICMPAreDropped
//	SIIT-87   updatePartial, fixEcho | TestChecksumsAreNotRepaired, TestPartialChecksumIsCompletedBeforeCutting, TestSpecVectorSuperPacket
//	SIIT-88   offload                | TestOffloadThatDoesNotFitIsDropped, TestOffloadThatDoesNotFitIsDropped6to4
//	SIIT-89   segments, To4          | TestOffloadThatDoesNotFitIsDropped6to4, TestSuperPacketTooLongForIPv4, TestVerdicts6to4
//	SIIT-90   segment                | TestDontFragmentOfSuperPackets, TestOffloadThatDoesNotFitIsDropped, TestOffloadThatDoesNotFitIsDropped6to4
//	SIIT-91   segments, complete     | TestFlagsOfSegments, TestSuperPacketsWhoseSegmentsAreFragmented
//	SIIT-91a  transportTo6           | TestSpecVectorSuperPacket
//	SIIT-92   offload                | TestFlagsOfSegments, TestOffloadThatDoesNotFitIsDropped, TestSegmentsOfICMPAreDropped
//	7915-1    room6, room4, To6, To4 | TestErrorsFitASmallMTU, TestSizesAtWhichPacketsAreCut6to4, TestVerdicts6to4
//	7915-2    icmpTo6, To4           | TestFragmentsThatCannotPass
//	7915-3    Translate              | TestManyWorkersShareATranslator
//	7915-10   header6                | TestDSCPCanBeCleared
//	7915-11   To6                    | TestVerdicts4to6
//	7915-12   checkOptions           | TestPeerDefectOptionsDropped, TestPeerDefectSourceRoutePassed
//	7915-13   transportTo6, badProtocol4 | TestUnknownTransportsPassUntouched
//	7915-20   room6                  | TestSizesAtWhichPacketsAreCut, TestPeerDefectAtomicFragments
//	7915-21   room6                  | TestSizesAtWhichPacketsAreCut, TestVerdicts4to6
//	7915-22   room6, cut6            | FuzzFragmentsAgainstOracle, TestSizesAtWhichPacketsAreCut, TestVerdicts4to6
//	7915-23   cut6                   | FuzzFragmentsAgainstOracle, TestVectorOfCutting
//	7915-30   header4                | TestDSCPCanBeCleared
//	7915-31   header4                | FuzzFragmentsAgainstOracle, TestCheckedVectors, TestIdentification
//	7915-32   fragmentHeader         | TestFragmentsThatCannotPass, TestVerdicts6to4
//	7915-33   parse, answer6         | TestCheckedVectors
//	7915-34   room4, cut4            | FuzzFragmentsAgainstOracle, TestSizesAtWhichPacketsAreCut6to4
//	7915-35   source4                | TestVerdicts6to4
//	7915-36   update                 | TestChecksumsAreNotRepaired
//	7915-37   nextIdent              | TestIdentification
//	7915-40   fix                    | FuzzAgainstOracle, TestOtherChecksumsThatCoverAddresses
//	7915-41   fillUDP, transportTo6  | TestFragmentsThatCannotPass, TestUDPWithoutChecksum, TestUDPWithoutChecksumByConfiguration
//	7915-42   noZero                 | TestCheckedVectors, TestUDPWithoutChecksum
//	7915-43   transportTo4           | TestUDPWithoutChecksumByConfiguration
//	7915-44   pseudo6                | FuzzAgainstOracle
//	7915-60   mtuTo6                 | TestICMPv4ErrorsByTheTable, TestLikelyMTUs, TestMTUInFragmentationNeeded
//	7915-61   mtuTo4                 | TestMTUInPacketTooBig, TestQuotedFragments
//	7915-62   mtuTo4                 | TestMTUInPacketTooBig, TestPeerDefectTinyPacketTooBig
//	7915-63   mtuTo6                 | TestLikelyMTUs
//	7915-70   quoteTo6, quoteTo4     | FuzzErrorsAgainstOracle, TestQuotedFragments, TestPeerDefectQuotedPacketNotTranslated
//	7915-71   fixQuotedEcho          | TestQuotesThatAreNotOurs
//	7915-72   fixQuoted              | FuzzErrorsAgainstOracle
//	7915-73   original, extend       | FuzzExtensionsAgainstOracle, TestExtensionsThatCannotStay
//	7915-74   answer4, answer6, extend | FuzzErrorsAgainstOracle, TestAnswersToTheHost, TestAnswersToTheNetwork
//	7915-80   prohibit4              | TestProhibitedIsSaid
//	7915-81   prohibit6              | TestProhibitedIsSaid
//	7915-82   prohibit4, prohibit6   | TestProhibitedIsSaid
//	7915-83   answer4, answer6       | TestErrorsAreNeverAnswered4to6, TestErrorsAreNeverAnswered6to4
//	7915-84   Allow                  | TestLimiter
//	7915-85   answer4                | TestAnswersToTheHost
//	6791-1    errorSource4           | TestSourcesOfHops
//	6791-2    errorSource4, nodeID   | TestNodeIdentification, TestSourcesOfHops, TestPeerDefectErrorsOfNativeRoutersDropped
//	6791-3    errorTo4               | TestNodeIdentification
//	7757-1    header6, To4           | TestSpecVectors
//	7757-2    header6                | TestSpecVectors
//	7757-3    isNeutral              | TestCheckedNeutralAddress
//	7757-4    source4                | TestVerdicts6to4, TestPeerDefectOwnAddressThroughThePrefix
//	8021-1    room6                  | TestSizesAtWhichPacketsAreCut, TestPeerDefectAtomicFragments
//	6145-1    room6, parse           | TestPeerDefectAtomicFragments, TestPeerDefectExtensionHeadersDropped
//	1624-1    update                 | TestIncrementalUpdate
//	1624-2    update, fixEcho        | FuzzAgainstOracle
//	1624-3    NeutralAddr            | TestCheckedNeutralAddress
//	1624-4    Neutral                | TestCheckedNeutralAddress
//	R6052-2   embed, extract         | TestEveryPrefixLengthBothWays
//	R6052-3   embed                  | TestEveryPrefixLengthBothWays
//	R6052-4   extract                | TestEveryPrefixLengthBothWays
//	R6052-8   allowed                | TestNonGlobalUnderTheWellKnownPrefix
//	R6052-9   allowed                | TestNonGlobalUnderTheWellKnownPrefix
//	R6052-11  allowed                | TestNonGlobalUnderTheWellKnownPrefix
//	R6052-13  To6, To4               | TestVerdicts4to6, TestVerdicts6to4
//	R6052-14  change6, change4, isNeutral | FuzzAgainstOracle, TestEveryPrefixLengthBothWays, TestNeutralAddresses
//	6052-2    embed, extract         | TestEveryPrefixLengthBothWays
//	6052-4    extract                | TestEveryPrefixLengthBothWays
//	6052-5    extract                | TestEveryPrefixLengthBothWays
//	6052-6    allowed                | TestNonGlobalUnderTheWellKnownPrefix
//	6052-7    allowed                | TestNonGlobalUnderTheWellKnownPrefix
//	6052-11   allowed                | TestNonGlobalUnderTheWellKnownPrefix
//	SEC-10    source4, quoted6       | TestQuotesThatAreNotOurs, TestPeerDefectOwnAddressThroughThePrefix
//	SEC-11    allowed                | TestNonGlobalUnderTheWellKnownPrefix
//	SEC-12    mtuTo4, quoted6        | TestMTUInPacketTooBig, TestQuotesThatAreNotOurs
//	SEC-13    isQuery4, isQuery6, Allow | TestErrorsAreNeverAnswered4to6, TestErrorsAreNeverAnswered6to4, TestLimiter
//	SEC-14    fragmentHead           | TestFragmentsThatCannotPass
//	SEC-15    parse                  | TestTooManyExtensionHeaders
//	SEC-16    unicast4               | TestVerdicts4to6
//	SECU-3    source4                | TestPeerDefectOwnAddressThroughThePrefix
//	SECU-5    mtuTo4, quoted6        | TestQuotesThatAreNotOurs, TestPeerDefectTinyPacketTooBig
//	SECU-9    transportTo6, transportTo4 | TestVerdicts4to6, TestVerdicts6to4
//
// Elsewhere, or without effect here:
//   - SIIT-53: learned path MTUs are remembered by the host's own IPv4 stack, which
//     gets each Packet Too Big translated.
//   - SIIT-54: segments are kept small by the MTU of the IPv4 side; nothing is clamped.
//   - R6052-10: the list of blocks is resolver/nat64's.
//   - 7915-4: a CLAT forwards nothing natively; which packets reach it is decided by
//     routes and steering.
//   - 7915-5: errata, which say nothing that the RFC's readers did differently here.
package siit
