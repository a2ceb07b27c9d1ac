//go:build linux

// Package learn has short lessons, each on one system of the kernel: a
// question, the real calls that answer it, their effects, and the errors of
// widely read articles about it.
package learn

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/explain"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// Lesson is one question and the calls that answer it.
type Lesson struct {
	Name     string
	System   int // row of the table of systems
	Title    string
	Question string   // the question that a learner answers first
	Answer   string   // the result of the calls, and the reason
	Paths    []string // documented paths whose corrections are shown
	Topics   []string // words of the corrections that belong here; nil for all
	Scenario string   // of internal/scenario, that shows it under observation; "" for none

	wakes []wake // the verdicts on the path in Paths that only a wake takes
	run   func(*stage) error
}

// Mark is "*" for a lesson that is shown under observation too.
func (l *Lesson) Mark() string {
	if l.Scenario == "" {
		return ""
	}
	return "*"
}

// wake is one time that a path was taken, by a way of the catalogue.
type wake struct{ path, way, title string }

// Lessons are all lessons, in the order in which they build on each other.
var Lessons = []*Lesson{counter, semaphore, full, blocked, poll, filtered, timeout, mask, selects, levels, ghost, nested, closed, hangup, tcp}

// Find returns the lesson of a name.
func Find(name string) (*Lesson, error) {
	var names []string
	for _, l := range Lessons {
		if l.Name == name {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return nil, fmt.Errorf("no lesson %q; there are: %s", name, strings.Join(names, " "))
}

// limit ends a lesson whose waiter is never woken; a slow machine gets longer.
const limit = 20 * time.Second

// Run makes the lesson's calls on the running kernel and returns them as a
// log, one line per call as strace prints it. Descriptors, threads and
// addresses are numbered anew, so that the same happenings are the same text.
func (l *Lesson) Run(ctx context.Context) (Log, error) {
	ctx, cancel := context.WithTimeout(ctx, asleep.Patience(limit))
	defer cancel()
	// The waiter is to be another thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := newStage(ctx)
	defer s.end()
	if err := l.run(s); err != nil {
		return nil, fmt.Errorf("lesson %s: %w", l.Name, err)
	}
	return s.log(), nil
}

// Explained is the lesson's log with the remarks on each line below it, and the
// lesson's paths: at the first call that takes one, or at the end if only a
// wake does.
func (l *Lesson) Explained(log Log, paths func(string) *ktrace.Path) (string, error) {
	shown := map[string]bool{}
	own := func(name string) *ktrace.Path {
		if !slices.Contains(l.Paths, name) {
			return nil
		}
		shown[name] = true
		return paths(name)
	}
	var b strings.Builder
	x := explain.New()
	x.Slept = func(line int) bool { return log[line-1].slept }
	if err := explain.Text(&b, strace.NewReader(strings.NewReader(log.String()), 0), x, explain.Options{FD: -1, Paths: own, Files: paths, OwnLog: true}); err != nil {
		return "", err
	}
	for _, name := range l.Paths {
		p := paths(name)
		if p == nil || shown[name] {
			continue
		}
		whole := true
		for _, w := range l.wakes {
			if w.path == name {
				whole = false
				b.WriteByte('\n')
				explain.TreeOf(&b, p, w.way, w.title)
			}
		}
		if whole {
			b.WriteByte('\n')
			explain.Tree(&b, p)
		}
	}
	return b.String(), nil
}

// Log is the calls of a lesson, each a line as strace prints it.
type Log []line

type line struct {
	at    time.Time
	tid   int // 0: it says that the waiter sleeps
	text  string
	slept bool // a call returns in it that slept: /proc showed it while that was going on
}

func (g Log) String() string {
	var b strings.Builder
	for _, l := range g {
		if l.tid != 0 {
			fmt.Fprintf(&b, "%d  ", l.tid)
		}
		b.WriteString(l.text + "\n")
	}
	return b.String()
}

// Threads describes the role of each thread.
func (g Log) Threads() string {
	s := fmt.Sprintf("%d acts", actorTID)
	if slices.ContainsFunc(g, func(l line) bool { return l.tid == waiterTID }) {
		s += fmt.Sprintf(", %d waits", waiterTID)
	}
	return s
}

// Corrections are the wrong statements of articles about the lesson's subject,
// and the truth.
func (l *Lesson) Corrections(paths func(string) *ktrace.Path) []ktrace.Correction {
	var out []ktrace.Correction
	for _, name := range l.Paths {
		p := paths(name)
		if p == nil {
			continue
		}
		for _, c := range p.Corrections {
			if l.topical(c) && !slices.ContainsFunc(out, func(o ktrace.Correction) bool { return o.Text == c.Text }) {
				out = append(out, c)
			}
		}
	}
	return out
}

func (l *Lesson) topical(c ktrace.Correction) bool {
	return l.Topics == nil || slices.ContainsFunc(l.Topics, func(word string) bool {
		return strings.Contains(c.Wrong, word) || strings.Contains(c.Text, word)
	})
}
