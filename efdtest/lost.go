//go:build linux

package efdtest

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/efd-go/efd/internal/asleep"
	"golang.org/x/sys/unix"
)

// lostFor is how long a waiter sleeps on something ready until it counts as a
// lost wake-up: a counter is above 0 a moment before its waiter is woken, and one
// of several waiters that are woken one at a time has yet to run.
const lostFor = 500 * time.Millisecond

// NoLostWakeup reports an error if one of the test's threads and goroutines
// sleeps on one of the objects while it is ready; on any object of the test if
// there are none. With kernel evidence that holds for all threads of the process
// that fell asleep since the object has its name. New's K asserts it at the end of
// the test too.
func (k *K) NoLostWakeup(o ...*Object) {
	k.Helper()
	k.count(false)
	if f := k.lostWakeup(o); f != nil {
		k.report(f)
	}
}

// sleeper is a waiter on something ready.
type sleeper struct {
	name  string
	th    *Thread
	s     sleep
	goid  int
	calls int // of the goroutine, so far
	ready []*Object
	text  string
}

// same reports whether two looks found one sleep.
func (s *sleeper) same(o *sleeper) bool {
	if s.goid != 0 || o.goid != 0 {
		return s.goid == o.goid && s.calls == o.calls
	}
	return s.s.tid == o.s.tid && s.s.same(&o.s)
}

func (k *K) lostWakeup(on []*Object) *finding {
	held := k.sleepers(on)
	if len(held) == 0 || k.until(lostFor, func() bool {
		held = both(held, k.sleepers(on))
		return len(held) == 0
	}) {
		return nil
	}
	return k.lostFinding(held)
}

// both are the sleepers of one look that another found too.
func both(a, b []sleeper) []sleeper {
	return slices.DeleteFunc(a, func(s sleeper) bool {
		return !slices.ContainsFunc(b, func(o sleeper) bool { return s.same(&o) })
	})
}

func (k *K) lostFinding(held []sleeper) *finding {
	s := held[0]
	f := &finding{head: s.text + ": a wake-up was lost", objects: s.ready}
	if s.th != nil {
		f.threads = []*Thread{s.th}
	}
	if len(held) > 1 {
		f.head += fmt.Sprintf("; %s too", plural(len(held)-1, "other waiter sleeps on something ready",
			"other waiters sleep on something ready"))
	}
	return f
}

// again looks once more: the sleepers that were there before, or others.
func (k *K) again(before []sleeper) []sleeper {
	now := k.sleepers(nil)
	if held := both(slices.Clone(before), now); len(held) > 0 {
		return held
	}
	return now
}

// sleepers are the waiters that sleep on something ready: the test's, and by the
// kernel's record other threads of the process.
func (k *K) sleepers(on []*Object) (out []sleeper) {
	if asleep.Foreign() {
		return nil
	}
	k.mu.Lock()
	threads, goroutines, objects := slices.Clone(k.threads), slices.Clone(k.goroutines), len(k.objects)
	k.mu.Unlock()
	known := map[int]bool{}
	for _, th := range threads {
		known[th.tid] = true
		if !th.finished() {
			out = append(out, k.sleeper(th, th.name, th.pid, th.tid, on)...)
		}
	}
	for _, g := range goroutines {
		out = append(out, g.sleeper(on)...)
	}
	if objects == 0 || k.evidence != Kernel {
		return out
	}
	self, _ := os.ReadDir("/proc/self/task")
	for _, e := range self {
		var tid int
		if _, err := fmt.Sscan(e.Name(), &tid); err == nil && !known[tid] {
			out = append(out, k.sleeper(nil, fmt.Sprintf("thread %d", tid), os.Getpid(), tid, on)...)
		}
	}
	return out
}

// sleeper looks at one thread: none, or the one that it is.
func (k *K) sleeper(th *Thread, name string, pid, tid int, on []*Object) []sleeper {
	s, err := look(pid, tid)
	if err != nil || !s.sleeps() || s.call() == "" {
		return nil
	}
	objects := k.on(s.targets())
	if len(objects) == 0 || !among(objects, on) {
		return nil
	}
	if th == nil && !since(tid, objects) {
		return nil
	}
	what := k.readyOf(&s)
	if what == "" {
		return nil
	}
	again, err := look(pid, tid)
	if err != nil || !s.same(&again) {
		return nil
	}
	text := fmt.Sprintf("%s sleeps in %s on %s", name, s.call(), what)
	return []sleeper{{name: name, th: th, s: s, ready: objects, text: text}}
}

// since reports whether a thread has slept for no longer than the objects have
// their names. An older sleep may be on a closed file that had the number before.
func since(tid int, objects []*Object) bool {
	at, ok := observed.tape.entered(tid, mono())
	return ok && !slices.ContainsFunc(objects, func(o *Object) bool { return at < o.named })
}

// readyOf describes the targets of a sleep that are ready, "" if none is. Of one
// that is registered for edges the epoll knows whether one is left.
func (k *K) readyOf(s *sleep) string {
	var names []string
	for _, t := range s.targets() {
		if t.edge {
			continue
		}
		k.mu.Lock()
		o := k.named(t.description)
		k.mu.Unlock()
		fd := t.fd
		if s.pid != os.Getpid() {
			if o == nil {
				continue
			}
			fd = o.fd
		}
		if t.kind == "" || !ready(fd, t.events&^(unix.POLLNVAL)) {
			continue
		}
		switch {
		case o != nil:
			names = append(names, o.name+" ("+o.counter()+")")
		case t.kind == "epoll":
			for _, r := range k.on(s.targets()) {
				names = append(names, r.name+" ("+r.counter()+")")
			}
		default:
			names = append(names, fmt.Sprintf("%s %d", t.kind, t.fd))
		}
	}
	slices.Sort(names)
	return list(slices.Compact(names))
}
