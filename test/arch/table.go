package arch

// A Kind is what a package may import from this module besides its explicit list.
type Kind uint8

const (
	// Pure (L0): only what its list names.
	Pure Kind = iota + 1
	// Edge of the operating system (L1): pure packages.
	Edge
	// Engine (L1): pure packages; never an edge, engines see ports.
	Engine
	// API (L2), Agent (L3), Command (L4): all of the levels below.
	API
	Agent
	Command
	// Support of tests: only what its list names. No product code imports it.
	Support
	// Lab: everything but commands.
	Lab
)

var levels = map[Kind]int{Pure: 0, Edge: 1, Engine: 1, API: 2, Agent: 3, Command: 4, Support: 0, Lab: 4}

var kindNames = map[Kind]string{
	Pure: "pure (L0)", Edge: "edge (L1)", Engine: "engine (L1)", API: "API (L2)",
	Agent: "agent (L3)", Command: "command (L4)", Support: "test support", Lab: "lab",
}

// An Entry is one package of the table.
type Entry struct {
	Kind Kind
	// May names packages of this module that it imports besides those that its
	// kind may.
	May []string
	// Libs names the modules of others that a pure package may use. Other kinds
	// are free.
	Libs []string
}

// Table is the order of the packages. A folder with Go files that is not in it
// is an error.
var Table = map[string]Entry{
	// L0: pure.
	"platform":          {Kind: Pure},
	"platform/netstate": {Kind: Pure},
	"resolver/nat64":    {Kind: Pure},
	"resolver/ra":       {Kind: Pure, May: []string{"resolver/nat64"}},
	"resolver/pref64":   {Kind: Pure, May: []string{"resolver/nat64"}},
	"resolver/pcp":      {Kind: Pure, May: []string{"resolver/nat64"}},
	"resolver/dnssec":   {Kind: Pure, Libs: []string{"github.com/miekg/dns"}},
	"resolver/validate": {Kind: Pure, May: []string{"resolver/nat64", "resolver/dnssec"}, Libs: []string{"github.com/miekg/dns"}},
	"tunnel/vnethdr":    {Kind: Pure},
	"tunnel/capture":    {Kind: Pure},
	"tunnel/siit":       {Kind: Pure, May: []string{"resolver/nat64", "tunnel/vnethdr"}},
	"agent/reach":       {Kind: Pure, May: []string{"platform/netstate", "resolver/nat64", "resolver/pref64"}},
	"agent/config":      {Kind: Pure, May: []string{"resolver/dnssec", "resolver/nat64", "resolver/pref64", "resolver/validate"}, Libs: []string{"github.com/pelletier/go-toml/v2"}},
	"agent/status":      {Kind: Pure},
	"installer/macpkg":  {Kind: Pure},

	// L1: edges of the operating system.
	"platform/directaccess": {Kind: Edge},
	"platform/footprint":    {Kind: Edge},
	"platform/icmp6":        {Kind: Edge},
	"platform/ipc":          {Kind: Edge},
	"platform/journal":      {Kind: Edge},
	"platform/lock":         {Kind: Edge},
	"platform/netcfg":       {Kind: Edge, May: []string{"platform/journal"}},
	"platform/netmon":       {Kind: Edge},
	"platform/osinfo":       {Kind: Edge},
	"platform/packet":       {Kind: Edge},
	"platform/paths":        {Kind: Edge},
	"platform/policy":       {Kind: Edge},
	"platform/ping":         {Kind: Edge},
	"platform/sock":         {Kind: Edge},
	"platform/svc":          {Kind: Edge},
	"platform/tun":          {Kind: Edge},
	"tunnel/bpf":            {Kind: Edge},

	// L1: engines.
	"resolver/dns64":    {Kind: Engine, May: []string{"resolver/dnsq"}},
	"resolver/discover": {Kind: Engine, May: []string{"resolver/dnsq"}},
	"resolver/dnsq":     {Kind: Engine},
	"resolver/portal":   {Kind: Engine},
	"resolver/probe":    {Kind: Engine},
	"resolver/system":   {Kind: Engine, May: []string{"resolver/dnsq"}},
	"tunnel/clat":       {Kind: Engine},
	"tunnel/dial":       {Kind: Engine},
	"tunnel/forward":    {Kind: Engine, May: []string{"tunnel/dial"}},
	"tunnel/relay":      {Kind: Engine},

	// L2 to L4.
	"agent/control":   {Kind: API},
	"agent/metrics":   {Kind: API},
	"agent/bundle":    {Kind: API},
	"agent/diag":      {Kind: API},
	"agent/report":    {Kind: API, May: []string{"agent/diag"}},
	"agent":           {Kind: Agent},
	"cmd/reach64":     {Kind: Command},
	"cmd/reach64-lab": {Kind: Command, May: []string{"test/backup", "test/vnet/endpoint", "test/vnet"}},
	"installer/dist":  {Kind: Command},

	"installer/templates": {Kind: Command},

	// Tests. vnet's NAT64 must not share the translator with what it tests.
	"installer/admx":     {Kind: Support},
	"test/arch":          {Kind: Support},
	"test/backup":        {Kind: Support},
	"test/bench":         {Kind: Lab, May: []string{"test/bench/load", "test/bench/report"}},
	"test/bench/load":    {Kind: Support},
	"test/bench/report":  {Kind: Support},
	"test/packets":       {Kind: Support},
	"test/scenario":      {Kind: Support},
	"test/signedzone":    {Kind: Support},
	"test/testcount":     {Kind: Support},
	"test/vnet":          {Kind: Support, May: []string{"platform", "platform/netstate", "platform/packet", "resolver/nat64", "resolver/ra", "tunnel/vnethdr"}},
	"test/vnet/endpoint": {Kind: Lab, May: []string{"test/backup", "test/scenario", "test/signedzone", "test/vnet"}},
	"test/netns":         {Kind: Lab, May: []string{"test/backup", "test/bench/load", "test/scenario", "test/vnet/endpoint", "test/vnet"}},
	"test/wine":          {Kind: Lab, May: []string{"installer/admx", "test/backup", "test/vnet"}},
}

// TagFolders are the only places for build tags, file names that end in an
// operating system or processor, and runtime.GOOS.
var TagFolders = []string{"platform", "tunnel/bpf"}

// MaxLines is the longest that a file may be; generated ones aside.
const MaxLines = 400

// Sleeps lists the files that wait for something that has no event, with the
// number of their calls of time.Sleep. Files that import testing/synctest sleep
// in synthetic time and need no entry.
var Sleeps = map[string]int{
	"test/bench/load/load.go":        1, // keeps the rate of what is sent
	"platform/tun/tun_linux_test.go": 1, // lets goroutines get into the poller; either order passes
	"test/vnet/helpers_test.go":      1, // polls a netstack, which runs on real time
	"test/vnet/nat64_test.go":        1, // two intervals of a netstack, which runs on real time
	"tunnel/bpf/child_linux_test.go": 1, // polls the kernel, which closes a dead process's files in its own time
	"tunnel/bpf/lab_linux_test.go":   1, // polls the kernel
}
