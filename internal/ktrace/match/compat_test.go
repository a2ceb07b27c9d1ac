//go:build linux

package match

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// TestCompat: a chain is that of a 32-bit program by its way into the kernel,
// and not by the name of a function that both kinds share.
func TestCompat(t *testing.T) {
	for chain, want := range map[string]bool{
		"asm_sysvec_apic_timer_interrupt < __ia32_sys_sched_getaffinity < do_syscall_64 < entry_SYSCALL_64_after_hwframe": false,
		"asm_sysvec_apic_timer_interrupt < __ia32_sys_sched_getaffinity < do_int80_emulation < asm_int80_emulation":       true,
		"try_to_wake_up < eventfd_write < vfs_write < ksys_write < do_int80_emulation < asm_int80_emulation":              true,
		"try_to_wake_up < eventfd_write < vfs_write < ksys_write < __x64_sys_write < do_syscall_64":                       false,
	} {
		var stack []ktrace.Frame
		for name := range strings.SplitSeq(chain, " < ") {
			stack = append(stack, ktrace.Frame{Name: name})
		}
		if got := Compat(stack); got != want {
			t.Errorf("%s: %v", chain, got)
		}
	}
}
