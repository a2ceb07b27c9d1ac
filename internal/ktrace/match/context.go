//go:build linux

package match

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// Context is what the CPU was doing at the leaf of a chain.
type Context string

const (
	Task    Context = "task"
	SoftIRQ Context = "softirq"
	HardIRQ Context = "hardirq"
	KWorker Context = "kworker"
	// Unknown: the chain is not that of what happened, so it tells nothing.
	Unknown Context = "unknown"
)

// Cut is a chain divided where an interrupt came in.
type Cut struct {
	Inner   []ktrace.Frame // leaf first: what ran on the CPU
	Outer   []ktrace.Frame // what it interrupted, or the thread's start; not judged
	Context Context
	// Interrupted: Inner ran on top of a task that has nothing to do with it.
	// A softirq that a task runs at the end of its own send, and that delivers
	// what it sent, is Context SoftIRQ and not Interrupted; any other one ran
	// there by chance. It holds for Unknown too, as far as anybody knows.
	Interrupted bool
}

// Split drops the tracer's own frames from the leaf and cuts the chain at
// the entry of an interrupt.
func Split(stack []ktrace.Frame) Cut {
	for len(stack) > 0 && isTracer(stack[0].Name) {
		stack = stack[1:]
	}
	c := Cut{Inner: stack, Context: Task}
	for i, f := range stack {
		soft, hard := isSoftIRQ(f.Name), interrupts(stack, i)
		if !soft && !hard {
			continue
		}
		c.Inner, c.Outer = stack[:i], stack[i:]
		c.Context, c.Interrupted = HardIRQ, true
		if soft {
			c.Context, c.Interrupted = SoftIRQ, !ownSoftIRQ(c.Inner, c.Outer)
		}
		return c
	}
	for _, f := range stack {
		if f.Name == "worker_thread" || f.Name == "process_one_work" {
			c.Context = KWorker
			break
		}
	}
	return c
}

// ownSoftIRQ reports whether a softirq is the doing of the task that it ran
// on: the task's own send ran it, and it delivers what is sent on the same
// processor. A task runs pending softirqs wherever it enables them.
func ownSoftIRQ(inner, outer []ktrace.Frame) bool {
	for i := range outer {
		if interrupts(outer, i) {
			return false
		}
	}
	known := catalog.DefaultFrames()
	by := slices.IndexFunc(outer, func(f ktrace.Frame) bool { return !runsSoftIRQs(f.Name) })
	return by >= 0 && known.Sends[BaseName(outer[by].Name)] &&
		slices.ContainsFunc(inner, func(f ktrace.Frame) bool { return known.Delivers[BaseName(f.Name)] })
}

// SplitWaking is Split for the chain of a wake-up. Where no function that
// wakes stands at its leaf, it is the chain of something else that ran on the
// same CPU: what an interrupt hit, say.
func SplitWaking(ev *ktrace.Event) Cut {
	c := SplitEvent(ev)
	if c.Context != Unknown && !near(c.Inner, "wake", "ttwu") {
		return Cut{Outer: ev.Stack, Context: Unknown, Interrupted: true}
	}
	return c
}

// Sleeps reports whether a chain is that of a thread that leaves its CPU: the
// scheduler stands at its leaf, and nothing was cut off.
func Sleeps(ev *ktrace.Event) bool { return near(SplitEvent(ev).Inner, "sched") }

// near reports whether one of the words is in the name of a function at the
// leaf.
func near(frames []ktrace.Frame, words ...string) bool {
	for _, f := range frames[:min(len(frames), leafDepth)] {
		for _, w := range words {
			if strings.Contains(f.Name, w) {
				return true
			}
		}
	}
	return false
}

// isTracer: the machinery of the tracepoint or watchpoint that took the chain.
func isTracer(name string) bool {
	for _, p := range []string{"__traceiter_", "perf_trace_", "trace_event_raw_event_", "__bpf_trace_", "trace_call_bpf", "perf_tp_event", "perf_swevent", "__perf_event_", "perf_event_", "perf_callchain", "get_perf_callchain", "perf_prepare_sample", "perf_output", "ftrace_"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func isSoftIRQ(name string) bool {
	switch BaseName(name) {
	case "handle_softirqs", "__do_softirq", "__softirqentry_text_start", "__irq_exit_rcu", "irq_exit_rcu", "irq_exit":
		return true
	}
	return false
}

// runsSoftIRQs: the machinery between a task that enables softirqs and their
// work.
func runsSoftIRQs(name string) bool {
	switch base := BaseName(name); base {
	case "do_softirq", "do_softirq_own_stack", "__do_softirq_own_stack", "____do_softirq", "asm_call_irq_on_stack", "call_on_irq_stack", "asm_call_on_stack",
		"local_bh_enable", "__local_bh_enable_ip", "_local_bh_enable", "rcu_read_unlock_bh":
		return true
	default:
		return isSoftIRQ(base)
	}
}

// interrupts reports whether what stands above a frame is the work of an
// interrupt. On the way back from one a task handles its signals, and dies of
// them, itself.
func interrupts(stack []ktrace.Frame, i int) bool {
	return isHardIRQ(stack, i) && !slices.ContainsFunc(stack[:i], func(f ktrace.Frame) bool { return isWayBack(f.Name) })
}

// isWayBack: the work that a task does for itself before it goes on behind an
// interrupt: signals, task work, the scheduler.
func isWayBack(name string) bool {
	switch BaseName(name) {
	case "irqentry_exit_to_user_mode", "exit_to_user_mode_loop", "exit_to_user_mode_prepare", "exit_to_user_mode",
		"prepare_exit_to_usermode",
		"exit_to_usermode_loop", "do_notify_resume", "arch_do_signal_or_restart", "arch_do_signal", "do_signal", "get_signal",
		"preempt_schedule_irq", "raw_irqentry_exit_cond_resched", "irqentry_exit_cond_resched":
		return true
	}
	return false
}

// isHardIRQ reports whether the function of a frame is on the way in of an
// interrupt.
func isHardIRQ(stack []ktrace.Frame, i int) bool {
	name := stack[i].Name
	if name == "call_on_irq_stack" && i > 0 && BaseName(stack[i-1].Name) == "____do_softirq" {
		return false // arm64 has softirqs on that stack too
	}
	if strings.HasPrefix(name, "asm_sysvec_") || strings.HasPrefix(name, "sysvec_") || strings.HasPrefix(name, "smp_") && strings.HasSuffix(name, "_interrupt") {
		return true
	}
	switch BaseName(name) {
	case "asm_common_interrupt", "common_interrupt", "do_IRQ", "ret_from_intr", "apic_timer_interrupt", "asm_exc_nmi", "nmi",
		"call_function_single_interrupt", "reschedule_interrupt", "el1h_64_irq", "el1h_64_irq_handler", "el1_interrupt", "el0t_64_irq",
		"el0t_64_irq_handler", "el0_interrupt", "el1_irq", "el0_irq", "call_on_irq_stack", "do_interrupt_handler":
		return true
	}
	return false
}

// isEntry: the way from user space to a system call's body.
func isEntry(name string) bool {
	switch BaseName(name) {
	case "entry_SYSCALL_64", "entry_SYSCALL_64_after_hwframe", "do_syscall_64", "do_syscall_x64", "x64_sys_call",
		"entry_SYSENTER_compat", "entry_SYSENTER_compat_after_hwframe", "do_SYSENTER_32", "do_fast_syscall_32", "__do_fast_syscall_32",
		"entry_INT80_compat", "asm_int80_emulation", "do_int80_emulation", "do_int80_syscall_32", "do_syscall_32_irqs_on", "ia32_sys_call",
		"el0_sync", "el0_sync_handler", "el0t_64_sync", "el0t_64_sync_handler", "el0_svc", "do_el0_svc", "el0_svc_handler",
		"el0_svc_common", "invoke_syscall", "__invoke_syscall", "system_call", "__do_syscall", "do_syscall":
		return true
	}
	return false
}

// Entered returns the function that the kernel's entry called for a system
// call, as far as the chain has both.
func Entered(stack []ktrace.Frame) (f ktrace.Frame, ok bool) {
	for i := len(stack) - 1; i > 0; i-- {
		if isEntry(stack[i].Name) && !isEntry(stack[i-1].Name) {
			return stack[i-1], true
		}
	}
	return ktrace.Frame{}, false
}

// Compat reports whether a chain comes from a 32-bit program on a 64-bit
// kernel: its way into the kernel, and the numbers of its calls, are others.
// Compilers have the functions of both share code: a 64-bit call was seen to go
// through __ia32_sys_sched_getaffinity.
func Compat(stack []ktrace.Frame) bool {
	if slices.ContainsFunc(stack, func(f ktrace.Frame) bool { return f.Name == "do_syscall_64" }) {
		return false
	}
	for _, f := range stack {
		for _, p := range []string{"__ia32_", "do_int80_", "asm_int80_", "entry_INT80_", "do_SYSENTER_32", "entry_SYSENTER_", "do_fast_syscall_32", "__do_fast_syscall_32",
			"el0_svc_compat", "do_el0_svc_compat", "el0t_32_", "__arm64_compat_sys_"} {
			if strings.HasPrefix(f.Name, p) {
				return true
			}
		}
	}
	return false
}
