//go:build linux

package efdtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/efd-go/efd"
)

// Woke reports an error unless the act woke w, a *Thread or a *Goroutine, as the
// options want it. A goroutine has no thread that could be woken: of it Woke
// wants that it took something after the act began.
func (a *Act) Woke(w any, opts ...Option) {
	k := a.k
	k.Helper()
	want := want(opts)
	if want.bad != "" {
		k.fatal("Woke: %s", want.bad)
		return
	}
	switch w := w.(type) {
	case *Thread:
		if w == nil || w.kernel != nil {
			k.fatal("Woke: w is no thread of a test")
			return
		}
		a.named[w] = true
		k.decide(a, true, func() *finding { return a.woke(w, want) }, func() *finding { return a.left(1, w) })
	case *Goroutine:
		if w == nil {
			k.fatal("Woke: w is nil")
			return
		}
		if want.through != nil || want.outOf != "" || slices.ContainsFunc(want.given,
			func(g string) bool { return strings.Contains(g, "Within") }) {
			k.fatal("Woke: %s has no thread that could be woken: of a goroutine's own calls On and Times can be asserted, not %s", w.name, list(want.given))
			return
		}
		a.went[w] = true
		took := func() *finding { return a.took(w, want) }
		k.decide(a, false, took, took)
	default:
		k.fatal("Woke: w is a %T, want a *Thread or a *Goroutine", w)
	}
}

// woke decides by the kernel's record.
func (a *Act) woke(th *Thread, want *wanted) *finding {
	var of, matching []efd.Wake
	reasons := map[string]bool{}
	doubt := ""
	f := &finding{act: a, threads: []*Thread{th}}
	for _, w := range a.wakes() {
		if !th.is(w.Wakee.PID, w.Wakee.TID, w.Time) {
			continue
		}
		of = append(of, w)
		problem, unsure := a.differs(&w, want)
		switch {
		case problem == "":
			matching = append(matching, w)
		case unsure:
			doubt = problem
		default:
			reasons[problem] = true
			f.mark(&w, problem)
		}
	}
	switch {
	case want.times == 0 && len(matching) > 0, want.times > 0 && len(matching) == want.times:
		return a.inTime(th, matching, want)
	case len(of) == 0:
		return a.notWoken(th, want)
	case doubt != "":
		f.doubt = fmt.Sprintf("%s woke %s: %s", a.name, th.name, doubt)
	case len(matching) > 0 || want.times > 0:
		f.head = fmt.Sprintf("%s woke %s %s; want %s", a.name, th.name, times(len(matching)), times(want.times))
		for i := range matching {
			f.mark(&matching[i], fmt.Sprintf("wake %d of %s", i+1, th.name))
		}
		if len(matching) < want.times {
			f.doubt = a.lossy()
		}
	default:
		f.head = fmt.Sprintf("%s woke %s %s", a.name, th.name, strings.Join(sorted(reasons), ", and "))
	}
	return f
}

// differs returns the properties in which a wake is not as wanted, "" if it is,
// and whether they may have been lost.
func (a *Act) differs(w *efd.Wake, want *wanted) (problem string, unsure bool) {
	var problems []string
	for _, property := range []func(*efd.Wake, *wanted) (string, bool){a.throughOther, a.outOfOther, a.onOther} {
		text, doubtful := property(w, want)
		if text != "" {
			problems = append(problems, text)
			unsure = unsure || doubtful
		}
	}
	return strings.Join(problems, ", and "), unsure
}

func (a *Act) throughOther(w *efd.Wake, want *wanted) (problem string, unsure bool) {
	switch through := w.Callbacks; {
	case len(want.through) == 0:
	case len(through) < len(want.through) || !slices.Equal(through[:len(want.through)], want.through):
		got := "no callback"
		if len(through) > 0 {
			got = list(through)
		}
		return fmt.Sprintf("through %s; want %s", got, list(want.through)), w.Incomplete
	}
	return "", false
}

func (a *Act) outOfOther(w *efd.Wake, want *wanted) (problem string, unsure bool) {
	if want.outOf != "" && w.Wakee.Syscall != want.outOf && !(want.outOf == "epoll_wait" &&
		family(w.Wakee.Syscall) == want.outOf) {
		if w.Wakee.Syscall == "" {
			return "out of a call that is not on record; want " + want.outOf, true
		}
		return fmt.Sprintf("out of %s; want %s", w.Wakee.Syscall, want.outOf), w.Incomplete
	}
	return "", false
}

func (a *Act) onOther(w *efd.Wake, want *wanted) (problem string, unsure bool) {
	if want.on != nil {
		o, known := a.k.objectOfWake(w)
		switch {
		case o == want.on:
		case !known:
			return "on an object that is not on record; want " + want.on.name, true
		case o != nil:
			return fmt.Sprintf("on %s; want %s", o.name, want.on.name), false
		default:
			return fmt.Sprintf("on %s; want %s", w.Object, want.on.name), false
		}
	}
	return "", false
}

// objectOfWake returns the object through which a wake went, nil if it has no
// name, and whether it is known.
func (k *K) objectOfWake(w *efd.Wake) (o *Object, known bool) {
	if o, known = k.objectOnRecord(w); known {
		return o, known
	}
	return k.onlyTarget(w)
}

// onlyTarget is the one object that the woken thread waited for, if a wait queue
// was walked and there was no other.
func (k *K) onlyTarget(w *efd.Wake) (o *Object, known bool) {
	th := k.wakee(w)
	if th == nil || w.Callback == "" {
		return nil, false
	}
	c := k.callAt(w.Wakee.TID, w.Time)
	switch {
	case c != nil && family(c.Syscall) == "epoll_wait":
		s := sleep{pid: th.pid}
		ts := s.registered(c.FD, 0)
		if on := k.on(ts); len(ts) == 1 && len(on) == 1 {
			return on[0], true
		}
	case c != nil && len(c.refs) == 1:
		return c.refs[0].o, true
	case c == nil:
		at, ok := observed.tape.entered(th.tid, mono())
		if s, err := look(th.pid, th.tid); err == nil && s.sleeps() && ok && at <= w.Time {
			if ts := s.targets(); len(ts) == 1 {
				on := k.on(ts)
				return append(on, nil)[0], true
			}
		}
	}
	return nil, false
}

func (k *K) objectOnRecord(w *efd.Wake) (o *Object, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w.EventFD >= 0 {
		return k.eventfd(w.EventFD), true
	}
	if c := k.callOf(w); c != nil && c.Syscall == "write" && len(c.refs) == 1 {
		return c.refs[0].o, true
	}
	if w.Object == "" {
		return nil, false
	}
	for _, o := range k.objects {
		if w.Object == fmt.Sprintf("%s %d", o.kind, o.fd) {
			return o, true
		}
	}
	return nil, true
}

// callOf is the waker's call. k.mu is held.
func (k *K) callOf(w *efd.Wake) *call {
	for _, c := range slices.Backward(k.calls) {
		if c.TID == w.Waker.TID && c.Mono <= w.Time && w.Time <= c.end() {
			return c
		}
	}
	return nil
}

// inTime holds the first of the wakes to its bounds.
func (a *Act) inTime(th *Thread, ws []efd.Wake, want *wanted) *finding {
	for i := range ws {
		if f := a.timely(th, &ws[i], want); f != nil {
			return f
		}
	}
	return nil
}

func (a *Act) timely(th *Thread, w *efd.Wake, want *wanted) *finding {
	f := &finding{act: a, threads: []*Thread{th}}
	begin, call := a.entered(w)
	bound := slices.ContainsFunc(want.given, func(g string) bool { return strings.HasPrefix(g, "Within") })
	toWaking := w.Time - begin
	if toWaking > want.within && (call || bound) {
		f.head = fmt.Sprintf("%s woke %s after %s (want %s): %s from the begin of the call to the waking", a.name, th.name,
			span(toWaking), span(want.within), span(toWaking))
		f.mark(w, "too late")
		if a.delay >= toWaking-want.within || !call {
			f.doubt = fmt.Sprintf("%s woke %s after %s (want %s): its thread waited %s for a processor", a.name, th.name,
				span(toWaking), span(want.within), span(a.delay))
		}
		return f
	}
	if want.ranWithin == 0 {
		return nil
	}
	if w.Latency < 0 {
		f.doubt = fmt.Sprintf("%s woke %s, which was not seen to run", a.name, th.name)
		return f
	}
	if all := toWaking + w.Latency; all > want.ranWithin {
		waited := a.k.delayOf(th) - a.delays[th]
		text := fmt.Sprintf("%s woke %s after %s (want %s): %s to the waking, then %s for a processor (run delay %s)",
			a.name, th.name, span(all), span(want.ranWithin), span(toWaking), span(w.Latency), span(waited))
		f.head = text
		f.mark(w, "too late")
		if waited+a.delay >= all-want.ranWithin {
			f.doubt = text
		}
		return f
	}
	return nil
}

// delayOf is how long a thread has waited for a processor.
func (k *K) delayOf(th *Thread) time.Duration {
	k.mu.Lock()
	ended, delay := th.end != 0, th.delay
	k.mu.Unlock()
	if ended {
		return delay
	}
	return runDelay(th.pid, th.tid)
}

// lossy says why a wake may be missing from the record, "" if it cannot be.
func (a *Act) lossy() string {
	// Their times may be known badly: any that are counted since it began count.
	if n := max(observed.tape.lostIn(a.begin, a.until()), observed.tape.lostSoFar()-a.lost); n > 0 {
		return plural(n, "record was lost", "records were lost") + " during " + a.name
	}
	return ""
}

// notWoken explains why no wake of a thread by the act is on record.
func (a *Act) notWoken(th *Thread, want *wanted) *finding {
	k := a.k
	f := &finding{act: a, threads: []*Thread{th}, doubt: a.lossy()}
	head := fmt.Sprintf("%s did not wake %s", a.name, th.name)
	now, err := look(th.pid, th.tid)
	others := k.wakesOf(th, a.begin, mono())
	switch {
	case err == nil && now.sleeps() && (!th.finished()):
		on := k.on(now.targets())
		f.objects = on
		head += ", which sleeps in " + now.call()
		head += a.on(on)
		if lost := k.readyOf(&now); lost != "" {
			head += ": a wake-up was lost"
		} else if text := a.did(on); text != "" {
			head += ": " + text
		}
	case len(others) > 0:
		head += fmt.Sprintf(": %s did", k.wakerName(&others[0]))
		f.mark(&others[0], "not by "+a.name)
	case th.finished():
		head += ", which had not slept, and has returned" + k.lastCall(th)
	default:
		head += ", which is " + strings.TrimPrefix(now.String(), "is ")
	}
	if f.doubt == "" && observed.tape.endedUnseen(th.tid, a.begin, a.until()) {
		f.doubt = fmt.Sprintf("%s: the wake that ended the sleep of %s left no record", a.name, th.name)
	}
	if slept, _ := k.sleptBefore(th, a.begin); slept && th.finished() && len(others) == 0 && f.doubt == "" {
		f.doubt = fmt.Sprintf("%s: %s slept before it and has returned since, and no wake of it is on record", a.name,
			th.name)
	}
	f.head = head
	return f
}

// sleptBefore reports whether Asleep had found a thread asleep before a time.
func (k *K) sleptBefore(th *Thread, at time.Duration) (bool, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return th.slept != nil && th.since <= at, th.since
}

// on lists objects with their states.
func (a *Act) on(objects []*Object) string {
	var parts []string
	for _, o := range objects {
		parts = append(parts, o.name+" ("+o.counter()+")")
	}
	if len(parts) == 0 {
		return ""
	}
	return " on " + list(parts)
}

// did describes the calls of the act that are about other objects than these.
func (a *Act) did(on []*Object) string {
	var names []string
	here := false
	for _, c := range a.calls() {
		here = here || len(on) > 0 && c.about(on)
		for _, r := range c.refs {
			text := a.k.callText(c)
			if r.o == nil || !slices.Contains(on, r.o) {
				if !slices.Contains(names, text) {
					names = append(names, text)
				}
			}
		}
	}
	switch {
	case here:
		return ""
	case len(names) == 0 && a.by == nil:
		return a.name + " made no call of efd's"
	case len(names) > 3:
		names = append(names[:3], "…")
	}
	if len(names) == 0 {
		return ""
	}
	return a.name + " made " + list(names)
}

// WokeOneOf reports an error unless the act woke exactly n of the threads,
// whichever.
func (a *Act) WokeOneOf(n int, ws ...*Thread) {
	k := a.k
	k.Helper()
	if n < 0 || n > len(ws) || slices.Contains(ws, nil) {
		k.fatal("WokeOneOf(%d) of %s: want none of them nil, and 0 to all of them", n, plural(len(ws), "thread"))
		return
	}
	for _, th := range ws {
		a.named[th] = true
	}
	k.decide(a, true, func() *finding { return a.wokeOneOf(n, ws) }, func() *finding { return a.left(n, ws...) })
}

func (a *Act) wokeOneOf(n int, ws []*Thread) *finding {
	f := &finding{act: a, threads: ws}
	var woken, all []string
	for _, th := range ws {
		all = append(all, th.name)
	}
	for _, w := range a.wakes() {
		for _, th := range ws {
			if th.is(w.Wakee.PID, w.Wakee.TID, w.Time) && !slices.Contains(woken, th.name) {
				if woken = append(woken, th.name); len(woken) > n {
					f.mark(&w, fmt.Sprintf("number %d, and %d was wanted", len(woken), n))
				}
			}
		}
	}
	if len(woken) == n {
		return nil
	}
	got := "nobody"
	if len(woken) > 0 {
		got = list(woken)
	}
	f.head = fmt.Sprintf("%s woke %s; want %d of %s", a.name, got, n, list(all))
	if len(woken) < n {
		f.doubt = a.lossy()
		if len(woken) == 0 && f.doubt == "" {
			for _, th := range ws {
				if s, err := look(th.pid, th.tid); err == nil && s.sleeps() && a.k.readyOf(&s) != "" {
					f.head += fmt.Sprintf(": %s sleeps in %s%s, and a wake-up was lost", th.name, s.call(), a.on(a.k.on(s.targets())))
					break
				}
			}
		}
	}
	return f
}

// left is as much of a waking as /proc shows: threads that slept before the act
// have left that sleep, at least n of them.
func (a *Act) left(n int, ws ...*Thread) *finding {
	k := a.k
	var asleep []*Thread
	var last sleep
	enough := k.until(patience, func() bool {
		asleep = nil
		for _, th := range ws {
			k.mu.Lock()
			slept, since := th.slept, th.since
			k.mu.Unlock()
			if slept == nil || since > a.begin {
				continue // nothing to compare with
			}
			if now, err := look(th.pid, th.tid); err == nil && now.same(slept) {
				asleep, last = append(asleep, th), now
			}
		}
		return len(ws)-len(asleep) >= n
	})
	if enough {
		return nil
	}
	f := &finding{act: a, threads: asleep}
	on := k.on(last.targets())
	f.objects = on
	if len(ws) == 1 {
		f.head = fmt.Sprintf("%s did not wake %s, which sleeps in %s%s", a.name, ws[0].name, last.call(), a.on(on))
	} else {
		var names []string
		for _, th := range asleep {
			names = append(names, th.name)
		}
		f.head = fmt.Sprintf("%s woke %d of %s; want %d: %s sleep on", a.name, len(ws)-len(asleep), plural(len(ws),
			"thread"), n, list(names))
	}
	if k.readyOf(&last) != "" {
		f.head += ": a wake-up was lost"
	} else if text := a.did(on); text != "" {
		f.head += ": " + text
	}
	return f
}

// WokeNobodyElse reports an error for each wake by the act that no Woke or
// WokeOneOf before it has named. Wakes of the threads that serve Go's scheduler
// do not count; those of its poller through a named object do, unless a Woke has
// named a goroutine.
func (a *Act) WokeNobodyElse() {
	a.k.Helper()
	a.nobody("nobody else")
}

// WokeNobody is WokeNobodyElse for an act that no Woke names.
func (a *Act) WokeNobody() {
	a.k.Helper()
	a.nobody("nobody")
}

func (a *Act) nobody(wanted string) {
	k := a.k
	k.Helper()
	var names []string
	for th := range a.named {
		names = append(names, th.name)
	}
	for g := range a.went {
		names = append(names, g.name)
	}
	slices.Sort(names)
	named := func(th *Thread) bool { return th != nil && slices.Contains(names, th.name) }
	poller := len(a.went) > 0
	if wanted == "nobody" {
		names, named, poller = nil, func(*Thread) bool { return false }, false
	}
	k.decide(a, true, func() *finding { return a.extra(names, named, poller) }, func() *finding { return nil })
}

// extra finds the wakes that were not wanted.
func (a *Act) extra(names []string, named func(*Thread) bool, poller bool) *finding {
	k := a.k
	f := &finding{act: a}
	var extra, got []string
	n := 0
	for _, w := range a.wakes() {
		th := k.wakee(&w)
		o, _ := k.objectOfWake(&w)
		name := k.wakeeName(&w)
		if !slices.Contains(got, name) && !(w.Runtime && o == nil) {
			got = append(got, name)
		}
		switch {
		case named(th):
			continue
		case w.Runtime && (o == nil || poller):
			continue
		case !slices.Contains(extra, name):
			extra = append(extra, name)
		}
		n++
		f.mark(&w, "nobody asked for this")
		if th != nil {
			f.threads = append(f.threads, th)
		}
	}
	if n == 0 {
		if why := a.lossy(); why != "" {
			return &finding{act: a, doubt: why}
		}
		return nil
	}
	want := "nobody"
	if len(names) > 0 {
		want = list(names) + " alone"
	}
	f.head = fmt.Sprintf("%s woke %s; want %s", a.name, list(got), want)
	return f
}
