package diag

// rules are the checks in the order of the path: this machine, its network, names,
// the NAT64, the server, and then reach64 itself.
var rules []rule

func init() { // Judge walks the rules, and some of them name others
	rules = []rule{
		{"links", "Network interface", nil, Local, judgeLinks},
		{"addresses", "Addresses", []string{"links"}, Local, judgeAddresses},
		{"routes", "Default route", []string{"addresses"}, Local, judgeRoutes},
		{"resolvers", "DNS servers", []string{"routes"}, Resolvers, judgeResolvers},
		{"captive", "No sign-in wanted", []string{"routes"}, Portal, judgeCaptive},
		{"name", "Name, for programs", []string{"resolvers", "captive"}, Names, each(judgeName)},
		{"records", "Name, at DNS servers", []string{"resolvers", "captive", "name"}, Resolvers, each(judgeRecords)},
		{"ipv4only", "ipv4only.arpa", []string{"resolvers", "captive"}, Resolvers, judgeIPv4only},
		{"dns64", "DNS64", []string{"ipv4only"}, Resolvers, judgeDNS64},
		{"prefix", "NAT64 prefix", []string{"routes", "dns64"}, Sources, judgePrefix},
		{"prefix-sources", "Prefix sources agree", []string{"prefix", "captive"}, Sources, judgeSources},
		{"directaccess", "DirectAccess", []string{"routes"}, Local, judgeDirectAccess},
		{"nat64", "NAT64", []string{"prefix", "prefix-sources", "captive"}, Echoes, judgeNAT64},
		{"mtu", "Full-sized packets", []string{"nat64", "server-tcp"}, Paths, each(judgeMTU)},
		{"server-tcp", "Server: TCP", []string{"name", "nat64", "captive", "other-clat", "vpn"}, Paths, each(judgeTCP)},
		{"server-tls", "Server: TLS", []string{"server-tcp", "mtu"}, Paths, each(judgeTLS)},
		{"server-identity", "Server: identity", []string{"server-tls"}, Paths, each(judgeIdentity)},
		{"server-certificate", "Server: certificate", []string{"server-tls", "clock"}, Paths, each(judgeCertificate)},
		{"server-rtt", "Server: round trip", []string{"server-tcp"}, Paths, each(judgeRTT)},
		{"clat", "CLAT", []string{"service", "permission", "name", "prefix", "other-clat"}, Local, judgeCLAT},
		{"clat-route", "CLAT: route", []string{"clat"}, Local, each(judgeRoute)},
		{"clat-datapath", "CLAT: datapath", []string{"clat"}, Local, judgeDatapath},
		{"clat-path", "Server through CLAT", []string{"clat", "clat-route", "nat64", "prefix-sources", "server-tcp", "mtu", "server-tls", "server-identity", "server-certificate"},
			Paths, each(judgeThrough)},
		{"other-clat", "Other CLATs", []string{"addresses"}, Local, judgeForeign},
		{"vpn", "VPN", []string{"addresses"}, Paths, judgeVPN},
		{"ipv4", "Native IPv4", []string{"addresses", "vpn", "captive"}, Paths, judgeIPv4},
		{"permission", "Permission", nil, Local, judgePermission},
		{"service", "Service", []string{"configuration", "permission"}, Local, judgeService},
		{"loaded", "Configuration in use", []string{"service", "configuration"}, Local, judgeLoaded},
		{"clock", "Clock", nil, Paths, judgeClock},
		{"configuration", "Configuration", nil, Local, judgeConfiguration},
		{"policy", "Policy", []string{"configuration"}, Local, judgePolicyFiles},
	}
}
