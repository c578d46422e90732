package main

// A setting is one key of the configuration as management tools show it.
type setting struct {
	key     string
	title   string
	explain string // whole sentences; key, default and range are added
	words   []word // the only values, where there are few; the first is the default
	low     string // the range of a number or a duration
	high    string
}

// A word is a value and what it does.
type word struct{ value, title string }

// A table is a part of the configuration, a category of the editor.
type table struct {
	name, title string
	settings    []setting
}

// serverKeys belong to one server. In the registry a server is one line, either NAME[:PORT] or
// an inline table with these keys; in a profile it is a text or a dictionary.
var serverKeys = []setting{
	{key: "name", title: "Name", explain: "Host name or IPv4 address of the backup server."},
	{key: "port", title: "TCP port", explain: "The port of the backup server.", low: "1", high: "65535"},
	{key: "ipv4", title: "Known IPv4 addresses", explain: "Addresses known beforehand, used beside those that DNS gives."},
	{key: "tls", title: "Probe with TLS", explain: "Probe the server with a TLS handshake, not with a TCP connection alone."},
	{key: "server_name", title: "Name in the certificate", explain: "The name that the server's certificate must carry, where it is not the host name."},
	{key: "ca_file", title: "Certificate authorities", explain: "PEM file on the endpoint with the certificate authorities for this server, in place of the system's."},
	{key: "pin_sha256", title: "Pinned certificates", explain: "SHA-256 (64 hex digits) of the certificate or its public key, in place of the check against authorities."},
	{key: "dns", title: "Name servers", explain: "Addresses of the name servers to ask for this name in place of the network's, such as those of a VPN."},
}

// servers replaces all servers of weaker sources.
var servers = setting{key: "server", title: "Backup servers", explain: `The backup servers that reach64 keeps reachable. They replace all servers of the configuration file. At least one is needed, here or there.

One server a line, as NAME or NAME:PORT, where NAME is a host name or an IPv4 address and PORT is 1 to 65535 (443 when left out):
backup.example.com:443

For more than that, a table in the form of TOML, on one line:
{ name = "backup.example.com", port = 443, pin_sha256 = ["..."] }`}

// tables are in the order of the reference file.
var tables = []table{
	{"path", "Path to the servers", []setting{
		{key: "mode", title: "Mode", explain: "Whether reach64 may change anything. Switched off, it watches the network, discovers prefixes, probes the servers and says what it finds: a dry run for a pilot.",
			words: []word{{"auto", "Act where it is needed"}, {"off", "Watch and change nothing"}}},
		{key: "scope", title: "Destinations", explain: "Which IPv4 destinations go through the translator.",
			words: []word{{"server", "The configured servers"}, {"all", "All IPv4 destinations, by a default route"}}},
		{key: "datapath", title: "Datapath", explain: "How packets are translated. On Windows and macOS only the relay can be had.",
			words: []word{{"auto", "The fastest that works"}, {"bpf", "In the kernel (Linux)"}, {"tun", "In user space, steered by the kernel (Linux)"}, {"relay", "Flows end on the endpoint and go on over IPv6"}}},
		{key: "hop_addresses", title: "Addresses for routers in traceroute", explain: "An IPv4 block of at most 256 addresses that nobody uses, such as 203.0.113.0/24. With it traceroute tells IPv6 routers apart (RFC 6791); without, all of them are 192.0.0.8."},
		{key: "other_clat", title: "Beside another translator", explain: "What to do when another program's translator (CLAT) is at work and no server answers through it.",
			words: []word{{"yield", "Stand down"}, {"take-over", "Carry the servers' traffic"}}},
	}},
	{"discovery", "Discovery of the NAT64 prefix", []setting{
		{key: "prefixes", title: "Prefixes given by hand", explain: "NAT64 prefixes such as 64:ff9b::/96, one a line, of length 32, 40, 48, 56, 64 or 96. They win over those that are discovered."},
		{key: "sources", title: "Sources", explain: "Where prefixes may come from, one a line: policy (this configuration), os (the system, DirectAccess), ra (router advertisements), pcp (RFC 7225), dns (RFC 7050), server (the servers' own AAAA records)."},
		{key: "wkp_nonglobal", title: "Private addresses under 64:ff9b::/96", explain: "Whether IPv4 addresses that are not global may be reached through the well-known prefix.",
			words: []word{{"private", "Private addresses only"}, {"never", "Never"}, {"always", "Always"}}},
		{key: "allow", title: "Accepted prefixes", explain: "IPv6 ranges such as 2001:db8::/32, one a line. When there are any, a prefix from the network is used only inside them."},
		{key: "require_validation", title: "Require proof by DNSSEC", explain: "Enabled: no prefix from the network is used that is not proven to belong to a trusted domain (RFC 7050 section 3.1). Trusted domains or names of NAT64s are then needed. Disabled: prefixes need no proof."},
		{key: "trusted_domains", title: "Trusted domains", explain: "Domains whose NAT64s are trusted, such as example.net, one a line. Names below them count."},
		{key: "nat64_names", title: "Names of NAT64s", explain: "Host names of the NAT64s, one a line, where their addresses have no PTR records."},
		{key: "trust_anchor_file", title: "DNSSEC trust anchors", explain: "File on the endpoint with DS or DNSKEY records in the form of a zone file. Without it the root zone's are used, which are built in."},
	}},
	{"probe", "Probes", []setting{
		{key: "interval", title: "Interval", explain: "Time between probes of a server that answers, with 10 % jitter. A number with its unit: s, m or h, such as 60s.", low: "10s", high: "24h"},
		{key: "timeout", title: "Timeout", explain: "How long one probe may take. A number with its unit, such as 10s.", low: "1s", high: "10s"},
		{key: "portal_url", title: "Address that a captive portal intercepts", explain: "An http address that answers 204, such as http://connectivity.example.com/generate_204. It is asked only while no server answers, to tell a captive portal."},
	}},
	{"dns", "Local DNS64", []setting{
		{key: "listen", title: "Address of the local DNS64", explain: "Loopback address of a local DNS64 such as 127.0.0.1:53, for networks with a NAT64 and no DNS64. Read when the service starts."},
		{key: "exclude", title: "Ranges that are not synthesized", explain: "One a line: IPv4 ranges such as 10.0.0.0/8 that are never synthesized, IPv6 ranges that count as no address. ::ffff:0:0/96 always does."},
	}},
	{"log", "Log", []setting{
		{key: "level", title: "Level", explain: "The least important lines that are written.",
			words: []word{{"info", "What happens"}, {"debug", "Everything"}, {"warning", "What may be wrong"}, {"error", "What is wrong"}}},
		{key: "format", title: "Format", explain: "The form of each line.", words: []word{{"text", "Text"}, {"json", "JSON"}}},
		{key: "file", title: "File", explain: "File of the log on the endpoint. Without it the log goes to the place of the service on this system."},
		{key: "max_size", title: "Size of the file, megabytes", explain: "The file is rotated when it grows beyond this many megabytes.", low: "1", high: "1000"},
		{key: "max_files", title: "Rotated files", explain: "How many rotated files are kept, compressed.", low: "1", high: "100"},
	}},
	{"metrics", "Metrics", []setting{
		{key: "listen", title: "Address for Prometheus", explain: "Loopback address where /metrics is found, such as 127.0.0.1:9464. Read when the service starts."},
	}},
}

// withheld are the keys that no policy sets, and why.
var withheld = map[string]string{
	"control.socket": "whoever moves the control socket hides the service from the programs that ask it; it is for a second service on one machine",
}
