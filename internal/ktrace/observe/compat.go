//go:build linux

package observe

import (
	"fmt"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/program"
)

// compatTasks tracks the processes that run 32-bit programs. Their syscall
// numbers differ, and the records do not distinguish them from those of 64-bit
// programs.
type compatTasks struct {
	known    map[int]bool
	reported map[int]string // process → name
}

// event reports whether an event is the enter or exit of a 32-bit program's
// call. ask says that /proc is that of the time of the events.
func (n *compatTasks) event(ev *ktrace.Event, ask bool) bool {
	switch ev.Kind {
	case ktrace.Started:
		n.forget(ev.PID)
	case ktrace.Waking, ktrace.Switch:
		if match.Compat(ev.Stack) {
			n.note(ev.PID, true)
		} else if n.known[ev.PID] && ChainSyscall(ev.Stack) != "" {
			n.forget(ev.PID) // it executed another
		}
	case ktrace.SysEnter, ktrace.SysExit:
		if _, ok := n.known[ev.PID]; !ok && ask {
			n.note(ev.PID, program.Is32(ev.PID))
		}
		if n.known[ev.PID] {
			if n.reported == nil || len(n.reported) >= maxObjects {
				n.reported = map[int]string{}
			}
			n.reported[ev.PID] = ev.Comm
			return true
		}
	}
	return false
}

func (n *compatTasks) note(pid int, compat bool) {
	if n.known == nil || len(n.known) >= maxObjects {
		n.known = map[int]bool{}
	}
	n.known[pid] = compat
}

func (n *compatTasks) forget(pid int) { delete(n.known, pid) }

// unseen says which processes' calls were left out.
func (n *compatTasks) unseen() []string {
	if len(n.reported) == 0 {
		return nil
	}
	for pid, comm := range n.reported {
		if len(n.reported) == 1 {
			return []string{fmt.Sprintf("the calls of process %d (%s): it is a 32-bit program, whose calls have other numbers", pid, comm)}
		}
	}
	return []string{fmt.Sprintf("the calls of %d processes: they are 32-bit programs, whose calls have other numbers", len(n.reported))}
}
