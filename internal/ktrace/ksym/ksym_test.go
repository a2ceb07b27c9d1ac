//go:build linux

package ksym

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

const sample = `ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000010 T __pfx_first
ffffffff81000020 T first
ffffffff81000100 t dup
ffffffff81000200 t do_compat.part.0
ffffffff81000200 t do_native.part.0
ffffffff81000300 t dup
ffffffff81000400 t wait.constprop.0
ffffffff81000500 t first.cold
ffffffff81000600 T _etext
ffffffff82000000 D some_data
ffffffffc0001000 t modfn	[loop]
ffffffffc0000100 t early	[zram]
`

func parse(t *testing.T, s string) *Table {
	t.Helper()
	tab, err := Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestResolve(t *testing.T) {
	tab := parse(t, sample)
	for _, c := range []struct {
		addr uint64
		leaf bool
		want ktrace.Frame
	}{
		{0xffffffff81000021, true, ktrace.Frame{Name: "first", Off: 1}},
		{0xffffffff81000100, true, ktrace.Frame{Name: "dup"}},
		// A call that does not return ends its function: the return address is the next one's.
		{0xffffffff81000100, false, ktrace.Frame{Name: "first", Off: 0xe0}},
		{0xffffffff81000210, false, ktrace.Frame{Name: "do_compat.part.0", Aliases: []string{"do_native.part.0"}, Off: 0x10}},
		{0xffffffff81000510, false, ktrace.Frame{Name: "first"}},
		{0xffffffff81000610, true, ktrace.Frame{}}, // past the text
		{0xffffffff81000001, true, ktrace.Frame{}}, // before the first function
		{0xffffffffc0000108, true, ktrace.Frame{Name: "early", Module: "zram", Off: 8}},
		{0xffffffffc0001004, true, ktrace.Frame{Name: "modfn", Module: "loop", Off: 4}},
		{0xffffffffc0001000 + maxFunc + 1, true, ktrace.Frame{}},
		{0x1000, true, ktrace.Frame{}},
		{0, false, ktrace.Frame{}},
	} {
		got := tab.Resolve(c.addr, c.leaf)
		if got.Name != c.want.Name || got.Module != c.want.Module || got.Off != c.want.Off || !slices.Equal(got.Aliases, c.want.Aliases) {
			t.Errorf("Resolve(%#x, %v) = %+v, want %+v", c.addr, c.leaf, got, c.want)
		}
	}
}

func TestVariants(t *testing.T) {
	tab := parse(t, sample)
	for name, want := range map[string][]string{
		"first":     {"first"},
		"dup":       {"dup"},
		"wait":      {"wait.constprop.0"},
		"do_native": {"do_native.part.0", "do_compat.part.0"},
		"some_data": nil, "absent": nil, "": nil,
	} {
		if d := cmp.Diff(want, tab.Variants(name), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("Variants(%q) (-want +got):\n%s", name, d)
		}
	}
}

func TestRange(t *testing.T) {
	tab := parse(t, sample)
	if s, e, ok := tab.Range("first"); !ok || s != 0xffffffff81000020 || e != 0xffffffff81000100 {
		t.Errorf("Range(first) = %#x %#x %v", s, e, ok)
	}
	if s, _, ok := tab.Range("dup"); ok {
		t.Errorf("Range(dup) = %#x, want none: two functions have the name", s)
	}
}

func TestHiddenAddresses(t *testing.T) {
	tab := parse(t, "0000000000000000 T a\n0000000000000000 t b.isra.0\n0000000000000000 t b.isra.0.cold\n")
	if !tab.Hidden() {
		t.Error("Hidden() = false for a table of zeros")
	}
	if f := tab.Resolve(0x10, true); f.Name != "" {
		t.Errorf("Resolve found %q among hidden addresses", f.Name)
	}
	if err := hiddenError(); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v is no os.ErrPermission", err)
	}
	// Without addresses nothing may pass for an alias.
	if d := cmp.Diff([]string{"b.isra.0"}, tab.Variants("b")); d != "" {
		t.Errorf("Variants(b) (-want +got):\n%s", d)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", "\n", "zz T a\n", "ffffffff81000000\n", "ffffffff81000000 T\n", " T a\n", "ffffffff81000000 Tx a\n",
		"ffffffff81000000 D only_data\n", strings.Repeat("f", 1<<20), "ffffffff81000000 t \t[m]\n",
	} {
		if tab, err := Parse(strings.NewReader(in)); err == nil {
			t.Errorf("Parse(%.20q) = %d symbols, want an error", in, tab.Len())
		}
	}
}

func TestParseAcrossParts(t *testing.T) {
	var b strings.Builder
	for i := range 60000 { // several parts of a read
		b.WriteString("ffffffff8")
		b.WriteString(string("0123456789abcdef"[i>>16&15]) + string("0123456789abcdef"[i>>12&15]) + string("0123456789abcdef"[i>>8&15]) + string("0123456789abcdef"[i>>4&15]) + string("0123456789abcdef"[i&15]) + "00 t f\n")
	}
	if tab := parse(t, strings.TrimSuffix(b.String(), "\n")); tab.Len() != 60000 {
		t.Errorf("%d symbols of 60000", tab.Len())
	}
}

func TestLoadHere(t *testing.T) {
	tab, err := Load()
	var ae *ktrace.AccessError
	if errors.As(err, &ae) && errors.Is(err, ErrHidden) {
		if tab == nil || len(tab.Variants("eventfd_write")) == 0 {
			t.Error("addresses are hidden and the names are gone too")
		}
		if ae.Change == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is no sentence with a remedy: %v", err)
		}
	}
	testenv.Require(t, "kallsyms", err)
	start, end, ok := tab.Range("eventfd_write")
	if !ok || end <= start {
		t.Fatalf("Range(eventfd_write) = %v, size %d", ok, end-start)
	}
	if f := tab.Resolve(start+1, true); f.Name != "eventfd_write" || f.Off != 1 {
		t.Errorf("Resolve(eventfd_write+1) = %+v", f)
	}
	if got := tab.Variants("do_sys_poll"); len(got) == 0 {
		t.Error("no do_sys_poll in this kernel")
	}
}

func BenchmarkLoad(b *testing.B) {
	if _, err := Load(); err != nil {
		testenv.Require(b, "kallsyms", err)
	}
	for b.Loop() {
		if _, err := Load(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		if _, err := Parse(strings.NewReader(string(data))); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("0 t a\n")
	f.Add("1 t .cold")
	f.Fuzz(func(t *testing.T, s string) {
		tab, err := Parse(strings.NewReader(s))
		if err != nil {
			return
		}
		for i := range tab.syms {
			tab.Resolve(tab.syms[i].addr, false)
			if tab.Resolve(tab.syms[i].addr, true).Name == "" && !tab.hidden && !boundary(tab.name(i)) && tab.function(i) {
				t.Errorf("symbol %q is not found at its own address", tab.name(i))
			}
			tab.Variants(Base(tab.name(i)))
		}
	})
}

// function reports whether some symbol at the address of i is a function.
func (t *Table) function(i int) bool {
	first, last, _ := t.at(t.syms[i].addr)
	return !boundary(t.name(t.preferred(first, last)))
}

// A file that lies over the kernel's own is another's: its names would decide
// between paths, and what it does not have would be an error of the kernel.
func TestForeignFile(t *testing.T) {
	own, err := os.Open("/proc/kallsyms")
	if err != nil {
		t.Skip(err)
	}
	defer own.Close()
	if err := ofKernel(own); err != nil {
		t.Errorf("the kernel's own: %v", err)
	}
	other, err := os.Create(filepath.Join(t.TempDir(), "kallsyms"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := ofKernel(other); err == nil || !strings.Contains(err.Error(), "another file is mounted over it") {
		t.Errorf("a file of another kernel: %v", err)
	}
}

// TestUnreadable: another kernel is no remedy for a limit.
func TestUnreadable(t *testing.T) {
	if e := unreadable(&os.PathError{Op: "open", Path: "/proc/kallsyms", Err: unix.EMFILE}); !strings.Contains(e.Change, "raise the limit of open files") {
		t.Errorf("%q; %q", e.Missing, e.Change)
	}
}
