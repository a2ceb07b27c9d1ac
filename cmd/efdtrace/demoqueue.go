//go:build linux

package main

import (
	"fmt"
	"slices"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/ktrace/route"
	"github.com/efd-go/efd/internal/plain"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
)

// part is a stretch of a documented path in addition to the two of a wake: the
// registration of the callback on the eventfd's wait queue, and the woken
// call's further functions.
type part struct {
	short, title string
	path, entry  string   // and the system call by which it is entered
	via          []string // functions that lead there
	unseen       bool     // indistinguishable from the first pass, which took the same functions
}

// onEventfd reports whether a scenario's waiter itself sleeps on the queue of an
// eventfd, in the ordinary way: an epoll has many.
func onEventfd(s *scenario.Scenario) bool {
	if s.Worker || len(s.Through) == 0 || s.Waiter == "restart_syscall" {
		return false
	}
	switch s.Through[0] {
	case "epoll":
		return s.Demo
	case "sleeper":
		return s.SleepPath == "eventfd_read"
	}
	return len(s.Through) == 1 && catalog.DefaultModel().Object(s.Source) == "eventfd"
}

// queued and afterwards are the parts of a scenario in which one thread waits
// for one eventfd.
func queued(s *scenario.Scenario) []part {
	if !onEventfd(s) {
		return nil
	}
	w := catalog.DefaultModel().Woken(s.Through[0])
	title := "How " + route.Callbacks(s.Through)[0] + " came onto the eventfd's wait queue, "
	switch s.Through[0] {
	case "poller":
		return []part{{short: "queued", title: title + "earlier in the same call:", path: s.Waiter, entry: s.Waiter, via: w.Joins}}
	case "epoll":
		return []part{{short: "queued", title: title + "in epoll_ctl:", path: "epoll_ctl", entry: "epoll_ctl", via: w.Joins}}
	}
	return nil
}

func afterwards(s *scenario.Scenario) []part {
	if !onEventfd(s) {
		return nil
	}
	w := catalog.DefaultModel().Woken(s.Through[0])
	switch s.Through[0] {
	case "poller":
		return []part{
			{short: "again", title: "Then the second scan, which asks the eventfd again and registers nothing:", path: s.Waiter, entry: s.Waiter, via: w.Again, unseen: true},
			{short: "left", title: "And off the queue, before the call returns:", path: s.Waiter, entry: s.Waiter, via: w.Leaves},
		}
	case "epoll":
		return []part{{short: "again", title: "Then the ready list is gone through, and the eventfd asked again:", path: "epoll_wait", entry: s.Waiter, via: w.Again, unseen: true}}
	case "sleeper":
		return []part{{short: "again", title: "Then the counter is looked at again, and taken:", path: s.SleepPath, entry: s.Waiter, via: w.Again}}
	}
	return nil
}

// edges are those of a part, on this kernel.
func (d *demonstration) edges(p part) []ktrace.Edge {
	doc := d.lab.Kernel.Doc([]string{p.path}, nil)
	if doc == nil {
		return nil
	}
	return route.Find(doc, doc.Roots(), nil, append([]string{route.Entry(d.lab.Kernel, p.entry)}, p.via...)...)
}

// part shows one, with the verdicts of the trial on its edges. Functions on the
// way to the sleep are not shown again.
func (d *demonstration) part(t *lab.Trial, p part, known *match.Chain) {
	chain := &match.Chain{}
	for _, e := range d.edges(p) {
		s := match.Step{Edge: e, Verdict: render.Documented}
		i := slices.IndexFunc(t.Edges(), func(o match.Step) bool { return o.Caller == e.Caller && o.Callee == e.Callee })
		if i >= 0 && (!p.unseen || shared(known, e)) && shown(t.Edges()[i].Verdict) {
			s = t.Edges()[i]
			s.Note = e.Note
			if s.Verdict == ktrace.Renamed {
				s.Verdict = ktrace.Seen // the sleep's chain has the name
			}
		}
		chain.Steps = append(chain.Steps, s)
	}
	from := 0
	for known != nil && from < len(chain.Steps) && shared(known, chain.Steps[from].Edge) {
		from++
	}
	if chain.Steps = chain.Steps[from:]; len(chain.Steps) > 0 {
		d.chain(p.title, chain)
	}
}

func shared(known *match.Chain, e ktrace.Edge) bool {
	return known != nil && slices.ContainsFunc(known.Steps, func(s match.Step) bool { return s.Caller == e.Caller && s.Callee == e.Callee })
}

// shown reports whether a trial saw an edge or the reason that it left no
// frame.
func shown(v ktrace.Verdict) bool {
	return v != ktrace.NotTaken && v != ktrace.NotObservable
}

// legend explains the signs of a chain and the names of objects.
func (d *demonstration) legend() {
	t := d.text
	for _, l := range []struct {
		v    ktrace.Verdict
		text string
	}{
		{ktrace.Seen, "it was on the call stack, called by the function above it"},
		{ktrace.Renamed, "the same, under the name that the compiler gave it"},
		{ktrace.TailCall, "documented, and not on the stack: its last act is a jump to the next function"},
		{ktrace.Inlined, "documented, and not on the stack: compiled into the function above it"},
		{render.Documented, "documented, and not seen: no source here shows it"},
		{"", "where the part begins"},
	} {
		t.Legend(l.v, l.text)
	}
	t.Fold("functions that were shown before, left out")
	t.Printf("\n")
	d.unwatched()
	t.Para("", "\"(id 3)\" is the kernel's own number of an eventfd, the same in every process: eventfd-id in /proc/PID/fdinfo/FD. \"<unfinished ...>\" and \"resumed\" are the two halves of a call that slept in between, as strace prints it.")
}

// unwatched explains the absence of wait queue changes, if there is a reason.
func (d *demonstration) unwatched() {
	if err := d.lab.Unwatched(); err != nil {
		d.text.Para("", "The threads that join or leave an eventfd's wait queue are documented alone, since no eventfd can be watched here: "+plain.Text(err.Error())+".")
	}
}

// routes prints documented parts as lines of functions.
func (d *demonstration) routes(head string, parts []part) {
	for _, p := range parts {
		edges := d.edges(p)
		if len(edges) == 0 {
			continue
		}
		d.route(fmt.Sprintf("%s %-6s ", head, p.short), edges, entryOf(edges))
	}
}

// entryOf is the function of the system call itself, from which a reader wants
// to see a way.
func entryOf(edges []ktrace.Edge) string {
	for _, e := range edges {
		if catalog.DefaultModel().InTable(e.Callee) != "" {
			return e.Callee
		}
	}
	return ""
}
