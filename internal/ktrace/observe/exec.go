//go:build linux

package observe

import (
	"fmt"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/order"
)

// execs are the processes that entered execve and have not left it. The kernel
// ends the events of one that gets privileges there, or a program that it may
// not read: from then on its calls and sleeps go unrecorded.
type execs struct {
	entered map[int]string // process → name before
}

// event takes an event, and reports whether it is the enter or exit of execve.
func (x *execs) event(arch string, ev *ktrace.Event) bool {
	if ev.Kind != ktrace.SysEnter && ev.Kind != ktrace.SysExit {
		return false
	}
	switch SyscallName(arch, ev.Nr) {
	case "execve", "execveat":
	default:
		return false
	}
	if ev.Kind == ktrace.SysExit {
		x.left(ev.PID)
		return true
	}
	if x.entered == nil || len(x.entered) >= maxObjects {
		x.entered = map[int]string{}
	}
	x.entered[ev.PID] = ev.Comm
	return true
}

// left: a process has left its execve.
func (x *execs) left(pid int) { delete(x.entered, pid) }

// unseen says which processes' events ended.
func (x *execs) unseen() (out []string) {
	for _, pid := range order.Numbers(x.entered) {
		out = append(out, fmt.Sprintf("the calls and sleeps of process %d (%s before) from its execve on: the kernel ends the events of a program that is set-user-ID or set-group-ID for its caller, or that its caller may not read", pid, x.entered[pid]))
	}
	return out
}
