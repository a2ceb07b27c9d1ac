//go:build linux

package efdtest

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// step is an event of the test's own goroutine, in its order: an act, or an
// assertion that waits.
type step struct {
	at       time.Duration
	act      *Act
	asleep   *Thread
	done     *Thread
	waits    *Goroutine
	returned *Goroutine
}

// node is a line of a golden file, or a step without text.
type node struct {
	actor string
	text  string
	at    time.Duration
	after []*node
	out   bool
}

// graph has the order of the lines that are not concurrent.
type graph struct {
	k     *K
	nodes []*node
	last  map[string]*node // of each actor
	slept map[*Thread][]asleepNode
}

// asleepNode is a call in which Asleep found its thread.
type asleepNode struct {
	begin, end      time.Duration // 0: it goes on
	sleeps, returns *node
}

func (g *graph) add(actor, text string, at time.Duration, after ...*node) *node {
	n := &node{actor: actor, text: text, at: at}
	for _, a := range append(after, g.last[actor]) {
		if a != nil {
			n.after = append(n.after, a)
		}
	}
	g.nodes, g.last[actor] = append(g.nodes, n), n
	return n
}

// timeline is the text of a golden file.
func (k *K) timeline() []string {
	k.mu.Lock()
	g := &graph{k: k, last: map[string]*node{}, slept: map[*Thread][]asleepNode{}}
	threads, goroutines, steps := slices.Clone(k.threads), slices.Clone(k.goroutines), slices.Clone(k.steps)
	calls := slices.Clone(k.calls)
	k.mu.Unlock()
	for _, th := range threads {
		g.thread(th, callsOf(calls, func(c *call) bool { return k.by(th, c) }), steps)
	}
	for _, gr := range goroutines {
		for _, c := range callsOf(calls, func(c *call) bool { return c.goid == gr.id && c.took() }) {
			g.add(gr.name, c.golden(), c.Mono)
		}
	}
	ends := map[string]*node{}
	for actor, n := range g.last {
		ends[actor] = n
	}
	g.test(steps, calls, ends)
	if k.evidence == Kernel {
		g.wakes()
	}
	return g.lines()
}

// by reports whether a thread made a call outside of any act.
func (k *K) by(th *Thread, c *call) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range k.acts {
		if a.has(c) {
			return false
		}
	}
	return !th.process && c.TID == th.tid && c.end() >= th.begin && (th.end == 0 || c.Mono <= th.end)
}

// callsOf selects calls. One that a signal interrupted and that efd made again
// is one call.
func callsOf(calls []*call, of func(*call) bool) (out []*call) {
	var begun time.Duration
	for _, c := range calls {
		switch {
		case !of(c):
		case c.Errno == unix.EINTR && c.waits():
			begun = cmp.Or(begun, c.Mono)
		default:
			if begun != 0 {
				again := *c.Call
				again.Duration += again.Mono - begun
				again.Mono = begun
				c, begun = &call{Call: &again, goid: c.goid, refs: c.refs}, 0
			}
			out = append(out, c)
		}
	}
	return out
}

// thread adds a thread's calls. A call in which Asleep found it has two lines,
// since others may be between them.
func (g *graph) thread(th *Thread, calls []*call, steps []step) {
	for _, c := range calls {
		if !foundIn(steps, th, c.Mono, c.end()) {
			g.add(th.name, c.golden(), c.Mono)
			continue
		}
		s := asleepNode{begin: c.Mono, end: c.end()}
		s.sleeps = g.add(th.name, c.golden()+" sleeps", c.Mono)
		s.returns = g.add(th.name, family(c.Syscall)+" returns", c.end())
		g.slept[th] = append(g.slept[th], s)
	}
	if s, err := look(th.pid, th.tid); err == nil && !th.process && !th.finished() && s.sleeps() {
		text := fmt.Sprintf("%s(%s) sleeps", family(s.call()), g.k.sleepText(&s, func(target) string { return "unnamed" }))
		at := time.Duration(0)
		if n := g.last[th.name]; n != nil {
			at = n.at
		}
		g.slept[th] = append(g.slept[th], asleepNode{begin: at, sleeps: g.add(th.name, text, at)})
	}
}

// foundIn reports whether Asleep found the thread asleep in a stretch of time.
func foundIn(steps []step, th *Thread, begin, end time.Duration) bool {
	return slices.ContainsFunc(steps, func(s step) bool { return s.asleep == th && s.at >= begin && s.at <= end })
}

// test adds the acts and the steps of the test's goroutine. Asleep comes after
// the begin of its call, and Done after everything of its thread.
func (g *graph) test(steps []step, calls []*call, ends map[string]*node) {
	const test = "" // has no lines of its own
	var before *node
	for _, s := range steps {
		switch {
		case s.act != nil && s.act.by == nil:
			g.last[s.act.name] = before
			for _, c := range callsOf(calls, func(c *call) bool { g.k.mu.Lock(); defer g.k.mu.Unlock(); return s.act.has(c) }) {
				before = g.add(s.act.name, c.golden(), c.Mono)
			}
		case s.asleep != nil:
			for _, a := range g.slept[s.asleep] {
				if s.at >= a.begin && (a.end == 0 || s.at <= a.end) {
					before = &node{actor: test, at: s.at, after: present(before, a.sleeps)}
					g.nodes = append(g.nodes, before)
				}
			}
		case s.done != nil && ends[s.done.name] != nil:
			before = &node{actor: test, at: s.at, after: present(before, ends[s.done.name])}
			g.nodes = append(g.nodes, before)
		case s.returned != nil && ends[s.returned.name] != nil:
			before = &node{actor: test, at: s.at, after: present(before, ends[s.returned.name])}
			g.nodes = append(g.nodes, before)
		}
	}
}

func present(nodes ...*node) []*node {
	return slices.DeleteFunc(nodes, func(n *node) bool { return n == nil })
}

// wakes adds the wakes of threads that Asleep had found asleep: others depend on
// the scheduler.
func (g *graph) wakes() {
	k := g.k
	for _, w := range observed.between(k.begin, mono()) {
		th := k.wakee(&w)
		if th == nil {
			continue
		}
		for _, s := range g.slept[th] {
			found := s.end == 0 && th.slept != nil || s.end != 0
			if !found || w.Time < s.begin || s.end != 0 && w.Time > s.end {
				continue
			}
			by, _ := k.wakerIs(&w)
			text := wakes + th.name + " out of " + family(w.Wakee.Syscall)
			if w.Callback != "" {
				text += " through " + w.Callback
			}
			n := &node{actor: by, text: text, at: w.Time, after: []*node{s.sleeps}}
			if cause := g.cause(by, w.Time); cause != nil {
				n.after = append(n.after, cause)
			}
			if s.returns != nil {
				s.returns.after = append(s.returns.after, n)
			}
			g.nodes = append(g.nodes, n)
			// The waker's next line comes after it.
			if next := g.next(by, w.Time); next != nil {
				next.after = append(next.after, n)
			}
		}
	}
}

// cause is the last line of an actor before a time, next the first after it.
func (g *graph) cause(actor string, at time.Duration) (found *node) {
	for _, n := range g.nodes {
		if n.actor == actor && n.at <= at && n.text != "" && (found == nil || n.at >= found.at) {
			found = n
		}
	}
	return found
}

func (g *graph) next(actor string, at time.Duration) (found *node) {
	for _, n := range g.nodes {
		if n.actor == actor && n.at > at && n.text != "" && (found == nil || n.at < found.at) {
			found = n
		}
	}
	return found
}

// lines puts the nodes into the one order that depends on nothing but names.
func (g *graph) lines() (out []string) {
	width := 0
	for _, n := range g.nodes {
		if n.text != "" {
			width = max(width, utf8.RuneCountInString(n.actor))
		}
	}
	for range g.nodes {
		var next *node
		for _, n := range g.nodes {
			if n.out || slices.ContainsFunc(n.after, func(a *node) bool { return !a.out }) {
				continue
			}
			// Steps have no text and come at the earliest, a wake right after its cause.
			if next == nil || n.rank() < next.rank() || n.rank() == next.rank() && n.actor < next.actor {
				next = n
			}
		}
		if next == nil {
			break // a cycle: clocks that differ
		}
		next.out = true
		if next.text != "" {
			out = append(out, pad(next.actor, width)+"  "+next.text)
		}
	}
	return out
}

func (n *node) rank() int {
	switch {
	case n.text == "":
		return 0
	case len(n.text) > len(wakes) && n.text[:len(wakes)] == wakes:
		return 1
	}
	return 2
}
