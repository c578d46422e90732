// Package wine runs the Windows binaries under Wine: the unit tests of the
// packages that have code of their own for Windows, the verbs of reach64.exe, and
// the service, up to a backup through the relay by a client that knows an IPv4 address
// alone: a stand-in for wintun.dll carries the packets of a TUN device of Linux, and the test makes
// the changes to it that Wine has no functions for.
//
// What it needs is a Debian 13 tree with Wine 10 (install.sh makes it) and root;
// without it the tests skip and say what is missing, with REACH64_REQUIRE=all they
// fail instead. Everything happens in namespaces of the test's own, on a copy of
// the tree in memory: no process, mount or file outlives the run.
//
// The binaries are built with the changes of build_test.go, which the product is
// never built with: Wine 10 has neither SIO_UDP_NETRESET nor GAA_FLAG_INCLUDE_PREFIX,
// and takes the link of a socket in the wrong byte order. What Wine cannot do at all is for docs/verify-windows.md.
package wine
