//go:build linux

// Package picture gathers observed events into the timeline that the writers of
// package render take.
package picture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/plain"
)

// maxTimeline bounds the calls and the wakes that are kept for a picture; the
// oldest go first.
const maxTimeline = 50000

// maxSteps bounds the steps of all paths together.
const maxSteps = 1 << 16

// Timeline gathers the observed events into one picture.
type Timeline struct {
	t       render.Timeline
	threads map[int]*render.Thread
	paths   map[string]int
	ended   []slept // by each of the wakes
	dropped int
	changes int
	steps   int // of the paths, and of those that there was no room for
}

// slept holds the facts of a wake about the call that was asleep.
type slept struct {
	path    int
	summary string
}

// New returns an empty picture.
func New() *Timeline {
	return &Timeline{threads: map[int]*render.Thread{}, paths: map[string]int{}}
}

func (l *Timeline) thread(pid, tid int, comm string) {
	if tid == 0 {
		return
	}
	th := l.threads[tid]
	if th == nil {
		if len(l.threads) >= maxTimeline {
			return // it has its number alone
		}
		th = &render.Thread{TID: tid}
		l.threads[tid] = th
	}
	th.PID, th.Comm = cmp.Or(pid, th.PID), cmp.Or(comm, th.Comm)
}

// Wake adds a wake.
func (l *Timeline) Wake(j *observe.Judged) {
	l.thread(j.Wakee.PID, j.Wakee.TID, j.Wakee.Comm)
	w := render.Wake{Time: j.Time, Running: j.Running, Object: j.Object, By: j.By, Callback: j.Callback, WakerCall: -1, WakeeCall: -1, Path: l.judged(j.WakePaths, j.WakeChain, j.Waked)}
	w.Wakee = render.Side{PID: j.Wakee.PID, TID: j.Wakee.TID, Comm: j.Wakee.Comm, Syscall: j.WakeeSyscall, FD: j.WakeeFD(), Context: string(match.Task)}
	w.Waker = render.Side{FD: -1, Context: string(j.Context)}
	if !j.Interrupted {
		l.thread(j.Waker.PID, j.Waker.TID, j.Waker.Comm)
		w.Waker = render.Side{PID: j.Waker.PID, TID: j.Waker.TID, Comm: j.Waker.Comm, Syscall: j.WakerSyscall, FD: j.FD, Context: string(j.Context)}
	} else if j.RanIn() {
		w.Waker.RanIn = &render.Thread{PID: j.Waker.PID, TID: j.Waker.TID, Comm: j.Waker.Comm}
	}
	if th := l.threads[j.Wakee.TID]; th != nil && j.Runtime {
		th.Note = "Go runtime poller"
	}
	if len(l.t.Wakes) >= maxTimeline {
		l.t.Wakes, l.ended = slices.Delete(l.t.Wakes, 0, maxTimeline/10), slices.Delete(l.ended, 0, maxTimeline/10)
		l.dropped += maxTimeline / 10
	}
	l.t.Wakes, l.ended = append(l.t.Wakes, w), append(l.ended, slept{path: l.judged(j.SleepPaths, j.SleepChain, j.Sleeping)})
}

// Cover says more of the call that the last wake ended: every edge of its
// documented paths with its verdict, and a sentence.
func (l *Timeline) Cover(name string, chain *match.Chain, steps []match.Step, summary string) {
	s := slept{-1, summary}
	if len(steps) > 0 {
		s.path = l.path(name, chain, steps)
	}
	l.ended[len(l.ended)-1] = s
}

// Note adds a remark on the whole.
func (l *Timeline) Note(kind, text string) {
	l.t.Notes = append(l.t.Notes, render.Note{Kind: kind, Call: -1, Text: text})
}

// maxChanges bounds the notes on changes of watched eventfds.
const maxChanges = 2000

// Change adds a change of a watched eventfd.
func (l *Timeline) Change(c *observe.Change, text string) {
	if l.changes++; l.changes <= maxChanges {
		l.Note("note", fmt.Sprintf("%.6f s: %s (%s: %s)", float64(c.Event.Time)/1e9, text, c.Event.Source, ChainText(c)))
	}
}

// Call adds a system call.
func (l *Timeline) Call(k *observe.Kernel, c *observe.Call) {
	text := FormatCall(k, c)
	if text == "" {
		return
	}
	l.thread(c.PID, c.TID, c.Comm)
	name := observe.SyscallName(k.Arch, c.Nr)
	rc := render.Call{TID: c.TID, Start: c.Enter, End: c.Exit, Open: c.Exit == 0, Name: name, Text: text, FD: -1, Path: -1}
	switch name {
	case "read", "write", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl":
		if !c.NoArgs {
			rc.FD = int(int32(c.Args[0]))
		}
	}
	if c.Way != nil {
		rc.Path = l.judged(nil, nil, c.Way)
	}
	for _, s := range c.Sleeps {
		if s.To == 0 {
			continue
		}
		rc.Sleeps = append(rc.Sleeps, render.Sleep{From: s.From, To: s.To, Chain: functions(s.Chain)})
		rc.Outcome = "slept"
	}
	if len(l.t.Calls) >= maxTimeline {
		l.t.Calls = slices.Delete(l.t.Calls, 0, maxTimeline/10)
		l.dropped += maxTimeline / 10
	}
	l.t.Calls = append(l.t.Calls, rc)
}

// functions are the frames of a chain, outermost first.
func functions(ev *ktrace.Event) []string {
	if ev == nil {
		return nil
	}
	var out []string
	for _, f := range slices.Backward(ev.Stack) {
		out = append(out, f.Name)
	}
	return out
}

// judged adds a way if the function tracer saw one, else a chain.
func (l *Timeline) judged(names []string, c *match.Chain, w *observe.Way) int {
	if w != nil {
		return l.path(w.Paths[0], c, w.Steps)
	}
	return l.chain(names, c)
}

// chain adds a judged chain once and returns its index, -1 if no path is
// documented for it.
func (l *Timeline) chain(names []string, c *match.Chain) int {
	if c == nil || len(names) == 0 {
		return -1
	}
	return l.path(names[0], c, c.Steps)
}

// path adds judged steps once and returns their index. c may be nil.
func (l *Timeline) path(name string, c *match.Chain, steps []match.Step) int {
	var key strings.Builder
	p := render.Path{Path: ktrace.Path{Name: name, Functions: map[string]ktrace.Function{}}}
	for _, s := range steps {
		fmt.Fprintf(&key, "%s>%s %s\n", s.Caller, s.Callee, s.Verdict)
		p.Edges = append(p.Edges, s.Edge)
		p.Verdicts = append(p.Verdicts, render.Verdict{Verdict: s.Verdict, Evidence: s.Evidence})
		p.Functions[s.Callee] = ktrace.Function{Name: s.Callee, Text: s.Note}
	}
	if c != nil {
		for _, f := range slices.Backward(c.Inner) {
			p.Chain = append(p.Chain, f.Name)
		}
	}
	if i, ok := l.paths[key.String()]; ok {
		return i
	}
	if l.steps += len(steps); l.steps > maxSteps {
		return -1
	}
	l.t.Paths = append(l.t.Paths, p)
	l.paths[key.String()] = len(l.t.Paths) - 1
	return len(l.t.Paths) - 1
}

// Finish joins calls and wakes, and returns the picture.
func (l *Timeline) Finish(k *observe.Kernel, lost uint64) *render.Timeline {
	t := &l.t
	t.Kernel, t.Arch, t.Clock, t.Lost = k.Release, k.Arch, "CLOCK_MONOTONIC", lost
	for _, th := range l.threads {
		t.Threads = append(t.Threads, *th)
	}
	slices.SortFunc(t.Threads, func(a, b render.Thread) int { return a.TID - b.TID })
	slices.SortFunc(t.Calls, func(a, b render.Call) int { return cmp.Compare(a.Start, b.Start) })
	end := int64(0)
	byThread := map[int][]int{}
	for i, c := range t.Calls {
		end = max(end, c.End)
		byThread[c.TID] = append(byThread[c.TID], i)
	}
	for i := range t.Wakes {
		end = max(end, t.Wakes[i].Time, t.Wakes[i].Running)
	}
	for i := range t.Calls {
		if t.Calls[i].Open {
			t.Calls[i].End = end
		}
	}
	for i := range t.Wakes {
		w := &t.Wakes[i]
		w.WakerCall, w.WakeeCall = callAt(t.Calls, byThread[w.Waker.TID], w.Time, w.Waker.Syscall), callAt(t.Calls, byThread[w.Wakee.TID], w.Time, w.Wakee.Syscall)
		if w.WakeeCall >= 0 {
			l.ended[i].annotate(&t.Calls[w.WakeeCall])
		}
	}
	for j := range t.Paths {
		t.Paths[j].Kernel = k.Version.String()
	}
	if l.steps > maxSteps {
		l.Note("note", fmt.Sprintf("calls and wakes after the first %d different steps have no path", maxSteps))
	}
	if l.dropped > 0 {
		l.Note("note", fmt.Sprintf("the oldest %d calls and wakes are not kept", l.dropped))
	}
	return t
}

// annotate gives a call the facts of its wake. A call may have had several: the
// first shows the way to its sleep, unless one has a sentence on it.
func (s *slept) annotate(c *render.Call) {
	if c.Path < 0 || s.summary != "" {
		c.Path = s.path
	}
	c.Summary = cmp.Or(s.summary, c.Summary)
}

// callAt finds the call of a thread that a moment lies in, -1 for none.
func callAt(calls []render.Call, of []int, at int64, name string) int {
	i, ok := slices.BinarySearchFunc(of, at, func(c int, at int64) int { return cmp.Compare(calls[c].Start, at) })
	if !ok {
		i--
	}
	if i < 0 || i >= len(of) || calls[of[i]].End < at || calls[of[i]].Name != name {
		return -1
	}
	return of[i]
}

// ChainText is the chain of a change down to the system call, leaf first.
func ChainText(c *observe.Change) string {
	var names []string
	for _, f := range c.Event.Stack {
		names = append(names, plain.Text(f.Name))
		if strings.Contains(f.Name, "_sys_") {
			break
		}
	}
	return strings.Join(names, " < ")
}
