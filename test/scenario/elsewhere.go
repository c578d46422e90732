package scenario

// Why a test of test/netns is in no scenario.
const (
	kernel  = "it is about what a real kernel does with packets, which the NAT64 in memory, that ends each flow, has not"
	binary  = "it is about the program's verbs, files and sockets; test/wine has those of Windows"
	manager = "it is about a service manager, packages or the system's log"
	peers   = "it compares with programs that we did not write"
	measure = "it measures this machine"
	itself  = "it is about the lab itself"
)

// Elsewhere are the tests of test/netns that are in no scenario, with the reason.
// Subtests are listed where their test is in one.
var Elsewhere = map[string]string{
	"TestBesideTayga": peers, "TestDNSSECBesideUnbound": peers, "TestDNSSECChainsBesideUnbound": peers, "TestMetrics": peers,

	"TestBlackHole": kernel, "TestDatagramsAndOtherProtocols": kernel, "TestFirewallSees": kernel, "TestFlowsKeepTheirOrder": kernel,
	"TestFlowsSurviveAnUpgrade": kernel, "TestICMPErrorsPassAStrictReversePathFilter": kernel, "TestIPv4LinkOf1000Bytes": kernel,
	"TestLargeDNSAnswersOverUDP": kernel, "TestPacketTooBig": kernel, "TestPathOf1280Bytes": kernel, "TestPingOfEverySize": kernel,
	"TestRouterForgetsItsNeighbours": kernel, "TestStatusCountsEveryReason": kernel, "TestTraceroute": kernel, "TestTracerouteWithAddressesForHops": kernel,
	"TestUplinkWithoutEthernet": kernel, "TestVPNOfWgQuick": "it is about rules of policy routing, which the machine in memory has not",
	"TestDoctorFindsTheBrokenStep/PMTU black hole": kernel,

	"TestBundle": binary, "TestCapture": binary, "TestDemoWithoutRoot": binary, "TestDialAndForwardWithoutPrivilege": binary,
	"TestDiscoverWithoutPrivilege": binary, "TestExplainAServer": binary, "TestLogsOfTheRunningService": binary, "TestNotRootExits4": binary,
	"TestSSHProxyCommand": binary, "TestSecondInstanceExits13": binary, "TestSelftest": binary, "TestWatchAndCheck": binary,
	"TestDoctorFindsTheBrokenStep/configuration invalid": binary, "TestDoctorFindsTheBrokenStep/configuration not loaded": binary,
	"TestDoctorFindsTheBrokenStep/service stopped": binary, "TestDoctorFindsTheBrokenStep/no DNS server": binary,
	"TestNameServersThatComeLater/a stub of this machine": "the agent asks 127.0.0.53 by the kernel's loopback, which is not in memory",

	"TestDebPackage": manager, "TestDebPackageOverTrouble": manager, "TestJournal": manager, "TestPackagesAreReproducible": manager,
	"TestPackagesSatisfyTheirCheckers": manager, "TestRPMPackage": manager, "TestServiceManager": manager, "TestServiceOfACopiedBinary": manager,
	"TestPackagesForManagementTools": manager, "TestPackagesMakeAContainer": manager, "TestExamplesSatisfyTheirCheckers": manager, "TestPkgScripts": manager,

	"TestIdleFootprint": measure, "TestRelayBesideTayga": measure, "TestRelayCarriesManyFlows": measure,
	"TestThroughputBesideNative": measure, "TestTimeFromRAToHandshake": measure,

	"TestAChangedSysctlIsSeen": itself, "TestLabLeavesNothing": itself, "TestPeersAlone": itself, "TestPlacesAndFaultsAreScenarios": itself,
	"TestStateLooksPastLifetimesOnly": itself, "TestSweepKnowsItsOwnNames": itself, "TestSweepRemovesWhatADeadTestLeft": itself,
}
