//go:build linux

// Package program looks into the programs of processes: whether they are Go's, of
// which width, and which epoll is that of Go's runtime.
package program

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strconv"
)

// An elfFile is as much of an executable's headers as the observer asks for.
// Package debug/elf knows all of them, and would be built and linked into every
// program that imports the library.
type elfFile struct {
	r     io.ReaderAt
	wide  bool // of 64 bits
	order binary.ByteOrder
	head  []byte
}

const (
	elfHead32, elfHead64       = 52, 64
	elfProg32, elfProg64       = 32, 56
	elfSection32, elfSection64 = 40, 64
	elfLoad                    = 1 // PT_LOAD
	elfExec, elfWrite          = 1, 2
	elfMost                    = 64 << 10 // bytes that are read of names, and of data
)

// readELF reads the head of an ELF file, and reports whether it is one.
func readELF(r io.ReaderAt) (*elfFile, bool) {
	f := &elfFile{r: r, order: binary.LittleEndian, head: make([]byte, elfHead64)}
	n, _ := r.ReadAt(f.head, 0)
	if n < elfHead32 || string(f.head[:4]) != "\x7fELF" {
		return nil, false
	}
	f.wide = f.head[4] == 2
	if f.head[5] == 2 {
		f.order = binary.BigEndian
	}
	return f, n == elfHead64 || !f.wide
}

// word reads a number of a table's entry: 8 bytes in a file of 64 bits, 4 in
// one of 32.
func (f *elfFile) word(b []byte, at32, at64 int) uint64 {
	if f.wide {
		return f.order.Uint64(b[at64:])
	}
	return uint64(f.order.Uint32(b[at32:]))
}

func (f *elfFile) half(at32, at64 int) int {
	if f.wide {
		at32 = at64
	}
	return int(f.order.Uint16(f.head[at32:]))
}

// table reads a table of the file. Its entries are of want bytes, as linkers
// write them: a file that says otherwise could ask for gigabytes.
func (f *elfFile) table(off uint64, size, n, want int) [][]byte {
	if size != want || n == 0 || off > 1<<62 {
		return nil
	}
	b := make([]byte, size*n)
	if _, err := f.r.ReadAt(b, int64(off)); err != nil {
		return nil
	}
	out := make([][]byte, n)
	for i := range out {
		out[i] = b[i*size : (i+1)*size]
	}
	return out
}

// section returns where the file has the named section.
func (f *elfFile) section(name string) (off uint64, ok bool) {
	want := elfSection32
	if f.wide {
		want = elfSection64
	}
	all := f.table(f.word(f.head, 32, 40), f.half(46, 58), f.half(48, 60), want)
	names := f.half(50, 62)
	if names >= len(all) {
		return 0, false
	}
	base := f.word(all[names], 16, 24)
	if base > 1<<62 {
		return 0, false
	}
	text := make([]byte, elfMost)
	n, _ := f.r.ReadAt(text, int64(base))
	text = text[:n]
	for _, s := range all {
		at := f.order.Uint32(s)
		if uint64(at) < uint64(n) && bytes.HasPrefix(text[at:], []byte(name+"\x00")) {
			return f.word(s, 16, 24), true
		}
	}
	return 0, false
}

// data returns where the file has the first segment of writable data.
func (f *elfFile) data() (off uint64, ok bool) {
	want, flags := elfProg32, 24
	if f.wide {
		want, flags = elfProg64, 4
	}
	for _, p := range f.table(f.word(f.head, 28, 32), f.half(42, 54), f.half(44, 56), want) {
		if f.order.Uint32(p) == elfLoad && f.order.Uint32(p[flags:])&(elfExec|elfWrite) == elfWrite {
			return f.word(p, 4, 8), true
		}
	}
	return 0, false
}

// buildInfo is the magic at the start of the Go linker's build information,
// which is aligned to 16 bytes.
const buildInfo = "\xff Go buildinf:"

// isGo reports whether the file is a program that Go's linker made. That has
// its build information in a section of its own, or, if there are no section
// headers, at the start of the writable data.
func isGo(file string) bool {
	r, err := os.Open(file)
	if err != nil {
		return false
	}
	defer r.Close()
	return hasBuildInfo(r)
}

func hasBuildInfo(r io.ReaderAt) bool {
	f, ok := readELF(r)
	if !ok {
		return false
	}
	b := make([]byte, elfMost)
	off, ok := f.section(".go.buildinfo")
	if ok {
		b = b[:len(buildInfo)]
	} else {
		off, ok = f.data()
	}
	if !ok || off > 1<<62 {
		return false
	}
	n, _ := r.ReadAt(b, int64(off))
	for b = b[:n]; ; {
		i := bytes.Index(b, []byte(buildInfo))
		if i < 0 || i%16 == 0 {
			return i >= 0
		}
		b = b[min((i+15)&^15, len(b)):]
	}
}

// Is32 reports whether a process runs a 32-bit program. One that is gone is
// taken for one of 64 bits.
func Is32(pid int) bool {
	if strconv.IntSize == 32 {
		return false // the numbers are those of this program, too
	}
	return is32File("/proc/" + strconv.Itoa(pid) + "/exe")
}

func is32File(file string) bool {
	r, err := os.Open(file)
	if err != nil {
		return false
	}
	defer r.Close()
	f, ok := readELF(r)
	return ok && !f.wide
}
