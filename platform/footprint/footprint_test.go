package footprint

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestParseMap(t *testing.T) {
	const exe = "/usr/bin/reach64"
	for line, want := range map[string]span{
		"00400000-00ca0000 r-xp 00000000 fe:00 9994514                            /usr/bin/reach64": {0x400000, 0x8a0000},
		"00ca0000-015d2000 r--p 008a0000 fe:00 9994514                            /usr/bin/reach64": {0xca0000, 0x932000},
		"015d2000-0165a000 rw-p 011d2000 fe:00 9994514                            /usr/bin/reach64": {}, // may have been written
		"7fcaea06e000-7fcaea1c4000 r-xp 00026000 fe:00 326269                     /usr/lib/libc.so": {},
		"00400000-00ca0000 r--s 00000000 fe:00 9994514                            /usr/bin/reach64": {},
		"7ffd5b5c1000-7ffd5b5e2000 rw-p 00000000 00:00 0                          [stack]":          {},
		"x-y r-xp 0 0 0 /usr/bin/reach64":               {},
		"00ca0000-00400000 r-xp 0 0 0 /usr/bin/reach64": {},
		"": {},
	} {
		if got, ok := parseMap(line, exe); got != want || ok != (want != span{}) {
			t.Errorf("%q: %+v, %v; want %+v", line, got, ok, want)
		}
	}
}

// TestTrim: the program is smaller, and goes on.
func TestTrim(t *testing.T) {
	if runtime.GOOS != "linux" {
		Trim()
		return
	}
	mapped := func() int {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Skip(err)
		}
		_, rest, _ := strings.Cut(string(text), "RssFile:")
		n, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Skipf("this kernel does not tell: %v", err)
		}
		return n
	}
	before := mapped()
	Trim()
	if after := mapped(); after >= before {
		t.Errorf("%d KiB of files, before %d", after, before)
	}
	for range 3 {
		runtime.GC()
		Trim()
	}
}
