package bpf

// children are what this test binary does when its first argument names one.
var children = map[string]func(args []string){}
