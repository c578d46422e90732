package netmon

import "unsafe"

// The sizes of netinet6/in6_var.h, the same on both processors: the compiler refuses
// others.
var (
	_ [288]byte = [unsafe.Sizeof(in6Ifreq{})]byte{}
	_ [16]byte  = [unsafe.Offsetof(in6Ifreq{}.data)]byte{}
	_ [24]byte  = [unsafe.Sizeof(in6Lifetime{})]byte{}
	_ [16]byte  = [unsafe.Offsetof(in6Lifetime{}.valid)]byte{}
)
