package footprint

import (
	"strconv"
	"strings"
)

// span is a range of addresses, in bytes.
type span struct{ start, size uintptr }

// parseMap reads a line of /proc/PID/maps (proc_pid_maps(5)). ok is true for a private
// mapping of the file that cannot be written.
func parseMap(line, file string) (s span, ok bool) {
	words := strings.Fields(line)
	if len(words) != 6 || words[5] != file || words[1] != "r--p" && words[1] != "r-xp" {
		return span{}, false
	}
	from, to, ok := strings.Cut(words[0], "-")
	a, err1 := strconv.ParseUint(from, 16, strconv.IntSize)
	b, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
	if !ok || err1 != nil || err2 != nil || b <= a {
		return span{}, false
	}
	return span{uintptr(a), uintptr(b - a)}, true
}
