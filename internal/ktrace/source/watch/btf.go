//go:build linux

package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// btf is a kernel's type information, as far as it takes to find the members
// of a structure. The format is the one of Documentation/bpf/btf.rst.
type btf struct {
	order   binary.ByteOrder
	types   []byte
	strings []byte
	at      []uint32 // type number → where it begins in types; number 0 is void
}

const (
	btfMagic = 0xeb9f

	btfInt       = 1
	btfPtr       = 2
	btfArray     = 3
	btfStruct    = 4
	btfUnion     = 5
	btfEnum      = 6
	btfTypedef   = 8
	btfVolatile  = 9
	btfConst     = 10
	btfRestrict  = 11
	btfFuncProto = 13
	btfVar       = 14
	btfDatasec   = 15
	btfDeclTag   = 17
	btfTypeTag   = 18
	btfEnum64    = 19
)

var errBTF = errors.New("malformed type information")

func parseBTF(data []byte) (*btf, error) {
	if len(data) < 24 {
		return nil, errBTF
	}
	b := &btf{order: binary.LittleEndian}
	if b.order.Uint16(data) != btfMagic {
		if b.order = binary.BigEndian; b.order.Uint16(data) != btfMagic {
			return nil, errors.New("no type information: the magic number is missing")
		}
	}
	hdr := uint64(b.order.Uint32(data[4:]))
	part := func(off, size uint32) ([]byte, error) {
		from := hdr + uint64(off)
		to := from + uint64(size)
		if to > uint64(len(data)) {
			return nil, errBTF
		}
		return data[from:to], nil
	}
	var err error
	if b.types, err = part(b.order.Uint32(data[8:]), b.order.Uint32(data[12:])); err != nil {
		return nil, err
	}
	if b.strings, err = part(b.order.Uint32(data[16:]), b.order.Uint32(data[20:])); err != nil {
		return nil, err
	}
	return b, b.number()
}

// number finds where each type begins: their sizes differ.
func (b *btf) number() error {
	b.at = append(make([]uint32, 0, 1<<17), 0)
	for pos := 0; pos < len(b.types); {
		if pos+12 > len(b.types) {
			return errBTF
		}
		b.at = append(b.at, uint32(pos))
		info := b.order.Uint32(b.types[pos+4:])
		kind, n := info>>24&0x1f, int(info&0xffff)
		pos += 12
		switch kind {
		case btfInt, btfVar, btfDeclTag:
			pos += 4
		case btfArray:
			pos += 12
		case btfStruct, btfUnion, btfDatasec, btfEnum64:
			pos += 12 * n
		case btfEnum, btfFuncProto:
			pos += 8 * n
		case 0:
			return errBTF
		}
	}
	return nil
}

// typ is one type's fixed part.
type typ struct {
	name, info, sizeOrType uint32
	rest                   []byte
}

func (t typ) kind() uint32 { return t.info >> 24 & 0x1f }

func (b *btf) typ(id uint32) (typ, bool) {
	if id == 0 || int(id) >= len(b.at) {
		return typ{}, false
	}
	p := b.types[b.at[id]:]
	return typ{b.order.Uint32(p), b.order.Uint32(p[4:]), b.order.Uint32(p[8:]), p[12:]}, true
}

// nameAt reports whether the string at off is s.
func (b *btf) nameAt(off uint32, s string) bool {
	if uint64(off)+uint64(len(s)) >= uint64(len(b.strings)) {
		return false
	}
	p := b.strings[off:]
	return string(p[:len(s)]) == s && p[len(s)] == 0
}

// structByName finds a structure.
func (b *btf) structByName(name string) (uint32, bool) {
	if !bytes.Contains(b.strings, append(append([]byte{0}, name...), 0)) {
		return 0, false
	}
	for id := uint32(1); int(id) < len(b.at); id++ {
		if t, _ := b.typ(id); t.kind() == btfStruct && b.nameAt(t.name, name) {
			return id, true
		}
	}
	return 0, false
}

// resolve follows typedefs and qualifiers.
func (b *btf) resolve(id uint32) (typ, bool) {
	for range 32 {
		t, ok := b.typ(id)
		if !ok {
			return t, false
		}
		switch t.kind() {
		case btfTypedef, btfVolatile, btfConst, btfRestrict, btfTypeTag:
			id = t.sizeOrType
		default:
			return t, true
		}
	}
	return typ{}, false
}

// member finds a member of a structure, also in its unnamed parts. off is in bytes.
func (b *btf) member(st typ, name string, depth int) (off uint32, of typ, err error) {
	n := int(st.info & 0xffff)
	if k := st.kind(); k != btfStruct && k != btfUnion || depth > 8 {
		return 0, typ{}, errBTF
	}
	for i := range n {
		if len(st.rest) < 12*(i+1) {
			return 0, typ{}, errBTF
		}
		m := st.rest[12*i:]
		nameOff, bits := b.order.Uint32(m), b.order.Uint32(m[8:])
		if st.info>>31 == 1 {
			bits &= 0xffffff // the upper byte is a bit field's size
		}
		t, ok := b.resolve(b.order.Uint32(m[4:]))
		switch {
		case !ok:
		case b.nameAt(nameOff, name):
			return bits / 8, t, nil
		case b.nameAt(nameOff, "") && (t.kind() == btfStruct || t.kind() == btfUnion):
			if o, mt, err := b.member(t, name, depth+1); err == nil {
				return bits/8 + o, mt, nil
			}
		}
	}
	return 0, typ{}, fmt.Errorf("no member %q", name)
}

// layoutFromBTF reads the layout of struct eventfd_ctx.
func layoutFromBTF(data []byte) (layout, error) {
	b, err := parseBTF(data)
	if err != nil {
		return layout{}, err
	}
	id, ok := b.structByName("eventfd_ctx")
	if !ok {
		return layout{}, errors.New("no struct eventfd_ctx in it")
	}
	ctx, _ := b.typ(id)
	count, ct, err := b.member(ctx, "count", 0)
	if err != nil {
		return layout{}, fmt.Errorf("struct eventfd_ctx: %w", err)
	}
	wqh, head, err := b.member(ctx, "wqh", 0)
	if err != nil {
		return layout{}, fmt.Errorf("struct eventfd_ctx: %w", err)
	}
	lock, lt, err := b.member(head, "lock", 0)
	if err != nil {
		return layout{}, fmt.Errorf("struct wait_queue_head: %w", err)
	}
	if ct.kind() != btfInt || ct.sizeOrType != 8 || lt.sizeOrType < 4 {
		return layout{}, errors.New("struct eventfd_ctx is not as known: its count has no 8 bytes or its lock less than 4")
	}
	if _, _, err := b.member(lt, "rlock", 0); err != nil {
		// PREEMPT_RT: the lock is a mutex, and taking it writes its owner.
		base, bt, err := b.member(lt, "lock", 0)
		if err != nil {
			return layout{}, errors.New("spinlock_t is not as known")
		}
		owner, _, err := b.member(bt, "owner", 0)
		if err != nil {
			return layout{}, errors.New("spinlock_t is not as known")
		}
		lock += base + owner
	}
	return layout{size: ctx.sizeOrType, count: count, lock: wqh + lock, from: "BTF"}, nil
}
