//go:build linux

package observe

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// SyscallName names a call by its number, "" if the table has none.
func SyscallName(arch string, nr int) string {
	if c := catalog.DefaultModel().Arch(arch).Call(nr); c != nil {
		return c.Name
	}
	return ""
}

// ChainSyscall names the system call that a chain was made in, by the
// function that the kernel's table calls, or by the one that it jumped to.
func ChainSyscall(stack []ktrace.Frame) string {
	m := catalog.DefaultModel()
	for i := len(stack) - 1; i >= 0; i-- {
		for _, name := range append([]string{stack[i].Name}, stack[i].Aliases...) {
			if call := m.Syscall(name); call != "" {
				call, _, _ = strings.Cut(call, ".")
				return strings.TrimSuffix(strings.TrimSuffix(call, "_time32"), "_time64")
			}
		}
	}
	if calls := bodyOf(stack); len(calls) == 1 || len(calls) > 1 && !match.Compat(stack) {
		return calls[0]
	}
	return ""
}

// bodyOf are the system calls that may have ended in the function above the
// kernel's entry, nil if the chain has no entry or the function is no such body.
func bodyOf(stack []ktrace.Frame) []string {
	f, ok := match.Entered(stack)
	if !ok {
		return nil
	}
	calls, ok := catalog.DefaultModel().Of(catalog.Body, match.BaseName(f.Name))
	if !ok {
		return nil
	}
	return strings.Split(calls, ",")
}

// Syscall names the call that one side of a wake was in, "" for none. The
// chain counts for more than the number: it cannot be another call's.
func (k *Kernel) syscall(s *Side, stack []ktrace.Frame) string {
	name := k.syscallOf(s, stack)
	if name != "restart_syscall" {
		return name
	}
	// It goes on with one of several calls.
	for _, f := range stack {
		if call, ok := catalog.DefaultModel().Of(catalog.Restarts, match.BaseName(f.Name)); ok {
			return call
		}
	}
	return name
}

func (k *Kernel) syscallOf(s *Side, stack []ktrace.Frame) string {
	byChain := ChainSyscall(stack)
	if s.Call == nil || match.Compat(stack) {
		return byChain
	}
	byNr := SyscallName(k.Arch, s.Call.Nr)
	if !s.Call.Doubtful && slices.Contains(bodyOf(stack), byNr) {
		return byNr
	}
	if byNr == "" || s.Call.Doubtful || byChain != "" {
		return byChain
	}
	return byNr
}
