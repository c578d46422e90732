package netcfg

import "unsafe"

// The sizes of net/if.h, which the numbers of the requests hold: the compiler refuses
// others.
var (
	_ [64]byte = [unsafe.Sizeof(aliasRequest{})]byte{}
	_ [32]byte = [unsafe.Sizeof(removeRequest{})]byte{}
	_ [16]byte = [unsafe.Offsetof(aliasRequest{}.addr)]byte{}
	_ [48]byte = [unsafe.Offsetof(aliasRequest{}.mask)]byte{}
)
