//go:build !windows && !darwin

package policy

// Place is empty: the system has no place of its own.
const Place = ""

// read finds none: here policy is a folder of files.
func read() (Policy, error) { return Policy{}, nil }

// readInstalled finds none: installers of this system write files.
func readInstalled() (Policy, error) { return Policy{}, nil }
