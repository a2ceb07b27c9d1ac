//go:build linux

package observe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/order"
)

// Change is one change of a watched eventfd, of its counter or of its wait
// queue; or one allocation.
type Change struct {
	Kernel      string // version that the path holds for
	Event       *ktrace.Event
	Side        Side // whose call it was; TID 0 if an interrupt did it
	Syscall     string
	FD          int // of the call, -1 if unknown
	Context     match.Context
	Interrupted bool
	Object      string // "eventfd 5 (id 12)", "an eventfd" if its number is not known
	What        string // the operation, in a few words
	Path        string // documented path of the call, "" if none is
	Chain       *match.Chain
}

// watch handles the events of watched eventfds.
func (p *Pipeline) watch(ev *ktrace.Event) {
	switch ev.Kind {
	case ktrace.Alloc:
		p.alloc(ev)
		if ev.Object == 0 {
			return // not of an eventfd that can be watched
		}
		if len(p.making) >= maxObjects {
			clear(p.making)
		}
		p.making[ev.TID] = ev.Object
	case ktrace.SysExit:
		key, ok := p.making[ev.TID]
		if !ok {
			return
		}
		delete(p.making, ev.TID)
		if ob := p.objects.fds[p.objects.key(ev.PID, ev.TID, int(ev.Ret))]; ob != nil && ob.kind == "eventfd" {
			if len(p.watched) >= maxObjects {
				clear(p.watched)
			}
			p.watched[key] = ob
		}
	case ktrace.Watch:
		p.change(ev)
	}
}

func (p *Pipeline) change(ev *ktrace.Event) {
	if p.o.OnChange == nil || p.releases(ev) {
		return
	}
	cut := match.SplitEvent(ev)
	c := &Change{Kernel: p.k.Version.String(), Event: clone(ev), Context: cut.Context, Interrupted: cut.Interrupted, FD: -1, What: whatChanged(ev)}
	if !cut.Interrupted {
		c.Side = Side{PID: ev.PID, TID: ev.TID, Comm: ev.Comm}
		if th := p.t.threads[ev.TID]; th != nil && cut.Context == match.Task {
			c.Side.Call, c.Side.Comm = th.call, cmp.Or(ev.Comm, th.comm)
		}
		c.Syscall = p.k.syscall(&c.Side, ev.Stack)
		if call := c.Side.Call; call != nil && !call.Doubtful && !call.NoArgs && byDescriptor(c.Syscall) {
			c.FD = int(int32(call.Args[0]))
		}
	}
	if cut.Context != match.Unknown {
		c.Path = changePath(ev)
	}
	if c.Path != "" && cut.Context == match.Task {
		// A write may have an irqfd read the counter.
		callbacks := match.Callbacks(cut.Inner)
		d := p.k.Doc(WakePaths(c.Path, "", callbacks), NotWoken(c.Path, "", callbacks))
		if what, _ := d.Unrelated(cut.Inner, false); d != nil && what == "" {
			c.Chain = p.k.match(d, ev)
		}
	}
	h := &pending{change: c, ob: p.watched[ev.Object]}
	if h.ob != nil {
		h.until = max(h.ob.asked, h.ob.idAsked)
	}
	p.pending = append(p.pending, h)
}

// releases reports whether the event ends the operation of the thread's
// previous one on the same eventfd: if the lock is released by a tail call, the
// function that took it has left the chain.
func (p *Pipeline) releases(ev *ktrace.Event) bool {
	if ev.Field == "count" {
		return false
	}
	key := locker{ev.Object, ev.TID}
	last := p.locked[key]
	delete(p.locked, key)
	if releasesLock(ev) || len(last) > len(ev.Stack) && slices.EqualFunc(last[len(last)-len(ev.Stack):], ev.Stack, sameFunction) {
		return true
	}
	if len(p.locked) >= maxObjects {
		clear(p.locked)
	}
	p.locked[key] = ev.Stack
	return false
}

// locker is a thread that took the lock of an eventfd's wait queue.
type locker struct{ object, tid int }

func sameFunction(a, b ktrace.Frame) bool { return a.Name == b.Name }

// report reports a change.
func (p *Pipeline) report(h *pending) {
	p.Changes++
	h.change.Object = "an eventfd"
	if h.ob != nil {
		if name := h.ob.name(p.t.now); name != "" {
			h.change.Object = name
		}
	}
	p.o.OnChange(h.change)
}

// without records the sources that a session runs without.
func (p *Pipeline) without(s *Session) {
	for _, w := range []struct {
		what string
		err  error
	}{{"call chains", s.NoChain}, {"changes of eventfds", s.NoWatch}, {"entries of functions", s.NoTrace}} {
		if w.err != nil {
			p.Without = append(p.Without, w.what+": "+w.err.Error())
		}
	}
}

// Unobservable lists the parts that could not be observed, with the reasons.
func (p *Pipeline) Unobservable() []string {
	out := slices.Concat(p.Without, p.execs.unseen(), p.compatTasks.unseen())
	for _, source := range order.Names(p.LostBy) {
		if cpu, ok := perf.OfCPU(source); ok {
			out = append(out, fmt.Sprintf("events on CPU %d: it went offline or came online during the observation", cpu))
		}
	}
	if text := p.unwokenText(); text != "" {
		out = append(out, text)
	}
	if p.doubted > 0 {
		out = append(out, "what the threads woken waited in: "+count.Of(p.doubted, "further wake")+", near which records were lost")
	}
	if p.cutOff > 0 {
		out = append(out, "the wake source of "+count.Of(p.cutOff, "wake")+": of the latest, "+p.cutBy)
	}
	return append(out, p.Unwatched...)
}

// releasesLock reports whether the event is the release of a lock. The event of
// the acquisition has shown the same operation, and functions that end in the
// release have left no frame by now.
func releasesLock(ev *ktrace.Event) bool {
	return len(ev.Stack) > 0 && strings.Contains(ev.Stack[0].Name, "spin_unlock")
}

// changePath names the documented path of the call that an eventfd was changed
// in, "" if there is none.
func changePath(ev *ktrace.Event) string {
	m := catalog.DefaultModel()
	for _, f := range slices.Backward(ev.Stack) {
		if path, ok := m.Of(catalog.Changed, match.BaseName(f.Name)); ok {
			return path
		}
	}
	return allocPath(ev)
}

// allocPath names the documented path of the call that memory was allocated in,
// "" if there is none.
func allocPath(ev *ktrace.Event) string {
	if paths := catalog.DefaultModel().Call(ChainSyscall(ev.Stack)).Paths; len(paths) > 0 {
		return paths[0]
	}
	return ""
}

// alloc reports an allocation that a thread's call asked for.
func (p *Pipeline) alloc(ev *ktrace.Event) {
	if p.o.OnAlloc == nil || match.SplitEvent(ev).Context != match.Task {
		return
	}
	c := &Change{Kernel: p.k.Version.String(), Event: clone(ev), Context: match.Task, Side: Side{PID: ev.PID, TID: ev.TID, Comm: ev.Comm}, FD: -1, What: "allocated memory", Path: allocPath(ev)}
	if c.Path == "" {
		return
	}
	if c.Chain = p.k.matchAlloc(ev, c.Path); c.Chain != nil && len(c.Chain.Findings()) > 0 {
		c.Chain = p.k.matchAlloc(ev, append([]string{c.Path}, pollOperations...)...)
	}
	p.o.OnAlloc(c)
}

// pollOperations are the paths with the poll operation of a file, by which a call that
// polls it comes to the registration.
var pollOperations = []string{"tcp_poll", "udp", "unix", "pipe", "timerfd", "signalfd", "pty", "input", "inotify", "pidfd", "epoll_nested"}

func (k *Kernel) matchAlloc(ev *ktrace.Event, paths ...string) *match.Chain {
	if d := k.Doc(paths, nil); d != nil {
		return d.MatchAlloc(ev)
	}
	return nil
}

// whatChanged describes the operation on a watched eventfd.
func whatChanged(ev *ktrace.Event) string {
	if ev.Field == "count" {
		return "changed the counter of"
	}
	m := catalog.DefaultModel()
	for _, f := range ev.Stack {
		switch name := match.BaseName(f.Name); {
		case m.Is(catalog.Queues, name):
			return "was put on the wait queue of"
		case m.Is(catalog.Unqueues, name):
			return "was taken off the wait queue of"
		}
	}
	return "took the wait queue's lock of"
}

// asksFdinfo reports whether the chain is a read of an eventfd's fdinfo in
// /proc.
func asksFdinfo(stack []ktrace.Frame) bool {
	return slices.ContainsFunc(stack, func(f ktrace.Frame) bool {
		return catalog.DefaultModel().Is(catalog.ShowsFdinfo, match.BaseName(f.Name))
	})
}

// startedBy reports whether a process is followed, or was started by one that
// is: the record of that may not have been read yet.
func startedBy(pid int, follows func(int) bool) bool {
	for range 8 {
		if pid <= 1 {
			return false
		}
		if follows(pid) {
			return true
		}
		pid = perf.Parent(pid)
	}
	return false
}
