//go:build linux

package observe

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// Way joins the function tracer's records and the call chains of one system
// call: every edge of its documented paths, with its verdict. Equal calls share
// it; it must not be changed.
type Way struct {
	Paths  []string
	Tracer string
	Steps  []match.Step
}

// wayKey identifies the inputs of a Way.
type wayKey struct {
	paths, without string
	chain          *match.Chain
	entries        string
	missed         uint64
	lost           bool
	partial        string
}

// traced holds the tracer's records of a call, for one side of a wake.
type traced struct {
	Taken
	call    *Call
	softirq bool // the call itself made the softirqs run
	lost    bool // records of its chain may be missing
}

// judgeTraced adds the ways of both calls of a wake, as far as the tracer saw
// them. Of a wake from an interrupt there is no waker's call.
func (p *Pipeline) judgeTraced(j *Judged) {
	if p.o.Witness == nil {
		return
	}
	if c := j.Wakee.Call; c != nil {
		j.Sleeping = p.way(traced{Taken: j.Slept(nil), call: c, lost: j.Lost})
	}
	if c := j.Waker.Call; c != nil && !j.Interrupted {
		j.Waked = p.way(traced{Taken: j.Woke(nil), call: c, softirq: j.Context == match.SoftIRQ, lost: j.Lost})
	}
}

// judgeCall adds the way of a call that no wake has to be of.
func (p *Pipeline) judgeCall(c *Call) {
	if p.o.Witness == nil || c.Doubtful {
		return
	}
	if paths := madePaths(SyscallName(p.k.Arch, c.Nr)); len(paths) > 0 {
		c.Way = p.way(traced{Taken: Taken{Paths: paths}, call: c})
	}
}

// madePaths returns the documented paths of calls that make or change objects
// to wait for.
func madePaths(name string) []string {
	if c := catalog.DefaultModel().Call(name); c.Waiter == nil {
		return c.Paths
	}
	return nil
}

// way judges the tracer's records; nil if there are none of the call, or no
// path is documented.
func (p *Pipeline) way(t traced) *Way {
	tr := t.call.Trace
	if tr == nil || len(tr.entries) == 0 || len(t.Paths) == 0 {
		return nil
	}
	entries := tr.entries
	if !t.softirq {
		entries = slices.DeleteFunc(slices.Clone(entries), func(e traceEntry) bool { return e.softirq })
	}
	key := wayKey{paths: strings.Join(t.Paths, " "), without: strings.Join(t.Without, " "), entries: p.keyOf(entries), missed: p.missed(t.call), lost: t.lost, partial: p.partial(t.call)}
	if len(t.Chains) > 0 {
		key.chain = t.Chains[0]
	}
	if w, ok := p.ways[key]; ok {
		return w
	}
	src := &match.Sources{Points: Points(), Unseen: unwatched, Missed: key.missed, Partial: key.partial}
	if t.lost {
		src.Lost = max(p.Lost, 1)
	}
	t.Traced = events(t.call.TID, entries)
	w := &Way{Paths: t.Paths, Tracer: p.o.Witness.Name, Steps: p.k.Cover(src, p.o.Witness, t.Taken)}
	if len(p.ways) >= maxMatched {
		clear(p.ways)
	}
	p.ways[key] = w
	return w
}

const unwatched = "no tracepoint lies in it or below it"

// partial says why the tracer saw but a part of a call, "" if it saw all.
func (p *Pipeline) partial(c *Call) string {
	switch {
	case c.Trace.more:
		return fmt.Sprintf("more functions were entered in the call than the %d that are kept", maxTraceEntries)
	case !c.settled(p.t.now):
		return "the call had not ended yet"
	case c.Doubtful:
		return "records that identify the call were lost"
	}
	return ""
}

// missed counts the tracer's records that were lost during a call.
func (p *Pipeline) missed(c *Call) (n uint64) {
	end := c.Exit
	if end == 0 {
		end = p.t.now
	}
	for _, l := range p.Losses {
		if OfFunctions(l.Source) && l.From <= end+tracerGrain && c.Enter-tracerGrain <= l.To {
			n += l.Count
		}
	}
	return n
}

// maxStacks bounds the number of distinct stacks.
const maxStacks = 1 << 13

// keyOf distinguishes sequences of stacks: sources share equal ones.
func (p *Pipeline) keyOf(entries []traceEntry) string {
	if len(p.stacks)+len(entries) > maxStacks {
		clear(p.stacks)
		clear(p.ways)
	}
	b := make([]byte, 0, 4*len(entries))
	for _, e := range entries {
		stack := chainOf(e.stack)
		id, ok := p.stacks[stack]
		if !ok {
			id = uint32(len(p.stacks))
			p.stacks[stack] = id
		}
		b = binary.NativeEndian.AppendUint32(b, id)
	}
	return string(b)
}

func events(tid int, entries []traceEntry) []*ktrace.Event {
	out := make([]*ktrace.Event, len(entries))
	for i, e := range entries {
		out[i] = &ktrace.Event{Kind: ktrace.FuncEntry, TID: tid, Stack: e.stack}
	}
	return out
}
