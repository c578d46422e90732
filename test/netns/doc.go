// Package netns is the lab with real kernels: an endpoint, a router and an
// IPv4-only server in three network namespaces, with programs that we did not
// write (tayga, unbound, bind9, radvd, restic, rclone, curl, iperf3) around the
// two that we did.
//
// All of it is tests. They need root, Linux and those programs, else they skip
// and say what is missing; with REACH64_REQUIRE=all they fail instead. Nothing
// leaves the namespaces. Namespaces are named r64-PID-N-ROLE and removed when
// the test ends, those of a killed test by the next one. What a failed test saw
// (captured packets, status, logs, addresses, routes) stays in artifacts/TEST
// at the top of the source tree.
//
// No sysctl is changed in the endpoint's namespace. The lab does change some in
// the router's, as the administrator of a router would.
package netns
