//go:build linux

package lab

import (
	"slices"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
)

// Watched is one change of a watched eventfd: its counter, or its wait queue.
type Watched struct {
	Event *ktrace.Event
	Path  string       // documented path of the call that made it
	Chain *match.Chain // nil if that path is not documented
}

// judgeWatched holds the chains of the watchpoints against the paths of the
// calls that they were made in.
func (l *Lab) judgeWatched(t *Trial) {
	for i := range t.Events {
		ev := &t.Events[i]
		if ev.Kind != ktrace.Watch || observe.ReleasesLock(ev) || !t.Ours(ev.TID) || match.SplitEvent(ev).Context != match.Task {
			continue
		}
		w := Watched{Event: ev, Path: observe.ChangePath(ev)}
		if w.Path == "" {
			continue
		}
		// The call's own path, and the scenario's other paths: a write may make
		// an irqfd read the counter.
		paths := []string{w.Path}
		if s := t.Scenario; s.Worker {
			paths = append(append(paths, s.Source), s.Paths...)
			if t.Wake != nil {
				paths = append(paths, t.Wake.WakePaths...)
			}
		}
		if d := l.Kernel.Doc(paths, nil); d != nil {
			w.Chain = d.Match(ev)
		}
		t.Watched = append(t.Watched, w)
	}
}

// judgeAllocs holds the chains of allocations against the paths of the calls
// that they were made in.
func (l *Lab) judgeAllocs(t *Trial) {
	for i := range t.Events {
		ev := &t.Events[i]
		if ev.Kind != ktrace.Alloc || !t.Ours(ev.TID) || match.SplitEvent(ev).Context != match.Task {
			continue
		}
		a := Watched{Event: ev, Path: observe.AllocPath(ev)}
		if a.Path == "" {
			continue
		}
		a.Chain = l.matchAlloc(ev, a.Path)
		if a.Chain != nil && len(a.Chain.Findings()) > 0 {
			a.Chain = l.matchAlloc(ev, append([]string{a.Path}, polled...)...)
		}
		t.Allocated = append(t.Allocated, a)
	}
}

// polled are the paths with the poll operation of a file, by which a call that
// polls it comes to the registration.
var polled = []string{"tcp_poll", "udp", "unix", "pipe", "timerfd", "signalfd", "pty", "input", "inotify", "pidfd", "epoll_nested"}

func (l *Lab) matchAlloc(ev *ktrace.Event, paths ...string) *match.Chain {
	if d := l.Kernel.Doc(paths, nil); d != nil {
		return d.MatchAlloc(ev)
	}
	return nil
}

// watched are the changes by their path.
func (l *Lab) watched(t *Trial) []observe.Taken {
	var names []string
	chains := map[string][]*match.Chain{}
	for _, w := range slices.Concat(t.Watched, t.Allocated) {
		if w.Chain == nil {
			continue
		}
		if chains[w.Path] == nil {
			names = append(names, w.Path)
		}
		chains[w.Path] = append(chains[w.Path], w.Chain)
	}
	var out []observe.Taken
	for _, n := range names {
		out = append(out, observe.Taken{Paths: []string{n}, Chains: chains[n]})
	}
	return out
}

// unseen is why no source shows an edge that nothing was seen of.
func (l *Lab) unseen(t *Trial) string {
	switch {
	case len(t.Watched) > 0:
		return "no tracepoint and no watched memory lies in it or below it"
	case l.NoWatch != nil:
		return "no tracepoint lies in it or below it, and no watchpoint: " + l.NoWatch.Error()
	}
	return "no tracepoint lies in it or below it, and no eventfd was watched"
}
