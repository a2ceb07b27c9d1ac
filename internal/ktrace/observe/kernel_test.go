//go:build linux

package observe

import (
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// Of several calls that end in one body the number on record decides.
func TestSharedBody(t *testing.T) {
	const writev, pwritev2, read = 20, 328, 0
	stack := []ktrace.Frame{{Name: "vfs_writev"}, {Name: "do_writev"}, {Name: "do_syscall_64"}, {Name: "entry_SYSCALL_64"}}
	k := &Kernel{Arch: "amd64"}
	for _, c := range []struct {
		call *Call
		want string
	}{{nil, "writev"}, {&Call{Nr: writev}, "writev"}, {&Call{Nr: pwritev2}, "pwritev2"}, {&Call{Nr: pwritev2, Doubtful: true}, "writev"}, {&Call{Nr: read}, "writev"}} {
		if got := k.syscall(&Side{Call: c.call}, stack); got != c.want {
			t.Errorf("%+v: %s, want %s", c.call, got, c.want)
		}
	}
}
