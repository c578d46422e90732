package svc

import "unsafe"

// The size of SERVICE_PRESHUTDOWN_INFO of winsvc.h: the compiler refuses another.
var _ [4]byte = [unsafe.Sizeof(preshutdownInfo{})]byte{}
