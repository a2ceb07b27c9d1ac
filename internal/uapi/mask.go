//go:build linux

package uapi

import (
	"strconv"
)

// Name is a named value: a bit of a Mask or a member of an Enum.
type Name struct {
	Value uint64
	Name  string
}

// Mask is an open set of named bits, in the order in which strace prints them.
type Mask struct {
	Unknown string // strace's comment after bits that have no name: "POLL???"
	Names   []Name
}

// String prints the names that v has, joined by |, and the remaining bits in
// hex.
func (m *Mask) String(v uint64) string { return string(m.AppendString(make([]byte, 0, 64), v)) }

// AppendString appends the output of String.
func (m *Mask) AppendString(b []byte, v uint64) []byte {
	b, _ = m.appendNames(b, v)
	return b
}

// Strace prints v as strace does: as String, and with a comment if no bit
// has a name.
func (m *Mask) Strace(v uint64) string { return string(m.AppendStrace(make([]byte, 0, 64), v)) }

// AppendStrace appends the output of Strace.
func (m *Mask) AppendStrace(b []byte, v uint64) []byte {
	b, known := m.appendNames(b, v)
	if known || v == 0 {
		return b
	}
	return append(append(append(b, " /* "...), m.Unknown...), " */"...)
}

func (m *Mask) appendNames(b []byte, v uint64) (_ []byte, known bool) {
	if v == 0 {
		return append(b, '0'), false
	}
	for i := range m.Names {
		n := &m.Names[i]
		if n.Value == 0 || v&n.Value != n.Value {
			continue
		}
		v &^= n.Value
		if known {
			b = append(b, '|')
		}
		b = append(b, n.Name...)
		known = true
	}
	if v != 0 {
		if known {
			b = append(b, '|')
		}
		b = append(b, "0x"...)
		b = strconv.AppendUint(b, v, 16)
	}
	return b, known
}

// Enum is a list of named values of which a variable has one.
type Enum struct {
	Unknown string
	Names   []Name
}

// Strace prints v as strace does: its name, or the number with a comment.
func (e *Enum) Strace(v uint64) string {
	for i := range e.Names {
		if e.Names[i].Value == v {
			return e.Names[i].Name
		}
	}
	return Hex(v) + " /* " + e.Unknown + " */"
}

// Hex prints v as C's %#x does: 0 has no prefix.
func Hex(v uint64) string {
	if v == 0 {
		return "0"
	}
	return "0x" + strconv.FormatUint(v, 16)
}

// AppendHex appends the output of Hex.
func AppendHex(b []byte, v uint64) []byte {
	if v == 0 {
		return append(b, '0')
	}
	return strconv.AppendUint(append(b, "0x"...), v, 16)
}

// Addr prints an address of user space as strace does.
func Addr(p uintptr) string { return string(AppendAddr(nil, p)) }

// AppendAddr appends the output of Addr.
func AppendAddr(b []byte, p uintptr) []byte {
	if p == 0 {
		return append(b, "NULL"...)
	}
	return AppendHex(b, uint64(p))
}
