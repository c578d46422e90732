//go:build unix

package paths

// programData is for Windows alone.
func programData() string { return "" }

// secure has nothing to do: /etc, /var and /Library belong to root.
func secure() error { return nil }

// secureProgram has nothing to do: programs lie in folders of root.
func secureProgram() error { return nil }
