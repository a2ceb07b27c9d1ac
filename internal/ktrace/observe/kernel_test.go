//go:build linux

package observe

import (
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// What a compiler did to a build of one architecture says nothing of another's.
func TestGroundOfAnArchitecture(t *testing.T) {
	const both = "x86-64: text of 6.12.117, 6.18.44; chains of 7.3.4; arm64: chains of 6.12.117"
	for _, c := range []struct{ arch, ground, want string }{
		{"amd64", both, "x86-64: text of 6.12.117, 6.18.44; chains of 7.3.4"},
		{"arm64", both, "arm64: chains of 6.12.117"},
		{"riscv64", both, ""},
		{"amd64", "arm64: chains of 6.12.117", ""},
		{"arm64", "arm64: chains of 6.12.117", "arm64: chains of 6.12.117"},
		{"amd64", "", ""},
	} {
		if got := groundFor(c.arch, c.ground); got != c.want {
			t.Errorf("groundFor(%s, %q) = %q, want %q", c.arch, c.ground, got, c.want)
		}
	}
}

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
