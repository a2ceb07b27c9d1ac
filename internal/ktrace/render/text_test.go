//go:build linux

package render

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/efd-go/efd/internal/ktrace"
)

func chain(color bool) string {
	var b bytes.Buffer
	t := NewText(&b, color)
	rows := []Row{
		{Function: "entry_SYSCALL_64", Sentence: "Where the kernel is entered.", Common: true},
		{Verdict: ktrace.Seen, Function: "do_syscall_64", Sentence: "Takes the number of the call.", Common: true},
		{Verdict: ktrace.Inlined, Function: "do_syscall_x64", Sentence: "Checks it.", Cause: "compiled into do_syscall_64", Common: true},
		{Verdict: ktrace.Seen, Function: "a_function_with_a_very_long_name_indeed", Sentence: strings.Repeat("many words ", 20)},
		{Verdict: ktrace.Contradicted, Function: "wrong", Cause: "it was not there"},
	}
	t.Chain("  ", rows)
	t.Chain("  ", rows)
	t.Hanging(t.Bold("head: "), strings.Repeat("word ", 40))
	return b.String()
}

func TestTextFitsTheTerminal(t *testing.T) {
	for _, color := range []bool{false, true} {
		for _, l := range strings.Split(chain(color), "\n") {
			if visible(l) > Width {
				t.Errorf("%d wide: %q", visible(l), l)
			}
			if !color && (strings.Contains(l, "\x1b") || utf8.RuneCountInString(l) != visible(l)) {
				t.Errorf("colour without being asked for: %q", l)
			}
		}
	}
	plain := chain(false)
	for _, want := range []string{"⋮", "entry_SYSCALL_64 … do_syscall_x64, as above", "[compiled into do_syscall_64]", "✗ contradicted"} {
		if !strings.Contains(plain, want) {
			t.Errorf("no %q in\n%s", want, plain)
		}
	}
	if n := strings.Count(plain, "Takes the number"); n != 1 {
		t.Errorf("a function is explained %d times", n)
	}
	if n := strings.Count(plain, "✗ contradicted"); n != 2 {
		t.Errorf("a finding is shown %d times of 2", n)
	}
}
