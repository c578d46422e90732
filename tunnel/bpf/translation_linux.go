package bpf

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/reach64/reach64/tunnel/siit"
)

// pauseJiffies is how long a flow must pause before it leaves the reader: 250 ms to
// 2.5 s by the kernel's HZ, longer than a packet takes through the TUN's queue and a
// reader that competes for the processor. Tests change it.
var pauseJiffies uint64 = 250

// maxBlocks is the size of the map blocks. What is allowed beyond it is left to the
// reader.
const maxBlocks = 16384

// blockKey is struct block of steer.c: bits, then the address.
type blockKey struct {
	Bits uint32
	Addr [4]byte
}

// place says where the IPv4 address stands in the two halves of an IPv6 address
// (RFC 6052 section 2.2): its bits shifted right in the first, and shifted left and
// masked in the second, where byte 8 stays zero.
type place struct {
	hiShift, loShift uint64
	loMask           uint64
}

var places = map[int]place{
	32: {0, 32, 0},
	40: {8, 48, 0x00ff0000_00000000},
	48: {16, 40, 0x00ffff00_00000000},
	56: {24, 32, 0x00ffffff_00000000},
	64: {32, 24, 0x00ffffff_ff000000},
	96: {32, 0, 0x00000000_ffffffff},
}

// translation returns the values of the constants in translate.h, and what belongs
// into the map blocks.
func translation(c siit.Config) (map[string]any, map[blockKey]uint8, error) {
	t, err := siit.New(c)
	if err != nil {
		return nil, nil, err
	}
	octets, blocks := destinations(c)
	prefix, at := c.Prefix.Netip().Addr().As16(), places[c.Prefix.Bits()]
	tos := uint32(0xff)
	if c.ClearDSCP {
		tos = 3
	}
	neutral := uint32(0)
	// Other lengths have a suffix, which others may fill.
	if t.Neutral() && c.Prefix.Bits() == 96 {
		neutral = 1
	}
	return map[string]any{
		steerVarTranslates:   uint32(1),
		steerVarClat4:        c.CLAT4.As4(),
		steerVarPrefixHi:     binary.BigEndian.Uint64(prefix[:8]),
		steerVarPrefixLo:     binary.BigEndian.Uint64(prefix[8:]),
		steerVarHiShift:      at.hiShift,
		steerVarLoShift:      at.loShift,
		steerVarLoMask:       at.loMask,
		steerVarNeutral:      neutral,
		steerVarMtu4:         uint32(c.MTU4),
		steerVarMtu6:         uint32(c.MTU6),
		steerVarLowestMtu6:   uint32(min(max(c.LowestMTU6, 1280), c.MTU6)),
		steerVarTosMask:      tos,
		steerVarPauseJiffies: pauseJiffies,
		steerVarOctets:       octets,
	}, blocks, nil
}

// destinations says which IPv4 addresses may be reached: by first octet, and where
// that does not tell, by the longest block.
func destinations(c siit.Config) (octets [256]uint8, blocks map[blockKey]uint8) {
	const none, all, some = 0, 1, 2
	policy := c.NonGlobal.Blocks(c.Prefix)
	for o := range octets {
		if o > 0 && o < 224 && o != 127 {
			octets[o] = all
		}
	}
	for p, allowed := range policy {
		first := int(p.Addr().As4()[0])
		for o := first; o < first+1<<max(0, 8-p.Bits()); o++ {
			if !allowed && octets[o] != none {
				octets[o] = some
			}
		}
	}
	blocks = make(map[blockKey]uint8)
	put := func(p netip.Prefix, allowed uint8) {
		a := p.Addr().Unmap().As4()
		if octets[a[0]] == some && len(blocks) < maxBlocks {
			blocks[blockKey{uint32(p.Bits()), a}] = allowed
		}
	}
	for p, allowed := range policy {
		if allowed {
			put(p, 1)
		} else {
			put(p, 0)
		}
	}
	for _, a := range c.AlwaysAllow {
		put(netip.PrefixFrom(a.Unmap(), 32), 1)
	}
	return octets, blocks
}

// fill puts blocks into the map.
func fill(m *ebpf.Map, blocks map[blockKey]uint8) error {
	for k, v := range blocks {
		if err := m.Put(k, v); err != nil {
			return fmt.Errorf("fill map %s: %w", steerMapBlocks, err)
		}
	}
	return nil
}
