// Package footprint gives memory back to the system that only the start of a program,
// or something rare, has needed: unused heap, and pages of the program's own file, which
// the system reads again, from its cache, when they are used.
package footprint

import "runtime/debug"

// Trim gives back what it can now. It does not fail: what cannot be given back stays.
func Trim() {
	debug.FreeOSMemory()
	dropPages()
}
