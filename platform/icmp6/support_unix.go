//go:build unix

package icmp6

// supported is nil where a socket can tell link and hop limit of a message.
func supported() error { return nil }
