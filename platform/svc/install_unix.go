//go:build unix

package svc

// dependencies are in the unit.
var dependencies []string

// finish has nothing to add to what the unit says.
func finish() error { return nil }

// settle has nothing to wait for: systemd waits for readiness by itself.
func settle() error { return nil }
