package tun

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// steerQueues lets the kernel choose a packet's queue by nothing but its addresses,
// protocol and ports. Left alone, it follows the queue to which the other direction
// was last written, and so moves a flow now and then.
func steerQueues(q *Queue) error {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "reach64_queue", Type: ebpf.SocketFilter,
		Instructions: queueProgram(), License: "Dual MIT/GPL"})
	if err != nil {
		return fmt.Errorf("load the program that chooses queues: %w", err)
	}
	defer prog.Close() // the device holds it
	return unix.IoctlSetPointerInt(q.fd, unix.TUNSETSTEERINGEBPF, prog.FD())
}

// queueProgram returns the sum of source, destination and, for whole packets of
// TCP and UDP, ports; the kernel takes its remainder. Of fragments only the
// first has ports, so all go by their addresses. It reads from the IP header on.
func queueProgram() asm.Instructions {
	const (
		ctx, first, proto, sum = asm.R6, asm.R7, asm.R8, asm.R9 // R6 to R9 survive loads
		whole                  = 0x3fff                         // IPv4: neither more fragments nor an offset
	)
	add := func(off int32) []asm.Instruction { // sum += u32 at off
		return []asm.Instruction{asm.LoadAbs(off, asm.Word), asm.Add.Reg(sum, asm.R0)}
	}
	p := asm.Instructions{
		asm.Mov.Reg(ctx, asm.R1),
		asm.Mov.Imm(sum, 0),
		asm.LoadAbs(0, asm.Byte),
		asm.Mov.Reg(first, asm.R0),
		asm.RSh.Imm(asm.R0, 4),
		asm.JEq.Imm(asm.R0, 6, "six"),
		asm.JNE.Imm(asm.R0, 4, "done"),
	}
	p = append(p, add(12)...)
	p = append(p, add(16)...)
	p = append(p,
		asm.LoadAbs(9, asm.Byte),
		asm.Mov.Reg(proto, asm.R0),
		asm.LoadAbs(6, asm.Half),
		asm.And.Imm(asm.R0, whole),
		asm.JNE.Imm(asm.R0, 0, "done"),
		asm.And.Imm(first, 15),
		asm.LSh.Imm(first, 2), // bytes of header
		asm.Ja.Label("ports"),
	)
	six := len(p)
	for off := int32(8); off < 40; off += 4 {
		p = append(p, add(off)...)
	}
	p[six] = p[six].WithSymbol("six")
	p = append(p,
		asm.LoadAbs(6, asm.Byte),
		asm.Mov.Reg(proto, asm.R0),
		asm.Mov.Imm(first, 40),
		asm.JEq.Imm(proto, unix.IPPROTO_TCP, "load").WithSymbol("ports"),
		asm.JNE.Imm(proto, unix.IPPROTO_UDP, "done"),
		asm.LoadInd(asm.R0, first, 0, asm.Word).WithSymbol("load"),
		asm.Add.Reg(sum, asm.R0),
		asm.RSh.Imm(asm.R0, 16),
		asm.Add.Reg(sum, asm.R0), // source and destination port, one beside the other
		// The best bits of a product are its upper ones (Knuth, volume 3, 6.4).
		asm.Mul.Imm32(sum, -0x61c88647).WithSymbol("done"),
		asm.Mov.Reg32(asm.R0, sum),
		asm.RSh.Imm32(asm.R0, 16),
		asm.Return(),
	)
	return p
}
