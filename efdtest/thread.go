//go:build linux

package efdtest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/asleep"
	"golang.org/x/sys/unix"
)

// Thread is a waiter or a waker with a name: a thread of the test, another
// process, or the kernel.
type Thread struct {
	k        *K
	name     string
	kernel   *waker // one of the kernel's own
	process  bool
	pid, tid int
	goid     int
	begin    time.Duration
	done     chan struct{} // closed once fn returned

	// Guarded by k.mu.
	end   time.Duration // 0: it runs
	slept *sleep        // the sleep that Asleep found
	since time.Duration // when
	delay time.Duration // of its running, at the end
}

// Go calls fn on a new goroutine that has a thread of its own. The thread has the
// name too, cut to 15 bytes, for ps, perf and efdtrace.
func (k *K) Go(name string, fn func()) *Thread {
	k.Helper()
	th := &Thread{k: k, name: name, pid: os.Getpid(), done: make(chan struct{})}
	if problem := badCall(name, fn == nil); problem != "" {
		close(th.done)
		k.fatal("Go %q: %s", name, problem)
		return th
	}
	ready := make(chan struct{})
	go th.run(fn, ready)
	<-ready
	k.endFirst()
	return th
}

// run calls fn on a locked thread, which ends with the goroutine and so has its
// name for no other.
func (th *Thread) run(fn func(), ready chan struct{}) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() { // its name is the process's, and it never ends
		go th.run(fn, ready)
		<-th.done
		runtime.UnlockOSThread()
		return
	}
	th.tid = unix.Gettid()
	th.goid, _ = goroutine()
	setComm(th.tid, th.name)
	th.begin = mono()
	th.k.mu.Lock()
	th.k.threads = append(th.k.threads, th)
	th.k.mu.Unlock()
	defer func() {
		delay := runDelay(th.pid, th.tid)
		th.k.mu.Lock()
		th.end, th.delay = mono(), delay
		th.k.mu.Unlock()
		close(th.done)
	}()
	close(ready)
	fn()
}

// setComm names a thread for ps, perf and efdtrace. It is nobody's error if
// that fails.
func setComm(tid int, name string) {
	os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", tid), []byte(name[:min(len(name), 15)]), 0)
}

// Process gives a name to another process. Wakes by its threads are its, and it
// is woken if its first thread is.
func (k *K) Process(name string, pid int) *Thread {
	k.Helper()
	th := &Thread{k: k, name: name, process: true, pid: pid, tid: pid, begin: mono()}
	problem := badName(name)
	if problem == "" {
		if pid <= 0 {
			problem = fmt.Sprintf("pid %d: a process ID is a positive number", pid)
		} else if err := unix.Kill(pid, 0); err == unix.ESRCH {
			problem = fmt.Sprintf("no process %d", pid)
		}
	}
	if problem != "" {
		k.fatal("Process %q: %s", name, problem)
		return th
	}
	k.mu.Lock()
	k.threads = append(k.threads, th)
	k.mu.Unlock()
	k.endFirst()
	return th
}

// is reports whether one side of a wake at a time is the thread.
func (th *Thread) is(pid, tid int, at time.Duration) bool {
	if th.process {
		return pid == th.pid
	}
	th.k.mu.Lock()
	defer th.k.mu.Unlock()
	return th.kernel == nil && tid == th.tid && pid == th.pid && at >= th.begin && (th.end == 0 || at <= th.end)
}

// finished reports whether fn returned, or the process ended.
func (th *Thread) finished() bool {
	if th.done == nil {
		s, err := look(th.pid, th.tid)
		return err == nil && s.ended()
	}
	select {
	case <-th.done:
		return true
	default:
		return false
	}
}

// Asleep waits until the thread sleeps on one of the objects, or without any in a
// call other than a futex of Go's. It ends the test if the thread does not within
// 5 seconds, on a busy machine more, with the call that it is in instead and its
// stack.
func (th *Thread) Asleep(on ...*Object) {
	k := th.k
	if !k.usable(th, "Asleep") {
		return
	}
	k.Helper()
	k.count(false)
	var last sleep
	var failed error
	early := false
	ok := k.until(patience, func() bool {
		s, err := look(th.pid, th.tid)
		last, failed = s, err
		early = err != nil || th.finished() || s.ended()
		if early {
			return true
		}
		if !s.sleeps() || !k.sleepsOn(&s, on) {
			return false
		}
		again, err := look(th.pid, th.tid)
		return err == nil && s.same(&again)
	})
	if ok && !early {
		k.mu.Lock()
		th.slept, th.since = &last, mono()
		k.steps = append(k.steps, step{at: th.since, asleep: th})
		k.mu.Unlock()
		return
	}
	f := &finding{fatal: true, threads: []*Thread{th}, objects: on}
	switch {
	case failed != nil:
		f.head = fmt.Sprintf("%s: state of thread %d: %v", th.name, th.tid, failed)
	case early:
		f.head = fmt.Sprintf("%s is not asleep%s: it has returned%s", th.name, onNames(on), k.lastCall(th))
		if th.process {
			f.head = fmt.Sprintf("%s is not asleep%s: the process has ended", th.name, onNames(on))
		}
	default:
		f.head = fmt.Sprintf("%s is not asleep%s: %s", th.name, onNames(on), k.standing(th, &last))
		if th.goid != 0 {
			f.stack = dump(th.goid).frames()
		}
	}
	k.report(f)
}

// sleepsOn reports whether a sleep is on one of the objects, or on anything if
// there are none.
func (k *K) sleepsOn(s *sleep, on []*Object) bool {
	if len(on) == 0 || asleep.Foreign() {
		return true
	}
	return among(k.on(s.targets()), on)
}

// SleptOn reports an error unless the thread sleeps on without a break since
// Asleep: in the same call, and with the same count of voluntary switches. It
// needs no privileges.
func (th *Thread) SleptOn() {
	k := th.k
	if !k.usable(th, "SleptOn") {
		return
	}
	k.Helper()
	k.count(false)
	k.mu.Lock()
	before, since := th.slept, th.since
	k.mu.Unlock()
	f := &finding{threads: []*Thread{th}}
	if before == nil {
		f.head = fmt.Sprintf("%s: SleptOn without an Asleep before", th.name)
		k.report(f)
		return
	}
	now, err := look(th.pid, th.tid)
	switch {
	case err != nil:
		f.head = fmt.Sprintf("%s: state of thread %d: %v", th.name, th.tid, err)
	case now.same(before):
		return
	default:
		k.sync(mono())
		why := k.standing(th, &now)
		if th.finished() || now.ended() {
			why = "it has returned" + k.lastCall(th)
		}
		f.head = fmt.Sprintf("%s did not sleep on in %s%s: %s", th.name, before.call(), onNames(k.on(before.targets())), why)
		woken := k.wakesOf(th, since, mono())
		if len(woken) > 0 {
			f.head += fmt.Sprintf("; %s woke it", k.wakerName(&woken[0]))
			f.mark(&woken[0], "it was to sleep on")
		} else if k.interrupted(th, since) {
			f.doubt = fmt.Sprintf("%s did not sleep on: a signal interrupted it", th.name)
		}
	}
	k.report(f)
}

// interrupted reports whether each call of a thread since a time ended in EINTR,
// after which efd waits on.
func (k *K) interrupted(th *Thread, since time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, c := range k.calls {
		if c.TID == th.tid && c.end() >= since {
			if c.Errno != unix.EINTR {
				return false
			}
			n++
		}
	}
	return n > 0
}

// Done waits until fn returned, or the process ended. It ends the test if that
// does not happen within 5 seconds, on a busy machine more, with the call that
// the thread sleeps in, and the objects that are ready.
func (th *Thread) Done() {
	k := th.k
	if !k.usable(th, "Done") {
		return
	}
	k.Helper()
	k.count(false)
	held, returned := k.awaitEnd(th.finished)
	if returned {
		k.mu.Lock()
		k.steps = append(k.steps, step{at: mono(), done: th})
		k.mu.Unlock()
		return
	}
	now, _ := look(th.pid, th.tid)
	f := &finding{head: fmt.Sprintf("%s has not returned: %s", th.name, k.standing(th, &now)), threads: []*Thread{th},
		objects: k.on(now.targets())}
	if len(held) > 0 {
		f.head += ": a wake-up was lost"
		if held[0].th != th {
			f.head = fmt.Sprintf("%s has not returned; %s: a wake-up was lost", th.name, held[0].text)
		}
	}
	f.fatal = true
	k.report(f)
}

// standing describes a thread: the call that it is in, its objects with their
// states, and the place in the code.
func (k *K) standing(th *Thread, s *sleep) string {
	text := s.String()
	if s.sleeps() {
		text = "it sleeps in " + s.call()
	} else if !s.ended() {
		text = "it is " + text
	}
	if s.sleeps() {
		on := k.on(s.targets())
		var states []string
		for _, o := range on {
			states = append(states, o.name+" ("+o.counter()+")")
		}
		switch {
		case len(states) > 0:
			text += " on " + strings.Join(states, " and ")
		default:
			text += k.unnamed(s)
		}
	}
	if th != nil && th.goid != 0 {
		if p := dump(th.goid); p.at() != "" {
			text += fmt.Sprintf(", goroutine %d at %s", th.goid, p.at())
		}
	}
	return text
}

// unnamed describes the descriptors of a sleep on none that has a name.
func (k *K) unnamed(s *sleep) string {
	var kinds []string
	for _, t := range s.targets() {
		if t.kind != "" {
			kinds = append(kinds, fmt.Sprintf("%s %d", t.kind, t.fd))
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	return " on " + list(kinds) + ", which has no name here"
}

// lastCall is the call with which a thread ended, as ": its last call was …".
func (k *K) lastCall(th *Thread) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range slices.Backward(k.calls) {
		if c.TID == th.tid && c.Mono >= th.begin {
			return ", after " + k.callText(c)
		}
	}
	return ""
}

// usable refuses a thread that is nil, or none of a test's.
func (k *K) usable(th *Thread, method string) bool {
	if th.kernel != nil {
		panic("efdtest: " + method + " of " + th.name + ": it is no thread of a test")
	}
	return th.tid != 0
}
