//go:build linux

package match

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// What a call may do on its way that is no part of what it is documented for:
// any call can have a page fault, wait for memory or for a lock, or be stopped.
const (
	atLock   = "a lock"
	atFault  = "a page fault"
	atMemory = "memory"
	atStop   = "a stop or the way out of the call"
)

// asides are the kernel's general functions for that, by the beginnings of
// their names.
var asides = []struct {
	what   string
	sleeps bool // the function counts for a sleep alone: it wakes nobody itself
	names  []string
}{
	{atFault, false, []string{"asm_exc_", "exc_page_fault", "page_fault", "async_page_fault", "do_page_fault", "__do_page_fault", "do_user_addr_fault", "handle_mm_fault",
		"el1h_64_sync", "el1_sync", "el1_abort", "do_mem_abort", "do_translation_fault"}},
	{atMemory, false, []string{"__alloc_pages_slowpath", "__alloc_frozen_pages_slowpath", "wakeup_kswapd", "wakeup_kcompactd", "try_to_free_", "try_charge", "mem_cgroup_handle_over_high", "__mem_cgroup_handle_over_high",
		"out_of_memory", "mempool_alloc"}},
	{atLock, true, []string{"mutex_lock", "__mutex_lock", "ww_mutex_lock", "rwsem_down_", "down_read", "down_write", "down_interruptible", "down_killable", "__down", "percpu_down_", "__percpu_down_",
		"rt_mutex_", "__rt_mutex_", "rtlock_", "rt_spin_lock", "rt_read_lock", "rt_write_lock", "rwbase_", "io_schedule", "folio_wait_", "__folio_lock", "wait_on_page_", "__lock_page", "out_of_line_wait_on_bit"}},
	{atLock, false, []string{"mutex_unlock", "__mutex_unlock", "ww_mutex_unlock", "wake_up_q", "rwsem_wake", "up_read", "up_write", "__up_read", "__up_write", "__up", "up", "percpu_up_", "__percpu_up_",
		"rt_spin_unlock", "rt_read_unlock", "rt_write_unlock", "folio_wake_", "wake_up_page", "wake_up_bit", "__wake_up_bit"}},
	{atStop, true, []string{"get_signal", "do_signal_stop", "ptrace_stop", "do_jobctl_trap", "do_freezer_trap", "__refrigerator", "syscall_trace_enter", "__secure_computing", "seccomp_",
		"syscall_exit_", "syscall_slow_exit_work", "exit_to_user", "__exit_to_user", "prepare_exit_to_user", "do_notify_resume", "arch_do_signal", "task_work_run", "do_exit", "make_task_dead"}},
	{atStop, false, []string{"prepare_signal", "ptrace_"}},
}

// exactly: names that begin others of other meaning.
var exactly = []string{"up", "__up", "page_fault", "up_read", "up_write", "do_exit"}

// aside is what a function is there for, "" where it is none of the general
// ones.
func aside(name string, sleep bool) string {
	base := BaseName(name)
	for _, a := range asides {
		if a.sleeps && !sleep {
			continue
		}
		for _, n := range a.names {
			if base == n || strings.HasPrefix(base, n) && !slices.Contains(exactly, n) {
				return a.what
			}
		}
	}
	return ""
}

// Aside looks for a general function of the kernel that the thread was in
// beside what its call is documented for, and returns what it was there for,
// "" for none, and how many frames from the leaf lie in it. What d documents
// itself is none. sleep: the thread left its CPU there, else it woke another.
func (d *Doc) Aside(frames []ktrace.Frame, sleep bool) (what string, n int) {
	for i, f := range slices.Backward(frames) {
		if d != nil && len(d.known(f)) > 0 {
			continue
		}
		if what := aside(f.Name, sleep); what != "" {
			return what, i
		}
	}
	return "", 0
}
