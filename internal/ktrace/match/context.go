//go:build linux

package match

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// Context is the execution context of the CPU at the leaf of a chain.
type Context string

const (
	Task    Context = "task"
	SoftIRQ Context = "softirq"
	HardIRQ Context = "hardirq"
	KWorker Context = "kworker"
	// Unknown: the chain belongs to another activity, so it shows nothing.
	Unknown Context = "unknown"
)

// IRQSplit is a chain divided where an interrupt came in.
type IRQSplit struct {
	Inner   []ktrace.Frame // leaf first: the functions that ran on the CPU
	Outer   []ktrace.Frame // the interrupted part, or the thread's start; not judged
	Context Context
	// Interrupted: Inner ran on top of a task that has nothing to do with it. A
	// softirq that a task runs at the end of its own send, and that delivers
	// the sent data, is Context SoftIRQ and not Interrupted; any other one ran
	// there by chance. It holds for Unknown too, as far as is known.
	Interrupted bool
}

// Split drops the tracer's own frames from the leaf and cuts the chain at
// the entry of an interrupt.
func Split(stack []ktrace.Frame) IRQSplit {
	for len(stack) > 0 && is(catalog.Tracer, stack[0].Name) {
		stack = stack[1:]
	}
	c := IRQSplit{Inner: stack, Context: Task}
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
		if is(catalog.Worker, f.Name) {
			c.Context = KWorker
			break
		}
	}
	return c
}

// ownSoftIRQ reports whether the task itself caused a softirq: the task's own
// send ran it, and it delivers data sent on the same CPU. A task runs pending
// softirqs whenever it enables them.
func ownSoftIRQ(inner, outer []ktrace.Frame) bool {
	for i := range outer {
		if interrupts(outer, i) {
			return false
		}
	}
	by := slices.IndexFunc(outer, func(f ktrace.Frame) bool { return !runsSoftIRQs(f.Name) })
	return by >= 0 && is(catalog.Sends, outer[by].Name) &&
		slices.ContainsFunc(inner, func(f ktrace.Frame) bool { return is(catalog.Delivers, f.Name) })
}

// SplitWaking is Split for the chain of a wake-up. If no waking function stands
// at its leaf, it is the chain of another activity on the same CPU, such as the
// code that an interrupt hit.
func SplitWaking(ev *ktrace.Event) IRQSplit {
	c := SplitEvent(ev)
	if c.Context != Unknown && !near(c.Inner, "wake", "ttwu") {
		return IRQSplit{Outer: ev.Stack, Context: Unknown, Interrupted: true}
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

// is reports whether a function is one of a topic.
func is(t catalog.Topic, name string) bool { return catalog.DefaultModel().Is(t, BaseName(name)) }

func isSoftIRQ(name string) bool { return is(catalog.SoftIRQ, name) }

// runsSoftIRQs: the machinery between a task that enables softirqs and their
// work.
func runsSoftIRQs(name string) bool { return is(catalog.ToSoftIRQ, name) || isSoftIRQ(name) }

// interrupts reports whether the frames above a frame are an interrupt's work.
// On the return from one, a task handles its own signals, and dies of them.
func interrupts(stack []ktrace.Frame, i int) bool {
	return isHardIRQ(stack, i) && !slices.ContainsFunc(stack[:i], func(f ktrace.Frame) bool { return isWayBack(f.Name) })
}

// isWayBack reports whether a function is a task's own work on the return from
// an interrupt: signals, task work, the scheduler.
func isWayBack(name string) bool { return is(catalog.WayBack, name) }

// isHardIRQ reports whether the function of a frame is on the way in of an
// interrupt.
func isHardIRQ(stack []ktrace.Frame, i int) bool {
	if is(catalog.IRQStack, stack[i].Name) {
		return i == 0 || !is(catalog.SoftIRQStack, stack[i-1].Name)
	}
	return is(catalog.HardIRQ, stack[i].Name)
}

// isEntry: the way from user space to a system call's body.
func isEntry(name string) bool { return is(catalog.Entry, name) }

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
	any := func(t catalog.Topic) bool {
		return slices.ContainsFunc(stack, func(f ktrace.Frame) bool { return is(t, f.Name) })
	}
	return !any(catalog.Wide) && any(catalog.Narrow)
}
