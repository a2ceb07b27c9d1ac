//go:build linux

package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// image writes an executable of one writable segment, which is behind a
// read-only one and has info 32 bytes from its start, and of sections, if they
// are wanted, of which the last is .go.buildinfo.
func image(t *testing.T, wide, sections bool, order binary.ByteOrder, info string) []byte {
	t.Helper()
	const at = 4096
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS32), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	if order == binary.BigEndian {
		ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	names := "\x00.shstrtab\x00.go.buildinfo\x00"
	load, text, data := uint32(elf.PT_LOAD), uint32(elf.PF_R|elf.PF_X), uint32(elf.PF_R|elf.PF_W)
	var head bytes.Buffer
	put := func(all ...any) {
		for _, v := range all {
			if err := binary.Write(&head, order, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if wide {
		ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
		h := elf.Header64{Ident: ident, Phoff: 64, Phentsize: 56, Phnum: 2}
		if sections {
			h.Shoff, h.Shentsize, h.Shnum, h.Shstrndx = 256, 64, 3, 1
		}
		put(h, elf.Prog64{Type: load, Flags: text, Filesz: 64}, elf.Prog64{Type: load, Flags: data, Off: at})
		head.Write(make([]byte, 256-head.Len()))
		put(elf.Section64{}, elf.Section64{Name: 1, Off: 1024}, elf.Section64{Name: 11, Off: at + 32})
	} else {
		h := elf.Header32{Ident: ident, Phoff: 52, Phentsize: 32, Phnum: 2}
		if sections {
			h.Shoff, h.Shentsize, h.Shnum, h.Shstrndx = 256, 40, 3, 1
		}
		put(h, elf.Prog32{Type: load, Flags: text, Filesz: 64}, elf.Prog32{Type: load, Flags: data, Off: at})
		head.Write(make([]byte, 256-head.Len()))
		put(elf.Section32{}, elf.Section32{Name: 1, Off: 1024}, elf.Section32{Name: 11, Off: at + 32})
	}
	head.Write(make([]byte, 1024-head.Len()))
	head.WriteString(names)
	head.Write(make([]byte, at+32-head.Len()))
	head.WriteString(info)
	return head.Bytes()
}

// The observer's own reader of executables knows a Go program from another in
// files of both widths and byte orders, with and without section headers.
func TestIsGo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "exe")
	write := func(b []byte) {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, wide := range []bool{false, true} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, sections := range []bool{false, true} {
				for info, want := range map[string]bool{
					buildInfo:                        true,
					"0123456789abcdef" + buildInfo:   !sections, // the section begins with it
					"01234567" + buildInfo:           false,     // not aligned
					"\xff No buildinf:" + "anything": false,
					"":                               false,
				} {
					whole := image(t, wide, sections, order, info)
					write(whole)
					if got := isGo(file); got != want {
						t.Errorf("64 bits %v, %v, sections %v, %q: Go's %v, want %v", wide, order, sections, info, got, want)
					}
					if got := is32File(file); got == wide {
						t.Errorf("64 bits %v, %v: of 32 bits %v", wide, order, got)
					}
					for _, n := range []int{0, 3, 40, 60, 200, 300, len(whole) - 1} {
						write(whole[:min(n, len(whole))])
						if info != "" && isGo(file) {
							t.Errorf("64 bits %v, %v, sections %v, %q: the first %d bytes are a Go program", wide, order, sections, info, n)
						}
					}
				}
			}
		}
	}
	for _, other := range []string{"/bin/sh", "elf_test.go", "/none"} {
		if isGo(other) {
			t.Errorf("%s is a program of Go's", other)
		}
	}
	self, err := os.Executable()
	if err != nil || !isGo(self) || is32File(self) == (^uint(0)>>63 == 1) {
		t.Errorf("this test is none of Go's, or not of this width (%v)", err)
	}
}

// asked counts what a reader is asked for.
type asked struct {
	io.ReaderAt
	calls, bytes int
}

func (a *asked) ReadAt(b []byte, off int64) (int, error) {
	a.calls++
	a.bytes += len(b)
	return a.ReaderAt.ReadAt(b, off)
}

// looksAt reads text as an executable, which takes few reads and little memory.
func looksAt(t *testing.T, text []byte) {
	t.Helper()
	a := &asked{ReaderAt: bytes.NewReader(text)}
	hasBuildInfo(a)
	if a.calls > 5 || a.bytes > 9<<20 {
		t.Errorf("%d reads of %d bytes in all", a.calls, a.bytes)
	}
}

// A file may claim tables of 65535 entries of 65535 bytes, of which most are
// not there, and a name for each.
func TestIsGoOfClaims(t *testing.T) {
	for _, wide := range []bool{false, true} {
		sizes, order := []int{42, 44, 46, 48}, binary.LittleEndian // e_phentsize, e_phnum, e_shentsize, e_shnum
		if wide {
			sizes = []int{54, 56, 58, 60}
		}
		for _, claims := range [][]int{sizes, {sizes[1], sizes[3]}, {sizes[0], sizes[2]}} {
			text := append(image(t, wide, true, order, ""), make([]byte, 5<<20)...)
			for _, at := range claims {
				order.PutUint16(text[at:], 65535)
			}
			looksAt(t, text)
			looksAt(t, text[:4096])
		}
	}
}

// What a file says of itself takes the reader nowhere that it does not come
// back from.
func FuzzIsGo(f *testing.F) {
	self, err := os.Executable()
	if err != nil {
		f.Fatal(err)
	}
	r, err := os.Open(self)
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 4096)
	if _, err := r.ReadAt(head, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Fuzz(looksAt)
}
