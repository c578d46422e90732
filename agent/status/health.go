package status

// Exit codes of the CLI (design section 7).
const (
	ExitOK           = 0
	ExitFailed       = 1
	ExitUsage        = 2
	ExitNotRunning   = 3
	ExitNotPermitted = 4
	ExitConfig       = 5
	ExitDegraded     = 10
	ExitPathBroken   = 11
	ExitInconclusive = 12
	ExitStoodDown    = 13
	ExitInterrupted  = 130
)

// Exit returns the exit code that tells how well the servers are reached.
// Standing down for native IPv4 is healthy as long as the servers answer;
// standing down for another CLAT, or being switched off, is ExitStoodDown.
func (s Status) Exit() int {
	reached, failed, unknown := 0, 0, 0
	for _, v := range s.Servers {
		switch {
		case v.Reachable == nil:
			unknown++
		case *v.Reachable:
			reached++
		default:
			failed++
		}
	}
	switch {
	case s.Reason == "another-clat" || s.Reason == "switched-off" || s.Reason == "paused":
		return ExitStoodDown
	case s.Path == "none" && (s.Class == "unknown" || s.Reason == "clat-starting" || s.Reason == "waiting-for-dhcpv4"):
		return ExitInconclusive
	case s.Path == "none":
		return ExitPathBroken
	case unknown > 0 && failed == 0:
		return ExitInconclusive
	case reached == 0 && failed > 0:
		return ExitPathBroken
	case failed > 0:
		return ExitDegraded
	}
	return ExitOK
}
