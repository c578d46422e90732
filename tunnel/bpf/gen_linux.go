package bpf

// The objects are committed, so that a build needs no clang. After a change to
// steer.c: apt install clang llvm libbpf-dev, then go generate.
//
//go:generate go tool bpf2go -tags linux -target bpfel,bpfeb -cc clang -cflags "-O2 -g -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu" steer steer.c
