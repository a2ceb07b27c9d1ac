//go:build linux

package efdtest

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/efd-go/efd"
)

// row is a line of a failure's table.
type row struct {
	at     time.Duration
	actor  string
	id     string // the thread, or the goroutine
	text   string
	note   string
	marked bool
	last   bool // the present state of a thread
	now    bool // with no begin
}

// actor has a name in the table.
type actor struct {
	name string
	id   string
}

// actorOf returns the thread, goroutine or act that made a call, nil if it is
// none of the test's. k.mu is held.
func (k *K) actorOf(c *call) *actor {
	for _, a := range slices.Backward(k.acts) {
		if a.has(c) {
			return &actor{a.name, fmt.Sprint(c.TID)}
		}
	}
	for _, th := range k.threads {
		if th.tid == c.TID && !th.process && c.end() >= th.begin && (th.end == 0 || c.Mono <= th.end) {
			return &actor{th.name, fmt.Sprint(c.TID)}
		}
	}
	for _, g := range k.goroutines {
		if c.goid != 0 && g.id == c.goid {
			return &actor{g.name, fmt.Sprintf("g%d", g.id)}
		}
	}
	if c.goid != 0 && c.goid == k.goid {
		return &actor{"(test)", fmt.Sprint(c.TID)}
	}
	return nil
}

// rows are all calls, wakes and sleeps of the test.
func (k *K) rows(f *finding) (rows []row) {
	k.mu.Lock()
	calls, threads, goroutines := slices.Clone(k.calls), slices.Clone(k.threads), slices.Clone(k.goroutines)
	actors := make([]*actor, len(calls))
	for i, c := range calls {
		actors[i] = k.actorOf(c)
	}
	k.mu.Unlock()
	for i, c := range calls {
		r := row{at: c.Mono, actor: "(another)", id: fmt.Sprint(c.TID), text: k.callText(c)}
		if a := actors[i]; a != nil {
			r.actor, r.id = a.name, a.id
		}
		if c.Duration >= time.Millisecond && (c.waits() || c.reads()) {
			r.note = "returned after " + span(c.Duration)
		}
		rows = append(rows, r)
	}
	if k.evidence == Kernel {
		rows = append(rows, k.wakeRows(f)...)
	}
	for _, th := range threads {
		if r, ok := k.stateRow(th); ok {
			rows = append(rows, r)
		}
	}
	for _, g := range goroutines {
		if !g.finished() {
			state := dump(g.id)
			text := "is " + state.state
			if state.state == "IO wait" {
				text = "waits in Go's poller" + onNames(g.asked())
			}
			rows = append(rows, row{at: mono(), actor: g.name, id: fmt.Sprintf("g%d", g.id), text: text, note: state.at(),
				last: true, now: true})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.at, b.at) })
	return rows
}

// stateRow is the call that a thread sleeps in now, from when it began.
func (k *K) stateRow(th *Thread) (row, bool) {
	s, err := look(th.pid, th.tid)
	if err != nil || th.finished() || s.ended() {
		return row{}, false
	}
	r := row{at: mono(), actor: th.name, id: fmt.Sprint(th.tid), text: "is " + strings.TrimPrefix(s.String(), "is "),
		last: true, now: !s.sleeps()}
	if !s.sleeps() {
		if at := dump(th.goid).at(); th.goid != 0 && at != "" {
			r.note = at
		}
		return r, true
	}
	r.text = fmt.Sprintf("%s(%s)", s.call(), k.sleepText(&s, func(t target) string {
		return fmt.Sprintf("%s %d", t.kind,
			t.fd)
	}))
	r.note = "sleeps"
	if on := k.on(s.targets()); family(s.call()) == "epoll_wait" && len(on) > 0 {
		r.note += onNames(on)
	}
	k.mu.Lock()
	slept, since := th.slept, th.since
	k.mu.Unlock()
	if at, ok := observed.tape.entered(th.tid, mono()); ok && k.evidence == Kernel && at >= th.begin {
		r.at = at
	} else if slept != nil && slept.same(&s) {
		r.at = since
	}
	if len(k.wakesOf(th, r.at, mono())) > 0 {
		r.note = strings.Replace(r.note, "sleeps", "woken, and sleeps again", 1)
	}
	return r, true
}

// wakeRows are the wakes that concern the test.
func (k *K) wakeRows(f *finding) (rows []row) {
	for _, w := range observed.between(k.begin, mono()) {
		o, _ := k.objectOfWake(&w)
		mark, marked := f.marks[keyOf(&w)]
		by, ours := k.wakerIs(&w)
		if !marked && o == nil && (k.wakee(&w) == nil || w.Runtime) && (!ours || w.Runtime) {
			continue
		}
		id := ""
		if w.Waker.TID != 0 {
			id = fmt.Sprint(w.Waker.TID)
		}
		r := row{at: w.Time, id: id, text: "… wakes " + k.wakeeName(&w)}
		if k.callAt(w.Waker.TID, w.Time) == nil { // a call that is not efd's
			r.actor = by
			if w.Waker.Syscall != "" {
				r.text = w.Waker.Syscall + argument(o, w.Waker.FD) + " " + r.text
			}
		}
		if w.Wakee.Syscall != "" {
			r.text += " out of " + w.Wakee.Syscall
		}
		if len(w.Callbacks) > 0 {
			r.text += " through " + w.Callbacks[0]
		}
		switch {
		case w.Latency >= 0:
			r.text += ", which ran " + span(w.Latency) + " later"
		default:
			r.text += ", which was not seen to run"
		}
		if marked {
			r.marked, r.note = true, mark
		}
		rows = append(rows, r)
	}
	return rows
}

func argument(o *Object, fd int) string {
	switch {
	case o != nil:
		return "(" + o.name + ")"
	case fd >= 0:
		return fmt.Sprintf("(%d)", fd)
	}
	return ""
}

// wakeeName is the woken thread in the test's names.
func (k *K) wakeeName(w *efd.Wake) string {
	switch th := k.wakee(w); {
	case th != nil:
		return th.name
	case w.Runtime && w.Wakee.PID == os.Getpid():
		return "Go's poller"
	case w.Wakee.PID == os.Getpid():
		return fmt.Sprintf("thread %d", w.Wakee.TID)
	}
	return fmt.Sprintf("%s (process %d)", w.Wakee.Comm, w.Wakee.PID)
}

// wakerIs returns the waker in the test's names, and whether it is one of the
// test's.
func (k *K) wakerIs(w *efd.Wake) (name string, ours bool) {
	k.mu.Lock()
	acts := slices.Clone(k.acts)
	k.mu.Unlock()
	for _, a := range slices.Backward(acts) {
		if a.by == nil && a.made(w) {
			return a.name, true
		}
	}
	if c := k.callAt(w.Waker.TID, w.Time); c != nil {
		k.mu.Lock()
		by := k.actorOf(c)
		k.mu.Unlock()
		if by != nil {
			return by.name, true
		}
	}
	if th := k.threadOf(w.Waker.PID, w.Waker.TID, w.Time); th != nil {
		return th.name, true
	}
	for _, th := range []*Thread{AIO, IOUring, Timer, Interrupt} {
		if w.Waker.TID == 0 && th.kernel.made(w) {
			return "the kernel (" + th.name + ")", false
		}
	}
	switch {
	case w.Waker.TID == 0:
		return "the kernel", false
	case w.Waker.PID == os.Getpid():
		return fmt.Sprintf("thread %d", w.Waker.TID), false
	}
	return fmt.Sprintf("%s (process %d)", w.Waker.Comm, w.Waker.PID), false
}

// wakerName is the waker with its call.
func (k *K) wakerName(w *efd.Wake) string {
	name, _ := k.wakerIs(w)
	if w.Waker.Syscall != "" {
		o, _ := k.objectOfWake(w)
		name += "'s " + w.Waker.Syscall + argument(o, w.Waker.FD)
	}
	return name
}

// table is the story of a failure.
func (k *K) table(f *finding) string {
	base, of := k.begin, "the test's begin"
	if a := f.act; a != nil {
		base, of = a.begin, a.name+"'s begin"
	} else if n := len(k.acts); n > 0 {
		base, of = k.acts[n-1].begin, k.acts[n-1].name+"'s begin"
	}
	rows, left := shorten(k.rows(f), base)
	if len(rows) == 0 {
		return "no call of efd's and no wake is on record\n"
	}
	names, ids, texts := utf8.RuneCountInString("thread"), 0, 0
	for _, r := range rows {
		names, ids = max(names, utf8.RuneCountInString(r.actor)), max(ids, len(r.id))
		if r.note != "" {
			texts = max(texts, min(utf8.RuneCountInString(r.text), maxText))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s  %*s  t, from %s\n", pad("thread", names), ids, "", of)
	for i, r := range rows {
		if n := left[i]; n > 0 {
			fmt.Fprintf(&b, "  %s\n", pad("… "+plural(n, "row")+" …", names))
		}
		sign, note := " ", r.note
		if r.marked {
			sign, note = "!", "<- "+note
		}
		at := signed(r.at - base)
		if r.now {
			at = "now"
		}
		fmt.Fprintf(&b, "%s %s  %-*s  %s  %s", sign, pad(r.actor, names), ids, r.id, pad(at, 9), pad(r.text, texts))
		if note != "" {
			b.WriteString("  " + note)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// maxText bounds the column of calls.
const maxText = 72

func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s))) }

// Bounds of a table, in rows.
const (
	maxRows   = 32
	keepFirst = 12 // from the act's begin
	keepLast  = 12
)

// shorten leaves out rows of a long table. left is how many are left out before
// a row.
func shorten(all []row, base time.Duration) (rows []row, left map[int]int) {
	left = map[int]int{}
	if len(all) <= maxRows {
		return all, left
	}
	begin, _ := slices.BinarySearchFunc(all, base, func(r row, at time.Duration) int { return cmp.Compare(r.at, at) })
	begin = max(0, min(begin-4, len(all)-keepLast))
	gap, marked := 0, 0
	for i, r := range all {
		keep := i >= begin && i < begin+keepFirst || i >= len(all)-keepLast || r.last
		if r.marked && marked < maxRows {
			keep, marked = true, marked+1
		}
		if !keep {
			gap++
			continue
		}
		if gap > 0 {
			left[len(rows)], gap = gap, 0
		}
		rows = append(rows, r)
	}
	return rows, left
}
