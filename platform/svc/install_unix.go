//go:build unix

package svc

// dependencies are in the unit.
var dependencies []string

// finish has nothing to add to what the unit says.
func finish() error { return nil }

// Hazard has nothing to find: units and plists name the program as a list.
func Hazard() error { return nil }

// Settings has nothing to read back: all is in the unit or the plist.
func Settings() error { return nil }

// settle has nothing to wait for: systemd waits for readiness by itself.
func settle() error { return nil }

// configure has nothing to add: packages bring unit or property list.
func configure() error { return nil }

// record has no event log to write to.
func record(string, bool) {}
