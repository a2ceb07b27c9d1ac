//go:build linux

// Package ksym knows the running kernel's function symbols: it reads
// /proc/kallsyms, turns the addresses of call chains into frames, and answers
// under which symbols a source function exists in this kernel.
//
// If the kernel hides the addresses (kernel.kptr_restrict), the names are
// still there: a Table then answers Variants and Resolve does not find
// anything.
package ksym

import (
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/efd-go/efd/internal/ktrace"
)

// maxFunc bounds the offset of an address from its symbol. The last symbol of a
// module has no successor that bounds it.
const maxFunc = 1 << 18

// symbol is 16 bytes, since there are some hundred thousand of them.
type symbol struct {
	addr uint64
	name uint32 // offset into Table.names
	size uint16 // of the name
	mod  uint16 // index into Table.mods, 0: the kernel itself
}

// Table is a kernel's function symbols, ordered by address. It is safe for
// concurrent use.
type Table struct {
	names  []byte
	syms   []symbol
	mods   []string
	hidden bool

	index     sync.Once
	heads     []int32 // hash of a base name → last symbol with it, -1: none
	next      []int32 // symbol → previous symbol with the same hash
	modsIndex map[string]uint16
}

// Len is the number of symbols.
func (t *Table) Len() int { return len(t.syms) }

// Hidden reports whether the kernel hid the addresses.
func (t *Table) Hidden() bool { return t.hidden }

func (t *Table) name(i int) string {
	s := &t.syms[i]
	return string(t.names[s.name : s.name+uint32(s.size)])
}

// nameView is name without the copy, for comparisons only.
func (t *Table) nameView(i int) []byte {
	s := &t.syms[i]
	return t.names[s.name : s.name+uint32(s.size)]
}

// at returns the range of symbols that cover addr: all those at the highest
// address that is not above it. ok is false if there is none.
func (t *Table) at(addr uint64) (first, last int, ok bool) {
	if t.hidden {
		return 0, 0, false
	}
	n := sort.Search(len(t.syms), func(i int) bool { return t.syms[i].addr > addr })
	if n == 0 || addr-t.syms[n-1].addr > maxFunc {
		return 0, 0, false
	}
	last = n
	first = n - 1
	for first > 0 && t.syms[first-1].addr == t.syms[last-1].addr {
		first--
	}
	return first, last, true
}

// Resolve turns an address of a call chain into a frame. leaf says that addr
// is where the task was; every other address of a chain is where a call will
// return to, which is one past the call and may lie past the function's end.
func (t *Table) Resolve(addr uint64, leaf bool) ktrace.Frame {
	look := addr
	if !leaf && look > 0 {
		look--
	}
	first, last, ok := t.at(look)
	if !ok {
		return ktrace.Frame{}
	}
	pick := t.preferred(first, last)
	f := ktrace.Frame{Name: t.name(pick), Module: t.mods[t.syms[pick].mod], Off: uint32(addr - t.syms[pick].addr)}
	if boundary(f.Name) {
		return ktrace.Frame{}
	}
	if parent := Uncold(f.Name); parent != f.Name {
		// An offset into the cold part says nothing about the function.
		f.Name, f.Off = parent, 0
	}
	for i := first; i < last; i++ {
		if n := t.name(i); i != pick && !boundary(n) {
			f.Aliases = append(f.Aliases, Uncold(n))
		}
	}
	return f
}

// Uncold is the name of the function that a cold part belongs to. Compilers up
// to GCC 9 number the parts: do_sys_poll.cold.12.
func Uncold(name string) string {
	i := strings.LastIndex(name, ".cold")
	if i <= 0 {
		return name
	}
	number, numbered := strings.CutPrefix(name[i+len(".cold"):], ".")
	if digits := strings.Trim(number, "0123456789") == ""; digits && (number != "") == numbered {
		return name[:i]
	}
	return name
}

// preferred picks the symbol that stands for an address among first..last: one
// that marks no section, and one without a suffix before one that has it.
func (t *Table) preferred(first, last int) int {
	best, score := first, -1
	for i := first; i < last; i++ {
		n := t.name(i)
		s := 2
		if boundary(n) {
			s = 0
		} else if Base(n) != n {
			s = 1
		}
		if s > score {
			best, score = i, s
		}
	}
	return best
}

// boundary reports whether a symbol marks where a section of the kernel's text
// starts or ends, and so is no function.
func boundary(name string) bool {
	switch name {
	case "_text", "_stext", "_etext", "_sinittext", "_einittext":
		return true
	}
	return strings.HasPrefix(name, "__") && (strings.HasSuffix(name, "_text_start") || strings.HasSuffix(name, "_text_end"))
}

// Base is a symbol's name without the compiler's suffix: poll_schedule_timeout
// for poll_schedule_timeout.constprop.0.
func Base(symbol string) string {
	if i := strings.IndexByte(symbol, '.'); i > 0 {
		return symbol[:i]
	}
	return symbol
}

// Variants implements ktrace.SymbolSet.
func (t *Table) Variants(name string) []string {
	t.index.Do(t.buildIndex)
	if len(t.syms) == 0 || name == "" {
		return nil
	}
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	var found []int
	for i := t.heads[hash([]byte(name))%uint32(len(t.heads))]; i >= 0; i = t.next[i] {
		n := t.nameView(int(i))
		if string(baseView(n)) == name && Uncold(string(n)) == string(n) {
			found = append(found, int(i))
		}
	}
	slices.Reverse(found)
	for _, i := range found {
		if string(t.nameView(i)) == name {
			add(name)
		}
	}
	for _, i := range found {
		add(t.name(i))
	}
	if t.hidden {
		return out
	}
	for _, i := range found {
		first, last, _ := t.at(t.syms[i].addr)
		for a := first; a < last; a++ {
			if n := t.name(a); !boundary(n) && Uncold(n) == n {
				add(n)
			}
		}
	}
	return out
}

// Cold returns the symbols of the cold parts of the function with exactly this
// symbol.
func (t *Table) Cold(symbol string) []string {
	t.index.Do(t.buildIndex)
	if len(t.syms) == 0 {
		return nil
	}
	var out []string
	for i := t.heads[hash([]byte(Base(symbol)))%uint32(len(t.heads))]; i >= 0; i = t.next[i] {
		if n := t.name(int(i)); n != symbol && Uncold(n) == symbol {
			out = append(out, n)
		}
	}
	return out
}

// Range returns where the symbol of exactly this name starts and where the
// next symbol does. ok is false if the symbol does not exist, exists more
// than once or its address is hidden.
func (t *Table) Range(name string) (start, end uint64, ok bool) {
	if t.hidden || len(t.syms) == 0 {
		return 0, 0, false
	}
	t.index.Do(t.buildIndex)
	at := -1
	for i := t.heads[hash([]byte(Base(name)))%uint32(len(t.heads))]; i >= 0; i = t.next[i] {
		if string(t.nameView(int(i))) == name {
			if at >= 0 {
				return 0, 0, false
			}
			at = int(i)
		}
	}
	if at < 0 {
		return 0, 0, false
	}
	start = t.syms[at].addr
	n := sort.Search(len(t.syms), func(i int) bool { return t.syms[i].addr > start })
	if n == len(t.syms) || t.syms[n].addr-start > maxFunc {
		return start, start + maxFunc, true
	}
	return start, t.syms[n].addr, true
}

// At returns the symbols at exactly this address.
func (t *Table) At(addr uint64) []string {
	first, last, ok := t.at(addr)
	if !ok || t.syms[first].addr != addr {
		return nil
	}
	var out []string
	for i := first; i < last; i++ {
		if n := t.name(i); !boundary(n) {
			out = append(out, n)
		}
	}
	return out
}

func (t *Table) buildIndex() {
	if len(t.syms) == 0 {
		return
	}
	t.heads = make([]int32, nextPow2(len(t.syms)))
	for i := range t.heads {
		t.heads[i] = -1
	}
	t.next = make([]int32, len(t.syms))
	for i := range t.syms {
		h := hash(baseView(t.nameView(i))) % uint32(len(t.heads))
		t.next[i] = t.heads[h]
		t.heads[h] = int32(i)
	}
}

func baseView(n []byte) []byte {
	for i := 1; i < len(n); i++ {
		if n[i] == '.' {
			return n[:i]
		}
	}
	return n
}

// hash is FNV-1a.
func hash(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

func nextPow2(n int) int {
	p := 1
	for p < n {
		p <<= 1
	}
	return p
}
