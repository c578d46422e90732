package reach

// Reason says why a class, a path or a refusal is what it is. It is the same
// word in status, logs and tests.
type Reason string

// The reasons.
const (
	ReasonOffline      Reason = "no-default-route"
	ReasonNoAddress    Reason = "no-usable-address"
	ReasonNativeIPv4   Reason = "native-ipv4"
	ReasonBrokenIPv4   Reason = "ipv4-without-path"
	ReasonNativeServer Reason = "server-has-ipv6"
	ReasonForeignCLAT  Reason = "another-clat"
	ReasonOff          Reason = "switched-off"
	ReasonPaused       Reason = "paused"
	ReasonSearching    Reason = "discovering-prefix"
	ReasonUnclear      Reason = "sources-do-not-answer"
	ReasonNoPrefix     Reason = "no-nat64-prefix"
	ReasonUnproven     Reason = "prefix-not-validated"
	ReasonNoServerIPv4 Reason = "server-ipv4-unknown"
	ReasonNo64         Reason = "no-slash-64"
	ReasonOneAddress   Reason = "directaccess-one-address"
	ReasonWaitIPv4     Reason = "waiting-for-dhcpv4"
	ReasonHoldDown     Reason = "ipv4-flapping"
	ReasonCLATStarting Reason = "clat-starting"
	ReasonCLATUp       Reason = "clat-carries-ipv4"
	ReasonRelayUp      Reason = "relay-carries-ipv4"
	ReasonServerSilent Reason = "server-does-not-answer"
	ReasonSomeSilent   Reason = "some-servers-do-not-answer"
	ReasonNotPermitted Reason = "not-permitted"
	ReasonDatapath     Reason = "datapath-failed"
	ReasonDuplicate    Reason = "duplicate-address"
	ReasonContested    Reason = "changed-by-others"
	ReasonBrokenIPv6   Reason = "ipv6-without-path"
	ReasonBrokenDNS    Reason = "dns-does-not-answer"
	ReasonBrokenCLAT   Reason = "another-clat-without-path"
	ReasonCaptive      Reason = "captive-portal"
)

// text is what a reason means to a person, and what to do about it.
type text struct{ sentence, advice string }

const lookAtServers = "Look at the servers below: refused means that the server's port is closed, timeout that the NAT64 or a firewall drops the packets, tls that something answers that does not prove to be the server."

var texts = map[Reason]text{
	ReasonOffline:      {"There is no default route, neither IPv6 nor IPv4.", "Connect to a network. reach64 goes on by itself when a router appears."},
	ReasonNoAddress:    {"There is a default route, but no address of this machine to use it with.", "Look at the detail. An address that is in use by another machine has to be changed on one of the two; without any address the router's prefix or the DHCP server is missing."},
	ReasonNativeIPv4:   {"IPv4 works natively here, so reach64 stands down.", ""},
	ReasonBrokenIPv4:   {"There is an IPv4 address and a default route here, but no server answers over it, nor through a NAT64.", lookAtServers + " If other IPv4 addresses answer, the server is down or blocked."},
	ReasonNativeServer: {"The server has an IPv6 address of its own and answers there.", ""},
	ReasonForeignCLAT:  {"Another CLAT is at work on this machine, so reach64 stands down.", ""},
	ReasonOff:          {"reach64 is switched off by path.mode.", "Set path.mode = \"auto\" and reload the service."},
	ReasonPaused:       {"reach64 was paused by an administrator.", "Run reach64 resume. A pause with a time ends by itself."},
	ReasonSearching:    {"This network has only IPv6; the NAT64 prefix is being looked for.", ""},
	ReasonUnclear:      {"This network has only IPv6; whether it has a NAT64 is not known, since a source gives no answer.", "Look at the sources below. If the network's DNS server is silent, its operator has to mend it; reach64 keeps asking."},
	ReasonNoPrefix:     {"This network has only IPv6, and no NAT64 was found.", "Ask the network's operator for NAT64 with PREF64 in router advertisements (RFC 8781) or DNS64, or set discovery.prefixes. reach64 keeps looking."},
	ReasonUnproven:     {"A NAT64 prefix was found, but the proof that the configuration requires is missing.", "The detail says which: the NAT64 needs a name in a trusted domain whose AAAA record is signed with DNSSEC (RFC 7050 section 3.1). discovery.trusted_domains and nat64_names say what is trusted."},
	ReasonNoServerIPv4: {"No IPv4 address of any configured server is known.", "Check the server's name, or give its addresses in ipv4 = [...]."},
	ReasonNo64:         {"The uplink has no /64 from which an address for the CLAT can be taken.", "The network gives only single addresses (DHCPv6). With path.datapath = \"auto\" or \"relay\" reach64 needs no second one."},
	ReasonOneAddress:   {"The way to the NAT64 is DirectAccess' or a like tunnel, over which no second IPv6 address can be used.", "With path.datapath = \"auto\" or \"relay\" reach64 needs no second one."},
	ReasonWaitIPv4:     {"A NAT64 is there; waiting a moment whether DHCPv4 brings native IPv4.", ""},
	ReasonHoldDown:     {"Native IPv4 comes and goes; the CLAT waits until it settles.", "Look at the network's DHCPv4 server if this goes on."},
	ReasonCLATStarting: {"The CLAT is being set up; its address is checked for duplicates.", ""},
	ReasonCLATUp:       {"IPv4 to the server goes through the CLAT and the network's NAT64.", ""},
	ReasonRelayUp:      {"IPv4 to the server ends on this machine, and goes on over IPv6 sockets through the network's NAT64.", ""},
	ReasonServerSilent: {"The CLAT is up, but no server is reached through it.", lookAtServers},
	ReasonSomeSilent:   {"The CLAT is up, but not every server is reached through it.", lookAtServers},
	ReasonNotPermitted: {"The CLAT could not be set up: reach64 is not permitted to.", "Run the service as root, or give it the capability that is named."},
	ReasonDatapath:     {"The CLAT could not be set up.", "See the detail; reach64 tries again when the network changes and every 30 seconds."},
	ReasonContested:    {"Another program keeps taking away the CLAT's addresses or routes, so reach64 stands back for a while.", "See the detail for what is taken away, and keep that program's hands off it (NetworkManager: unmanaged-devices=interface-name:clat*). reach64 tries again every 30 seconds."},
	ReasonBrokenIPv6:   {"There is an IPv6 address and a default route here, but neither a DNS server nor a server answers.", "The router has no way out, or something drops all packets. If other devices on this network have IPv6, look at this machine's firewall. reach64 keeps trying."},
	ReasonBrokenDNS:    {"No DNS server of this network answers, so the NAT64 prefix or the server's address is not known.", "The network's operator has to mend its DNS servers. What DNS would say can be configured: ipv4 of the server, and discovery.prefixes. reach64 keeps asking."},
	ReasonBrokenCLAT:   {"Another CLAT is at work on this machine, but no server answers through it.", "Mend or stop the program that is named; or set path.other_clat = \"take-over\", and the servers, when they answer through the NAT64, are reached by reach64's own CLAT. " + lookAtServers},
	ReasonCaptive:      {"This network wants a sign-in first (a captive portal), and no server answers.", "Open the address in the detail with a browser and sign in. reach64 goes on by itself."},
	ReasonDuplicate:    {"The CLAT's IPv6 address is in use by another machine.", "reach64 draws another one by itself; if this stays, a device on the link answers for every address."},
}

// Sentence says in words what the reason means.
func (r Reason) Sentence() string { return texts[r].sentence }

// Advice says what a person can do, "" when there is nothing to do.
func (r Reason) Advice() string { return texts[r].advice }
