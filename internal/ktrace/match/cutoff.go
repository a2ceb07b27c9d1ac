//go:build linux

package match

import (
	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// CutOff reports whether the kernel cut the chain of an event before its way
// into the kernel or into an interrupt: then a thread that it ran on need not
// be the one that did it, and a callback may have been cut off too.
func CutOff(ev *ktrace.Event) bool {
	if !ev.Truncated {
		return false
	}
	for i, f := range ev.Stack {
		if isEntry(f.Name) || isSoftIRQ(f.Name) || isHardIRQ(ev.Stack, i) || is(catalog.Start, f.Name) {
			return false
		}
	}
	return true
}

// CutBy names the depth at which a chain was cut, and the kernel setting that
// limits it.
func CutBy(ev *ktrace.Event) string {
	if len(ev.Stack) == 0 {
		return "the kernel gave no call chain with it: kernel.perf_event_max_stack or kernel.perf_event_max_contexts_per_stack is 0"
	}
	return "its call chain was cut after " + count.Of(len(ev.Stack), "function") + ": kernel.perf_event_max_stack is too low"
}

// SplitEvent is Split of an event's chain. Of one that was cut off it says
// nothing.
func SplitEvent(ev *ktrace.Event) IRQSplit {
	if CutOff(ev) {
		return IRQSplit{Outer: ev.Stack, Context: Unknown, Interrupted: true}
	}
	return Split(ev.Stack)
}
