//go:build linux

package observe

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/program"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
)

// Pipeline receives events, live or from a recording, and reports wakes.
type Pipeline struct {
	Total   int               // wakes reported
	Lost    uint64            // records that never arrived
	LostBy  map[string]uint64 // the same by source
	Losses  []ktrace.Loss     // the latest of them
	Ignored int               // wakes that concern no eventfd, poll, select or epoll

	Unwoken   int      // sleeps in such calls that ended without a record of a wake
	Changes   int      // of watched eventfds, reported
	Watching  bool     // new eventfds were to be watched
	Watched   int      // eventfds that had watchpoints
	Unwatched []string // how many went without that were to have them, and why
	Without   []string // the requested parts that are unavailable here, with the reasons

	k         *Kernel
	o         Options
	t         *Tracker
	lostSoFar atomic.Uint64 // Lost, for other goroutines

	unwoken     map[int]int  // the same by the CPU on which the threads ran again
	idle        map[int]bool // CPUs of whose idle task there is a record of a wake
	cutOff      int          // wakes whose call chain the kernel cut
	cutBy       string       // cut point and limit of the latest
	doubted     int          // wakes near losses, of threads whose call no record shows
	objects     *Objects
	pollers     program.GoPollers
	execs       execs
	compatTasks compatTasks
	follows     func(pid int) bool // whether a process is one of those observed
	calling     map[int]bool       // processes that made calls: only calls of those observed are recorded
	pending     []*pending

	making  map[int]int     // TID → key of the eventfd that it allocated and whose call has not ended
	watched map[int]*object // by the key of the allocation
	locked  map[locker][]ktrace.Frame
	judged  map[judgeKey]*Judged
	frames  int // of the chains in judged
	ways    map[wayKey]*Way
	stacks  map[chainKey]uint32
}

// pending is a wake whose fd is not resolved for certain yet, or a call that
// follows one: all are delivered in time order.
type pending struct {
	j      *Judged
	call   *Call
	change *Change
	ob     *object   // the waker's
	on     []*object // the objects that the sleeper waits for, or possibly waits for
	until  int64
}

// at is the time that orders pending items: that of a waking, of a change, and
// of a call's end.
func (h *pending) at() int64 {
	switch {
	case h.call != nil:
		return cmp.Or(h.call.Exit, h.call.Enter)
	case h.change != nil:
		return h.change.Event.Time
	}
	return h.j.Time
}

// NewPipeline makes a pipeline for events of a kernel.
func NewPipeline(k *Kernel, o Options) *Pipeline {
	p := &Pipeline{k: k, o: o, t: NewTracker(), LostBy: map[string]uint64{}, calling: map[int]bool{}, making: map[int]int{}, unwoken: map[int]int{}, idle: map[int]bool{}, watched: map[int]*object{}, locked: map[locker][]ktrace.Frame{}, judged: map[judgeKey]*Judged{}, ways: map[wayKey]*Way{}, stacks: map[chainKey]uint32{}}
	p.follows = func(pid int) bool { return len(p.calling) == 0 || p.calling[pid] }
	p.objects = newObjects(k.Arch, nil)
	p.t.OnWake, p.t.OnUnwoken = p.wake, p.sleptOn
	p.t.noArgs = o.NoArgs
	p.t.final = catalog.DefaultModel().Arch(k.Arch).Numbers(func(c *catalog.Call) bool { return c.Ends })
	if o.Witness != nil {
		p.t.callName = func(nr int) string { return SyscallName(k.Arch, nr) }
	}
	if o.OnCall != nil {
		p.t.OnCall = func(c *Call) { p.pending = append(p.pending, &pending{call: c}) }
	}
	return p
}

// live prepares for events of this machine's processes: it reads their programs
// and the calls that they are in.
func (p *Pipeline) live(pids []int) {
	p.objects = newObjects(p.k.Arch, source.Now)
	p.objects.tables.attached(pids)
	for _, pid := range pids {
		for _, tid := range perf.Threads(pid) {
			p.known(pid, tid, fmt.Sprintf("/proc/%d/task/%d", pid, tid))
		}
	}
}

// known reports to the tracker a call in which a thread sleeps already.
func (p *Pipeline) known(pid, tid int, dir string) {
	b, err := os.ReadFile(dir + "/syscall")
	if err != nil {
		return
	}
	f := strings.Fields(string(b))
	if len(f) < 7 {
		return
	}
	nr, err := strconv.Atoi(f[0])
	if err != nil || nr < 0 {
		return
	}
	var args [6]uint64
	for i := range args {
		args[i], _ = strconv.ParseUint(strings.TrimPrefix(f[i+1], "0x"), 16, 64)
	}
	comm, _ := os.ReadFile(dir + "/comm")
	p.t.Known(pid, tid, strings.TrimSpace(string(comm)), nr, args)
}

// Feed takes the next batch.
func (p *Pipeline) Feed(events []ktrace.Event, losses []ktrace.Loss) {
	for _, l := range losses {
		p.lose(l)
		if calls, _ := touches(l.Source); calls || l.Source == perf.Tasks {
			p.objects.lost(l.To) // a close, or a process that took another's number
		}
	}
	p.t.Loss(losses...)
	if len(p.Losses) > 1024 {
		p.Losses = slices.Delete(p.Losses, 0, 512)
	}
	for i := range events {
		if p.execs.event(p.k.Arch, &events[i]) {
			p.pollers.Forget(events[i].PID)
			p.compatTasks.forget(events[i].PID)
		} else if p.compatTasks.event(&events[i], p.objects.now != nil) {
			p.execs.left(events[i].PID) // under a number of 32 bits, which is not recorded
			continue
		}
		if k := events[i].Kind; k == ktrace.SysEnter || k == ktrace.SysExit {
			p.calls(events[i].PID)
		}
		if ev := &events[i]; ev.Kind == ktrace.Waking && ev.TID == 0 {
			p.idle[ev.CPU] = true
		}
		p.objects.event(&events[i])
		if events[i].Kind == ktrace.Started {
			p.pollers.Forget(events[i].PID)
			continue
		}
		p.t.Event(&events[i])
		p.watch(&events[i])
	}
	p.release(p.t.now)
}

// lose counts records that are missing.
func (p *Pipeline) lose(l ktrace.Loss) {
	p.Lost += l.Count
	p.lostSoFar.Store(p.Lost)
	if _, known := p.LostBy[l.Source]; known || len(p.LostBy) < maxSources {
		p.LostBy[l.Source] += l.Count
	}
	p.Losses = append(p.Losses, l)
}

// maxSources bounds the sources that losses are counted by.
const maxSources = 256

// maxCalling bounds the processes that are known to have made calls.
const maxCalling = 1 << 17

// calls notes that a process made a call. A live source knows itself which it
// follows: that there is one is enough.
func (p *Pipeline) calls(pid int) {
	live := p.objects.now != nil && len(p.calling) > 0
	if !p.calling[pid] && !live && len(p.calling) < maxCalling {
		p.calling[pid] = true
	}
}

// Passed says that every event up to a time was fed, though none may have
// happened for a while.
func (p *Pipeline) Passed(until int64) {
	p.t.now = max(p.t.now, until)
	p.release(p.t.now)
}

// Flush reports the pending items. Every event up to the time until was fed.
func (p *Pipeline) Flush(until int64) {
	p.t.now = max(p.t.now, until)
	p.t.Flush()
	p.release(source.End)
}

// polls: the calls that wait for descriptors.
func polls(name string) bool { return catalog.DefaultModel().Call(name).Waiter != nil }

// Concerns reports whether it is the wake of a waiter for descriptors, or by an
// eventfd.
func (j *Judged) Concerns() bool {
	if polls(j.WakeeSyscall) || j.Stale && waitsIn(j.Callbacks) != "" {
		return true
	}
	return len(j.WakePaths) > 0 && catalog.DefaultModel().Object(j.WakePaths[0]) == "eventfd" && len(j.Callbacks) > 0
}

func (p *Pipeline) wake(w *Wake) {
	var stated *Statement
	if p.o.Stated != nil {
		stated = p.o.Stated(w)
	}
	if p.o.Stated != nil && stated == nil && len(w.Callbacks) == 0 { // else the cache of judge is faster
		if call := p.k.syscall(&w.Wakee, w.Sleep.stack()); !polls(call) {
			p.ignore(w, call) // most wakes are such: of a futex, or of a disk
			return
		}
	}
	j := p.judge(w, stated)
	// An interrupt on top of an observed thread wakes whom it wakes.
	ours := p.follows(w.Wakee.PID) || w.Context == match.Task && p.follows(w.Waker.PID)
	// If calls are not recorded, the wait queue entry shows the kind of waiter.
	poller := !p.o.Calls && len(p.calling) == 0 && (through(j.Callbacks, "poller") || through(j.Callbacks, "epoll"))
	if stated == nil && (!ours || !j.Concerns() && !poller) {
		p.ignore(w, j.WakeeSyscall)
		return
	}
	if match.CutOff(&w.Waking) {
		p.cutOff, p.cutBy = p.cutOff+1, j.NoWaker()
	}
	h := &pending{j: j}
	if j.Stale {
		w.Lost, w.Wakee.Call = true, nil
		if j.WakeeSyscall == "" {
			w.Sleep = nil
		}
	}
	if c := w.Waker.Call; p.k.isCall(c, j.WakerSyscall) && !c.NoArgs && byDescriptor(j.WakerSyscall) && j.WakeAside == "" {
		w.FD = int(int32(c.Args[0]))
	}
	if c := w.Wakee.Call; p.k.isCall(c, j.WakeeSyscall) && p.objects.now != nil && strings.HasPrefix(j.WakeeSyscall, "epoll_") {
		w.Runtime = p.pollers.Is(w.Wakee.PID, int(int32(c.Args[0])))
	}
	p.ask(h)
	p.pending = append(p.pending, h)
	if len(p.pending) > 1<<12 {
		p.release(source.End) // release despite unresolved items
	}
}

// ignore counts a wake out of a call that concerns nobody, "" for an unknown
// one.
func (p *Pipeline) ignore(w *Wake, call string) {
	p.Ignored++
	if w.Lost && call == "" && p.follows(w.Wakee.PID) {
		p.doubted++
	}
}

// isCall reports whether a call that is on record is the one of that name, and
// not an earlier one. If no number has a name, any is.
func (k *Kernel) isCall(c *Call, name string) bool {
	if c == nil || c.Doubtful {
		return false
	}
	return SyscallName(k.Arch, c.Nr) == name || !catalog.DefaultModel().Arch(k.Arch).Known()
}

// byDescriptor: the call's first argument is the descriptor that it wakes on.
func byDescriptor(name string) bool {
	return catalog.DefaultModel().Call(name).On
}

// release delivers the pending items in time order, as far as the fds are known
// up to now. A wake is complete when the woken thread runs: later items wait
// for it.
func (p *Pipeline) release(now int64) {
	first := int64(source.End)
	if now != source.End {
		first = p.t.woken(now-patience, p.follows)
	}
	sort.SliceStable(p.pending, func(i, j int) bool { return p.pending[i].at() < p.pending[j].at() })
	n := 0
	for _, h := range p.pending {
		if h.until > now || h.at() > first || now != source.End && !p.traced(h) {
			break
		}
		n++
		if h.call != nil {
			p.judgeCall(h.call)
			p.o.OnCall(h.call)
			continue
		}
		if h.change != nil {
			p.report(h)
			continue
		}
		p.name(h)
		p.judgeTraced(h.j)
		p.Total++
		if p.o.OnWake != nil {
			p.o.OnWake(h.j)
		}
	}
	p.pending = slices.Delete(p.pending, 0, n)
}

// tracePatience is how long a wake waits for the end of both calls, of which
// the function tracer still sees more.
const tracePatience = int64(100 * time.Millisecond)

// traced reports whether the function tracer's records of the calls of a wake,
// or of a call, are complete.
func (p *Pipeline) traced(h *pending) bool {
	switch {
	case h.call != nil:
		return h.call.settled(p.t.now) || p.t.now > h.call.Enter+tracePatience
	case h.j != nil:
		return h.j.Wakee.Call.settled(p.t.now) && h.j.Waker.Call.settled(p.t.now) || p.t.now > h.j.Time+tracePatience
	}
	return true
}

// patience is how long a woken thread that does not run delays later items, in
// nanoseconds.
const patience = 100e6
