package icmp6

import "github.com/reach64/reach64/platform"

// supported is an error: a socket of Windows tells neither the link nor the hop limit
// of a message, and without them anybody far away could play the router.
func supported() error { return platform.Unsupported("reading router advertisements") }
