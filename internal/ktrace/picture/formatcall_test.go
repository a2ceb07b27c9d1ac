//go:build linux

package picture

import (
	"testing"

	"github.com/efd-go/efd/internal/ktrace/observe"
)

// TestRestartCodes: what the kernel returns to itself is printed as strace
// prints it, and an error is one.
func TestRestartCodes(t *testing.T) {
	for ret, want := range map[int64]string{
		-512: " = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
		-513: " = ? ERESTARTNOINTR (To be restarted)",
		-514: " = ? ERESTARTNOHAND (To be restarted if no handler)",
		-516: " = ? ERESTART_RESTARTBLOCK (Interrupted by signal)",
		-4:   " = -1 EINTR", -515: " = -1 515", 516: " = 516", 0: " = 0",
	} {
		if got := callResult(&observe.Call{Enter: 1, Exit: 2, Ret: ret}); got != want {
			t.Errorf("%d: %q, want %q", ret, got, want)
		}
	}
	if got := callResult(&observe.Call{Enter: 1}); got != " = ?" {
		t.Errorf("a call that goes on: %q", got)
	}
}
