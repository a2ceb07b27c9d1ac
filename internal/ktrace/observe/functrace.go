//go:build linux

package observe

import (
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// Trace holds the function tracer's records of one system call.
type Trace struct {
	call    *Call
	name    string // by the function that the kernel's table calls
	began   int64
	entries []traceEntry
	more    bool // than are kept
}

// traceEntry is the entry of a function.
type traceEntry struct {
	stack   []ktrace.Frame
	softirq bool
}

// maxTraceEntries bounds the entries that are kept of one call.
const maxTraceEntries = 512

// tracerGrain is how far the tracer's times may be from others: they are whole
// microseconds.
const tracerGrain = 1000

// functionEntry adds a function entry to the call that its thread is in, unless
// a hardware interrupt made it.
func (t *Tracker) functionEntry(ev *ktrace.Event) {
	if t.callName == nil || ev.TID == 0 || ev.IRQ == "hardirq" || len(ev.Stack) == 0 {
		return
	}
	th := t.thread(ev.TID)
	if name := begins(ev, th.trace); name != "" {
		th.trace = &Trace{name: name, began: ev.Time}
		th.join(t)
	}
	tr := th.trace
	switch {
	case tr == nil:
		return
	case tr.call != nil && tr.call.Exit != 0 && ev.Time > tr.call.Exit+tracerGrain:
		th.trace = nil
	case len(tr.entries) >= maxTraceEntries:
		tr.more = true
	default:
		tr.entries = append(tr.entries, traceEntry{ev.Stack, ev.IRQ == "softirq"})
	}
}

// join connects the function tracer's records with their call. Either can come
// first, because the tracer's clock is coarser.
func (th *thread) join(t *Tracker) {
	c, tr := th.call, th.trace
	if c == nil || tr == nil || tr.call != nil || c.Trace != nil || c.Enter == 0 || tr.began+tracerGrain < c.Enter || t.callName(c.Nr) != tr.name {
		return
	}
	c.Trace, tr.call = tr, c
}

// begins names the system call that an entry begins, "" for none.
func begins(ev *ktrace.Event, now *Trace) string {
	if ev.IRQ != "" {
		return ""
	}
	m := catalog.DefaultModel()
	for _, name := range append([]string{ev.Stack[0].Name}, ev.Stack[0].Aliases...) {
		name = match.BaseName(name)
		if call := m.InTable(name); call != "" {
			return call
		}
		// The body of one, which need not be a function of its own.
		if rest, ok := strings.CutPrefix(name, "__do_sys_"); ok && (now == nil || now.name != rest) {
			return rest
		}
	}
	return ""
}

// settled reports whether nothing more of a call is to come.
func (c *Call) settled(now int64) bool {
	return c == nil || c.Trace == nil || c.Exit != 0 && now > c.Exit+tracerGrain
}
