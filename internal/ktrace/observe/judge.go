//go:build linux

package observe

import (
	"fmt"
	"slices"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// Judged is a wake with its chains compared with the documented paths.
type Judged struct {
	*Wake
	Kernel       string   // version that the paths hold for
	WakerSyscall string   // "" outside of any, as in an interrupt
	WakeeSyscall string   // that the woken thread slept in
	WakePaths    []string // the documented paths that apply, the waker's own first; none: no path is documented for it
	SleepPaths   []string
	Without      []string     // branches of WakePaths that cannot have been taken
	WakeAside    string       // the waker's unrelated work, if it woke for that and not for its call's purpose; see match.Doc.Unrelated
	SleepAside   string       // the unrelated work in which the woken thread slept, as for WakeAside
	Stale        bool         // the woken thread's call or sleep that is on record is an earlier one: its callback is another call's
	WakeChain    *match.Chain // nil without a documented path
	SleepChain   *match.Chain

	Sleeping, Waked *Way // both calls as the function tracer saw them too, nil if it saw nothing of the call
}

// WakeSource names the documented path of the wake source, found by the
// functions on the chain, or "".
func WakeSource(inner []ktrace.Frame) string {
	m := catalog.DefaultModel()
	// An io_uring that polls passes the wake of another object on.
	polled := func(f ktrace.Frame) bool {
		kind, _ := m.Of(catalog.Callback, match.BaseName(f.Name))
		return kind == "io_uring"
	}
	if i := slices.IndexFunc(inner, polled); i >= 0 {
		if source := WakeSource(inner[i+1:]); source != "" {
			return source
		}
	}
	names := map[string]bool{}
	for _, f := range inner {
		names[match.BaseName(f.Name)] = true
		for _, a := range f.Aliases {
			names[match.BaseName(a)] = true
		}
	}
	for _, s := range m.Groups(catalog.Source) {
		if slices.ContainsFunc(s.Functions, func(f string) bool { return names[f] }) {
			return s.Name
		}
	}
	return ""
}

// through reports whether a wake went through the entry of a kind of waiter.
func through(callbacks []string, kind string) bool {
	m := catalog.DefaultModel()
	return slices.ContainsFunc(callbacks, func(c string) bool {
		w := m.Woken(c)
		return w != nil && w.Kind == kind
	})
}

// WakePaths are the documented paths that apply to a wake of a thread in the
// system call waiter: the source's own and those of the waiters on the way.
func WakePaths(source, waiter string, callbacks []string) []string {
	if source == "" {
		return nil
	}
	out := []string{source}
	m := catalog.DefaultModel()
	for _, w := range m.Waiters() {
		passed := (waiter == "" || w.Calls == nil) && through(callbacks, w.Kind)
		on := passed || m.Call(waiter).Waiter == w || slices.Contains(w.Own, source)
		if on && w.Path != "" && !slices.Contains(out, w.Path) {
			out = append(out, w.Path)
		}
	}
	return out
}

// NotWoken are the branches of a wake's path that end in other kinds of
// waiters than a thread in this system call. Left in, they would excuse a
// frame that is missing: a blocked reader's wake has no callback of a poll.
func NotWoken(source, waiter string, callbacks []string) []string {
	m := catalog.DefaultModel()
	to := m.Call(waiter).Waiter
	switch {
	case waiter == "":
		to = m.Waiter("unknown")
	case to == nil:
		to = m.Waiter("sleeper")
	}
	epolls := 0
	for _, c := range callbacks {
		w := m.Woken(c)
		if w != nil && w.Ends() {
			return w.Without
		}
		if w != nil && w.Passes != "" {
			epolls++
		}
	}
	if m.PassedOn(source) {
		epolls++
	}
	return append(to.Without, to.Below(epolls)...)
}

// SleepPaths are the documented paths of a sleep in a system call.
func SleepPaths(name string, stack []ktrace.Frame) []string {
	paths := callPaths(name, stack)
	if polls(name) && slices.ContainsFunc(stack, func(f ktrace.Frame) bool {
		return catalog.DefaultModel().Is(catalog.SleepsInPoll, match.BaseName(f.Name))
	}) {
		paths = append(paths, "pty") // a terminal's poll sleeps itself
	}
	return paths
}

func callPaths(name string, stack []ktrace.Frame) []string {
	m := catalog.DefaultModel()
	if c := m.Call(name); c.Waiter != nil {
		return c.Paths
	}
	switch name {
	case "read", "readv", "write", "writev":
		for _, f := range stack {
			if path, ok := m.Of(catalog.Changed, match.BaseName(f.Name)); ok {
				return []string{path}
			}
		}
	}
	return nil
}

// The tracepoints of the scheduler.
const (
	Waking    = "sched:sched_waking"
	Switching = "sched:sched_switch"
)

// Leaves are the functions that a tracepoint fires in.
func Leaves(tracepoint string) []string {
	return catalog.DefaultModel().Functions(catalog.Leaf, tracepoint)
}

// Statement is the knowledge of a wake before its chains are read.
type Statement struct {
	Source    string   // documented path of the wake source, "": its chain shows it
	SleepPath string   // documented path of the sleep, "": its chain shows it
	Without   []string // branches of the source that the wake cannot take
}

// Judge compares a wake with the documented paths of this kernel that its
// chains point to, or that known states.
func (k *Kernel) Judge(w *Wake, known Statement) *Judged {
	j := &Judged{Wake: w, Kernel: k.Version.String()}
	cut := match.SplitWaking(&w.Waking)
	if cut.Interrupted || cut.Context == match.KWorker {
		j.WakerSyscall = ""
	} else {
		j.WakerSyscall = k.syscall(&w.Waker, append(slices.Clone(cut.Inner), cut.Outer...))
	}
	sleep := w.Sleep.stack()
	j.WakeeSyscall = k.syscall(&w.Wakee, sleep)
	waiter := j.WakeeSyscall
	if kind := waitsIn(w.Callbacks); kind != "" && !sameKind(waiter, kind) {
		waiter = kind
		j.Stale, j.WakeeSyscall = j.WakeeSyscall != "", ChainSyscall(sleep)
		if !sameKind(j.WakeeSyscall, kind) {
			j.WakeeSyscall, sleep = "", nil
		}
	}
	source := known.Source
	if source == "" || cut.Context == match.Unknown {
		source = k.wakeAside(j, WakeSource(cut.Inner), waiter, cut.Inner)
	}
	j.WakePaths = WakePaths(source, waiter, w.Callbacks)
	if match.Compat(w.Waking.Stack) {
		j.WakePaths = nil // the documented ways in are those of 64-bit programs
	}
	j.Without = append(NotWoken(source, waiter, w.Callbacks), known.Without...)
	if d := k.Doc(j.WakePaths, j.Without); d != nil && len(cut.Inner) > 0 {
		j.WakeChain = k.match(d, &w.Waking, Leaves(Waking)...)
	}
	j.SleepPaths = []string{known.SleepPath}
	if known.SleepPath == "" {
		j.SleepPaths = SleepPaths(j.WakeeSyscall, sleep)
	}
	if match.Compat(sleep) {
		j.SleepPaths = nil
	}
	d := k.Doc(j.SleepPaths, nil)
	j.SleepAside, _ = d.Unrelated(match.Split(sleep).Inner, true)
	if d != nil && len(sleep) > 0 && j.SleepAside == "" {
		j.SleepChain = k.match(d, w.Sleep.Chain, Leaves(Switching)...)
	}
	return j
}

// wakeAside records the waker's unrelated work and returns the source that
// remains: an allocation made by one call may have passed the threshold of
// another eventfd.
func (k *Kernel) wakeAside(j *Judged, source, waiter string, inner []ktrace.Frame) string {
	d := k.Doc(WakePaths(source, waiter, j.Callbacks), nil)
	what, n := d.Unrelated(inner, false)
	if what == "" {
		return source
	}
	if own := WakeSource(inner[:n]); own != "" {
		return own
	}
	j.WakeAside = what
	return ""
}

// waitsIn returns the call whose wait queue entries have these callbacks, or ""
// if they do not determine it.
func waitsIn(callbacks []string) string {
	if len(callbacks) == 0 {
		return ""
	}
	m := catalog.DefaultModel()
	w := m.Woken(callbacks[len(callbacks)-1])
	if w != nil && w.Sleeps && len(callbacks) > 1 {
		if by := m.Woken(callbacks[len(callbacks)-2]); by != nil && by.Passes != "" {
			w = m.Waiter(by.Passes)
		}
	}
	if w == nil || len(w.Calls) == 0 {
		return ""
	}
	return w.Calls[0]
}

// sameKind reports whether two calls leave the same callback on a wait queue.
func sameKind(a, b string) bool {
	m := catalog.DefaultModel()
	return polls(a) && m.Call(a).Waiter == m.Call(b).Waiter
}

// WakeeFD is the descriptor that the woken thread waits on, -1 if its call
// has several or it is not known.
func (j *Judged) WakeeFD() int {
	c := j.Wakee.Call
	if c == nil || c.Doubtful || c.NoArgs || c.Enter == 0 && c.Nr < 0 {
		return -1
	}
	switch j.WakeeSyscall {
	case "read", "readv", "write", "writev", "epoll_wait", "epoll_pwait", "epoll_pwait2":
		return int(int32(c.Args[0]))
	}
	return -1
}

// RanIn reports whether the waker is a softirq that ran on top of a thread,
// which is Waker and made no wake itself.
func (j *Judged) RanIn() bool {
	return j.Context == match.SoftIRQ && j.Interrupted && j.Waker.TID != 0
}

// NoWaker says why a wake's Context is match.Unknown.
func (j *Judged) NoWaker() string {
	if match.CutOff(&j.Waking) {
		return match.CutBy(&j.Waking)
	}
	return NoWaker
}

// NoSleep explains why the chain of the sleep that a wake ended is unusable, or
// returns "" if the kernel did not cut it.
func (j *Judged) NoSleep() string {
	if j.Sleep != nil && j.Sleep.Chain != nil && match.CutOff(j.Sleep.Chain) {
		return match.CutBy(j.Sleep.Chain)
	}
	return ""
}

// NoWaker is the reason if the chain is that of something else.
const NoWaker = "no function that wakes is on the call chain that was recorded with it"

// Describe names the waker and the way of the wake in a few words.
func (j *Judged) Describe() string {
	name := fmt.Sprintf("thread %d (%s)", j.Waker.TID, j.Waker.Comm)
	switch {
	case j.Context == match.Unknown:
		return "an unknown waker: " + j.NoWaker()
	case j.Interrupted:
		name = "a " + string(j.Context) + " on top of " + name
	case j.Context != match.Task:
		name = "a " + string(j.Context)
	case j.WakerSyscall != "":
		name += " in " + j.WakerSyscall
	}
	if j.Callback != "" {
		name += ", through " + j.Callback
	}
	return name
}
