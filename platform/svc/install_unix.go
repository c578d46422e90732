//go:build unix

package svc

// dependencies are in the unit.
var dependencies []string

// finish has nothing to add to what the unit says.
func finish() error { return nil }
