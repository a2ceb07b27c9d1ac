//go:build linux

package observe

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// numbered is a system call by its number.
type numbered struct {
	nr   int
	name string
}

// The numbers of the system calls that wakes are about, on x86-64 and in the
// generic table. What is not here is named by its function on the call chain.
// They are plain data: a program that does not observe carries none of it.
var (
	amd64Calls = [...]numbered{
		{0, "read"}, {1, "write"}, {3, "close"}, {7, "poll"}, {16, "ioctl"}, {17, "pread64"}, {18, "pwrite64"}, {19, "readv"}, {20, "writev"}, {22, "pipe"},
		{23, "select"}, {32, "dup"}, {33, "dup2"}, {34, "pause"}, {35, "nanosleep"}, {41, "socket"}, {42, "connect"}, {43, "accept"}, {44, "sendto"},
		{45, "recvfrom"}, {46, "sendmsg"}, {47, "recvmsg"}, {53, "socketpair"}, {56, "clone"}, {57, "fork"}, {58, "vfork"}, {59, "execve"}, {60, "exit"},
		{61, "wait4"}, {62, "kill"}, {72, "fcntl"}, {128, "rt_sigtimedwait"}, {130, "rt_sigsuspend"}, {200, "tkill"}, {202, "futex"}, {207, "io_setup"}, {208, "io_getevents"}, {209, "io_submit"},
		{213, "epoll_create"}, {219, "restart_syscall"}, {230, "clock_nanosleep"}, {231, "exit_group"}, {232, "epoll_wait"}, {233, "epoll_ctl"}, {234, "tgkill"},
		{247, "waitid"}, {254, "inotify_add_watch"}, {270, "pselect6"}, {271, "ppoll"}, {272, "unshare"}, {281, "epoll_pwait"}, {282, "signalfd"}, {283, "timerfd_create"},
		{284, "eventfd"}, {286, "timerfd_settime"}, {288, "accept4"}, {289, "signalfd4"}, {290, "eventfd2"}, {291, "epoll_create1"}, {292, "dup3"}, {293, "pipe2"},
		{294, "inotify_init1"}, {295, "preadv"}, {296, "pwritev"}, {299, "recvmmsg"}, {307, "sendmmsg"}, {327, "preadv2"}, {328, "pwritev2"}, {333, "io_pgetevents"},
		{424, "pidfd_send_signal"}, {425, "io_uring_setup"}, {426, "io_uring_enter"}, {427, "io_uring_register"}, {434, "pidfd_open"}, {435, "clone3"}, {436, "close_range"}, {441, "epoll_pwait2"},
	}
	genericCalls = [...]numbered{
		{0, "io_setup"}, {2, "io_submit"}, {4, "io_getevents"}, {19, "eventfd2"}, {20, "epoll_create1"}, {21, "epoll_ctl"}, {22, "epoll_pwait"}, {23, "dup"}, {24, "dup3"},
		{25, "fcntl"}, {26, "inotify_init1"}, {27, "inotify_add_watch"}, {29, "ioctl"}, {57, "close"}, {59, "pipe2"}, {63, "read"}, {64, "write"}, {65, "readv"}, {66, "writev"},
		{67, "pread64"}, {68, "pwrite64"}, {69, "preadv"}, {70, "pwritev"}, {72, "pselect6"}, {73, "ppoll"}, {74, "signalfd4"}, {85, "timerfd_create"}, {86, "timerfd_settime"},
		{93, "exit"}, {94, "exit_group"}, {95, "waitid"}, {97, "unshare"}, {98, "futex"}, {101, "nanosleep"}, {115, "clock_nanosleep"}, {128, "restart_syscall"}, {129, "kill"}, {130, "tkill"}, {131, "tgkill"},
		{133, "rt_sigsuspend"}, {137, "rt_sigtimedwait"}, {198, "socket"}, {199, "socketpair"}, {202, "accept"}, {203, "connect"}, {206, "sendto"}, {207, "recvfrom"}, {211, "sendmsg"}, {212, "recvmsg"},
		{220, "clone"}, {221, "execve"}, {242, "accept4"}, {243, "recvmmsg"}, {260, "wait4"}, {269, "sendmmsg"}, {286, "preadv2"}, {287, "pwritev2"}, {292, "io_pgetevents"},
		{424, "pidfd_send_signal"}, {425, "io_uring_setup"}, {426, "io_uring_enter"}, {427, "io_uring_register"}, {434, "pidfd_open"}, {435, "clone3"}, {436, "close_range"}, {441, "epoll_pwait2"},
	}
)

// numbers is the table of an architecture, nil where there is none.
func numbers(arch string) []numbered {
	switch arch {
	case "amd64":
		return amd64Calls[:]
	case "arm64", "riscv64", "loong64":
		return genericCalls[:]
	}
	return nil
}

// SyscallName names a call by its number, "" where the table has none.
func SyscallName(arch string, nr int) string {
	calls := numbers(arch)
	i, ok := slices.BinarySearchFunc(calls, nr, func(c numbered, nr int) int { return c.nr - nr })
	if !ok {
		return ""
	}
	return calls[i].name
}

// syscallNumbers are the numbers of the calls named.
func syscallNumbers(arch string, names ...string) (nrs []int) {
	for _, c := range numbers(arch) {
		if slices.Contains(names, c.name) {
			nrs = append(nrs, c.nr)
		}
	}
	return nrs
}

// ChainSyscall names the system call that a chain was made in, by the
// function that the kernel's table calls, or by the one that it jumped to.
func ChainSyscall(stack []ktrace.Frame) string {
	for i := len(stack) - 1; i >= 0; i-- {
		for _, name := range append([]string{stack[i].Name}, stack[i].Aliases...) {
			for _, p := range []string{"__x64_sys_", "__arm64_sys_", "__ia32_sys_", "__s390x_sys_", "__riscv_sys_", "__se_sys_", "__do_sys_", "ksys_", "__ia32_compat_sys_", "__arm64_compat_sys_", "__se_compat_sys_", "__do_compat_sys_"} {
				if rest, ok := strings.CutPrefix(name, p); ok {
					rest, _, _ = strings.Cut(rest, ".")
					return strings.TrimSuffix(strings.TrimSuffix(rest, "_time32"), "_time64")
				}
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
	return catalog.DefaultFrames().Bodies[match.BaseName(f.Name)]
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
		switch match.BaseName(f.Name) {
		case "hrtimer_nanosleep_restart", "alarm_timer_nsleep_restart", "posix_cpu_nsleep_restart", "do_nanosleep":
			return "nanosleep"
		case "futex_wait_restart", "futex_wait", "__futex_wait":
			return "futex"
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
