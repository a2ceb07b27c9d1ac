//go:build linux

package ksym

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
)

// Names as GCC 8 (4.19), GCC 12 and clang with ThinLTO give them.
const renamed = `ffffffff81000000 t do_sys_poll
ffffffff81000100 t poll_schedule_timeout.constprop.9
ffffffff81000200 t ep_poll_callback.isra.0
ffffffff81000300 t do_eventfd.llvm.1234567890123
ffffffff81000400 t __pollwait.part.0
ffffffff81000500 t ep_insert.__uniq.99.llvm.77
ffffffff81000600 t do_sys_poll.cold.12
ffffffff81000700 t ep_poll_callback.isra.0.cold
ffffffff81000800 t __pollwait.part.0.cold.3
ffffffff81000900 t .cold
ffffffff81000a00 t x.cold.y
ffffffff81000b00 t x.cold.
ffffffff81000c00 t last
`

func TestRenamed(t *testing.T) {
	tab := parse(t, renamed)
	for name, want := range map[string][]string{
		"do_sys_poll":           {"do_sys_poll"}, // its cold part is no other function
		"poll_schedule_timeout": {"poll_schedule_timeout.constprop.9"},
		"ep_poll_callback":      {"ep_poll_callback.isra.0"},
		"do_eventfd":            {"do_eventfd.llvm.1234567890123"},
		"__pollwait":            {"__pollwait.part.0"},
		"ep_insert":             {"ep_insert.__uniq.99.llvm.77"},
		"x":                     {"x.cold.y", "x.cold."},
	} {
		if d := cmp.Diff(want, tab.Variants(name)); d != "" {
			t.Errorf("Variants(%s): %s", name, d)
		}
	}
	for addr, want := range map[uint64]string{
		0xffffffff81000110: "poll_schedule_timeout.constprop.9 16",
		0xffffffff81000310: "do_eventfd.llvm.1234567890123 16",
		0xffffffff81000610: "do_sys_poll 0", 0xffffffff81000710: "ep_poll_callback.isra.0 0", 0xffffffff81000810: "__pollwait.part.0 0",
		0xffffffff81000910: ".cold 16", 0xffffffff81000a10: "x.cold.y 16",
	} {
		if f := tab.Resolve(addr, true); f.Name+" "+string(digits(f.Off)) != want {
			t.Errorf("Resolve(%#x) = %s+%d, want %s", addr, f.Name, f.Off, want)
		}
	}
}

// Cold parts are found by the symbol of their function, numbered or not.
func TestCold(t *testing.T) {
	tab := parse(t, renamed)
	for symbol, want := range map[string][]string{
		"do_sys_poll":              {"do_sys_poll.cold.12"},
		"ep_poll_callback.isra.0":  {"ep_poll_callback.isra.0.cold"},
		"__pollwait.part.0":        {"__pollwait.part.0.cold.3"},
		"ep_poll_callback":         nil,
		"poll_schedule_timeout":    nil,
		"x":                        nil,
		"":                         nil,
		"ffffffffffffffffffffffff": nil,
	} {
		if d := cmp.Diff(want, tab.Cold(symbol)); d != "" {
			t.Errorf("Cold(%q): %s", symbol, d)
		}
	}
	if got := new(Table).Cold("do_sys_poll"); got != nil {
		t.Errorf("Cold without symbols = %q", got)
	}
}

func digits(n uint32) []byte {
	if n < 10 {
		return []byte{'0' + byte(n)}
	}
	return append(digits(n/10), '0'+byte(n%10))
}

// Each symbol of the running kernel that a compiler renamed is found by the name
// that it has in the source.
func TestRenamedHere(t *testing.T) {
	tab, err := Load()
	testenv.Require(t, "kallsyms", err)
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan() && n < 2000; {
		w := strings.Fields(lines.Text())
		if len(w) != 3 || !strings.EqualFold(w[1], "t") || Base(w[2]) == w[2] || strings.HasPrefix(w[2], "__pfx_") {
			continue
		}
		n++
		if v := tab.Variants(Base(w[2])); strings.Contains(strings.Join(v, " ")+" ", w[2]+" ") != (Uncold(w[2]) == w[2]) {
			t.Errorf("Variants(%s) = %q, and there is %s", Base(w[2]), v, w[2])
		}
	}
	if t.Logf("%d symbols", n); n == 0 {
		t.Skip("this kernel has no symbol that a compiler renamed")
	}
}

func TestCallSites(t *testing.T) {
	tab := parse(t, renamed)
	const want = "(call_site>0xffffffff81000300&&call_site<=0xffffffff81000400)||(call_site>0xffffffff81000000&&call_site<=0xffffffff81000100)"
	if got := tab.CallSites("do_eventfd", "none", "do_sys_poll", "do_eventfd"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := tab.CallSites("none"); got != "" {
		t.Errorf("of no function: %s", got)
	}
}
