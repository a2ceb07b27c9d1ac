//go:build linux

package recorded_test

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/scenario/lab"
)

// A thread that enables softirqs runs those that are pending, whoever raised
// them. Restoring the registers of a signal's frame did so here, in a compiler
// that sends nothing: what it woke waits for a socket of others.
func TestSoftIRQOfOthers(t *testing.T) {
	const path = "testdata/softirq-in-rt_sigreturn.jsonl.gz"
	k, _, err := lab.Opened(path)
	if err != nil {
		t.Fatal(err)
	}
	var in, own int
	_, err = recorded.Replay(path, k, observe.Options{OnWake: func(j *observe.Judged) {
		switch {
		case j.Waker.TID == 7556:
			in++
			if j.Context != match.SoftIRQ || !j.Interrupted || !j.RanIn() || j.WakerSyscall != "" || j.FD != -1 || j.Wakee.TID != 7555 {
				t.Errorf("%s, in %q on %d", j.Describe(), j.WakerSyscall, j.FD)
			}
		case j.Context == match.SoftIRQ && j.WakerSyscall != "":
			own++
			if j.Interrupted || j.RanIn() || j.Waker.Comm != "socat" {
				t.Errorf("%s, in %q", j.Describe(), j.WakerSyscall)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if in != 1 || own != 2 {
		t.Errorf("%d softirqs on top of the compiler, want 1; %d of the sender's own, want 2", in, own)
	}
}

// The frames of a system call whose own function ended in a jump name it, and
// those of others that have the same body do not.
func TestSyscallByBody(t *testing.T) {
	for chain, want := range map[string]string{
		"try_to_wake_up tcp_sendmsg sock_write_iter vfs_writev do_writev do_syscall_64 entry_SYSCALL_64_after_hwframe":    "writev",
		"schedule tcp_recvmsg sock_read_iter do_readv do_syscall_64 entry_SYSCALL_64_after_hwframe":                       "readv",
		"unix_stream_sendmsg ____sys_sendmsg ___sys_sendmsg __sys_sendmsg do_syscall_64 entry_SYSCALL_64":                 "sendmsg",
		"tcp_connect inet_stream_connect __sys_connect x64_sys_call do_syscall_64 entry_SYSCALL_64":                       "connect",
		"tcp_sendmsg sock_sendmsg __sys_sendto invoke_syscall el0_svc_common.constprop.0 do_el0_svc el0_svc":              "sendto",
		"schedule core_sys_select do_pselect.constprop.0 do_syscall_64 entry_SYSCALL_64":                                  "pselect6",
		"unix_stream_sendmsg __sys_sendmsg io_issue_sqe io_wq_submit_work io_wq_worker ret_from_fork":                     "",
		"schedule do_sys_poll do_syscall_64 entry_SYSCALL_64":                                                             "",
		"complete_signal do_notify_parent wait_consider_task do_wait kernel_wait4 do_syscall_64 entry_SYSCALL_64":         "wait4",
		"complete_signal do_notify_parent wait_consider_task do_wait kernel_wait4 do_int80_emulation asm_int80_emulation": "",
		"do_writev":                          "",
		"vfs_write ksys_write do_syscall_64": "write",
	} {
		var stack []ktrace.Frame
		for _, n := range strings.Fields(chain) {
			stack = append(stack, ktrace.Frame{Name: n})
		}
		if got := observe.ChainSyscall(stack); got != want {
			t.Errorf("%s: in %q, want %q", chain, got, want)
		}
	}
}
