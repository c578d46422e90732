package bpf

import (
	"fmt"
	"strings"
)

// Capability numbers, Linux include/uapi/linux/capability.h.
const (
	capNetAdmin = 12
	capSysAdmin = 21
	capBPF      = 39
)

// restrictions is what the kernel tells about why BPF may be refused.
type restrictions struct {
	effective        uint64 // effective capabilities of the calling thread, bit n for number n
	userNamespace    bool   // the process is not in the initial user namespace
	unprivilegedBPF  string // kernel.unprivileged_bpf_disabled; empty: unknown
	lockdown         string // /sys/kernel/security/lockdown; empty: unknown
	seccompFiltering bool   // a seccomp filter is on
}

func (r restrictions) has(number int) bool { return r.effective>>number&1 == 1 }

// need names what is missing to load and attach, as precisely as can be told.
// CAP_SYS_ADMIN stands for CAP_BPF, capabilities(7).
func (r restrictions) need() string {
	var missing []string
	if !r.has(capBPF) && !r.has(capSysAdmin) {
		missing = append(missing, "CAP_BPF")
	}
	if !r.has(capNetAdmin) {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	switch {
	case len(missing) > 0:
		return strings.Join(missing, " and ")
	case r.userNamespace: // capabilities in it do not count for BPF
		return "CAP_BPF in the initial user namespace"
	}
	return "permission for bpf(2) from seccomp or a security module"
}

// hint says what else stands in the way; empty when nothing is known to.
func (r restrictions) hint() string {
	var hints []string
	if !r.has(capBPF) && !r.has(capSysAdmin) && r.unprivilegedBPF != "" && r.unprivilegedBPF != "0" {
		hints = append(hints, "kernel.unprivileged_bpf_disabled is "+r.unprivilegedBPF)
	}
	if mode := selected(r.lockdown); mode != "" && mode != "none" {
		hints = append(hints, fmt.Sprintf("kernel lockdown is %q", mode))
	}
	if r.seccompFiltering {
		hints = append(hints, "a seccomp filter is on")
	}
	return strings.Join(hints, ", ")
}

// selected returns the word in brackets of text such as "none [integrity] confidentiality".
func selected(text string) string {
	_, rest, _ := strings.Cut(text, "[")
	word, _, found := strings.Cut(rest, "]")
	if !found {
		return ""
	}
	return word
}
