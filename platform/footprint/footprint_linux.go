package footprint

import (
	"bufio"
	"os"

	"golang.org/x/sys/unix"
)

// dropPages unmaps the pages of the program's file that cannot have been changed
// (madvise(2), MADV_DONTNEED: "repopulating the memory contents from the up-to-date
// contents of the underlying mapped file").
func dropPages() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	var list []span
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if s, ok := parseMap(lines.Text(), self); ok {
			list = append(list, s)
		}
	}
	for _, s := range list {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, s.start, s.size, unix.MADV_DONTNEED) // what stays, stays
	}
}
