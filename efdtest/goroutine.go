//go:build linux

package efdtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Goroutine is a waiter in ReadContext, WriteContext or WaitContext. It waits in
// Go's poller and has no thread that could be woken: it is asserted by its own
// calls, which need no privileges.
type Goroutine struct {
	k      *K
	name   string
	id     int
	cancel context.CancelFunc
	done   chan struct{}
	begin  time.Duration
}

// GoContext calls fn on a new goroutine. Its context ends with the test.
func (k *K) GoContext(name string, fn func(context.Context)) *Goroutine {
	k.Helper()
	g := &Goroutine{k: k, name: name, done: make(chan struct{})}
	ctx, cancel := k.context()
	g.cancel = cancel
	if problem := badCall(name, fn == nil); problem != "" {
		close(g.done)
		k.fatal("GoContext %q: %s", name, problem)
		return g
	}
	ready := make(chan struct{})
	go func() {
		defer close(g.done)
		g.id, _ = goroutine()
		g.begin = mono()
		k.mu.Lock()
		k.goroutines = append(k.goroutines, g)
		k.mu.Unlock()
		close(ready)
		fn(ctx)
	}()
	<-ready
	k.endFirst()
	return g
}

// stop cancels the context, and gives fn a second to return.
func (g *Goroutine) stop() {
	g.cancel()
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-g.done:
	case <-timer.C:
	}
}

func (g *Goroutine) finished() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// calls are those that the goroutine made.
func (g *Goroutine) calls() (out []*call) {
	g.k.mu.Lock()
	defer g.k.mu.Unlock()
	for _, c := range g.k.calls {
		if c.goid == g.id {
			out = append(out, c)
		}
	}
	return out
}

// asked are the objects of the goroutine's last call, if that was in vain.
func (g *Goroutine) asked() (on []*Object) {
	calls := g.calls()
	if len(calls) == 0 {
		return nil
	}
	c := calls[len(calls)-1]
	if !c.vain() {
		return nil
	}
	for _, r := range c.refs {
		if r.o != nil {
			on = append(on, r.o)
		}
	}
	if c.waits() && c.FD >= 0 { // through an epoll
		s := sleep{pid: unix.Getpid()}
		on = append(on, g.k.on(s.registered(c.FD, 0))...)
	}
	return on
}

// vain reports whether a call found nothing and did not wait.
func (c *call) vain() bool { return c.Errno == unix.EAGAIN || c.waits() && c.Errno == 0 && c.Ret == 0 }

// waiting reports whether the goroutine waits after a call in vain, in one of
// efd's methods that take a context.
func (p *parked) waiting() bool {
	switch p.state {
	case "IO wait", "select", "chan receive", "syscall":
	default:
		return false
	}
	for line := range strings.Lines(p.stack) {
		rest, ok := strings.CutPrefix(line, module+".")
		if method, _, _ := strings.Cut(rest, "({"); ok {
			method, _, _ = strings.Cut(method, "(0x")
			if strings.HasSuffix(method, "Context") {
				return true
			}
		}
	}
	return false
}

// Waiting waits until the goroutine waits in ReadContext, WriteContext or
// WaitContext, for one of the objects, or for any without. It ends the test if
// the goroutine does not within 5 seconds, on a busy machine more.
func (g *Goroutine) Waiting(on ...*Object) {
	k := g.k
	k.Helper()
	k.count(false)
	if g.id == 0 {
		return
	}
	var p parked
	ok := k.until(patience, func() bool {
		before := len(g.calls())
		asked := g.asked()
		if g.finished() {
			return true
		}
		if !among(asked, on) {
			return false
		}
		p = dump(g.id)
		return p.waiting() && len(g.calls()) == before
	})
	switch {
	case g.finished():
		k.report(&finding{fatal: true, head: fmt.Sprintf("%s does not wait%s: it has returned%s", g.name, onNames(on),
			g.lastCall()), objects: on})
	case !ok:
		k.report(&finding{fatal: true, head: fmt.Sprintf("%s does not wait%s: %s", g.name, onNames(on), g.standing()),
			objects: on, stack: dump(g.id).frames()})
	default:
		k.mu.Lock()
		k.steps = append(k.steps, step{at: mono(), waits: g})
		k.mu.Unlock()
	}
}

// standing describes the goroutine's state.
func (g *Goroutine) standing() string {
	p := dump(g.id)
	text := "it is in state " + p.state
	if asked := g.asked(); len(asked) > 0 && p.waiting() {
		var states []string
		for _, o := range asked {
			states = append(states, o.name+" ("+o.counter()+")")
		}
		text = "it waits on " + list(states)
	} else {
		text += g.lastCall()
	}
	if at := p.at(); at != "" {
		text += fmt.Sprintf(", goroutine %d at %s", g.id, at)
	}
	return text
}

func (g *Goroutine) lastCall() string {
	if calls := g.calls(); len(calls) > 0 {
		return ", after " + g.k.callText(calls[len(calls)-1])
	}
	return ", and made no call of efd's"
}

// Done waits until fn returned. It ends the test if that does not happen within 5
// seconds, on a busy machine more, with the object that the goroutine waits for.
func (g *Goroutine) Done() {
	k := g.k
	k.Helper()
	k.count(false)
	held, returned := k.awaitEnd(g.finished)
	if returned {
		k.mu.Lock()
		k.steps = append(k.steps, step{at: mono(), returned: g})
		k.mu.Unlock()
		return
	}
	f := &finding{fatal: true, head: fmt.Sprintf("%s has not returned: %s", g.name, g.standing()), objects: g.asked()}
	if len(held) > 0 && held[0].goid == g.id {
		f.head = fmt.Sprintf("%s has not returned: %s: a wake-up was lost", g.name, held[0].text)
	} else if len(held) > 0 {
		f.head = fmt.Sprintf("%s has not returned; %s: a wake-up was lost", g.name, held[0].text)
	}
	k.report(f)
}

// sleeper is the goroutine if it waits for something ready, and nothing else.
func (g *Goroutine) sleeper(on []*Object) []sleeper {
	if g.finished() {
		return nil
	}
	n := len(g.calls())
	asked := g.asked()
	if len(asked) == 0 || !among(asked, on) {
		return nil
	}
	calls := g.calls()
	c := calls[len(calls)-1]
	events := int16(unix.POLLIN)
	if c.Syscall == "write" {
		events = unix.POLLOUT
	}
	if c.FD < 0 || !ready(c.FD, events) {
		return nil
	}
	if p := dump(g.id); p.state != "IO wait" || !p.waiting() || len(g.calls()) != n {
		return nil
	}
	var names []string
	for _, o := range asked {
		names = append(names, o.name+" ("+o.counter()+")")
	}
	text := fmt.Sprintf("%s waits on %s", g.name, list(names))
	return []sleeper{{name: g.name, goid: g.id, calls: n, ready: asked, text: text}}
}

// took decides Woke of a goroutine: by a call of its own that moved something
// after the act began.
func (a *Act) took(g *Goroutine, want *wanted) *finding {
	about := a.objects()
	if want.on != nil {
		about = []*Object{want.on}
	}
	n := 0
	count := func() int {
		n = 0
		for _, c := range g.calls() {
			if c.took() && c.end() >= a.begin && (c.about(about) || c.waits()) {
				n++
			}
		}
		return n
	}
	need := max(1, want.times)
	a.k.until(patience, func() bool { return count() >= need || g.finished() })
	if want.times == 0 && count() > 0 || want.times > 0 && count() == want.times {
		return nil
	}
	f := &finding{act: a, objects: about}
	if n == 0 {
		f.head = fmt.Sprintf("%s did not wake %s: ", a.name, g.name)
		if g.finished() {
			f.head += "it has returned" + g.lastCall()
		} else {
			f.head += g.standing()
		}
		if text := a.did(g.asked()); text != "" {
			f.head += "; " + text
		}
	} else {
		f.head = fmt.Sprintf("%s took something %s after %s began; want %s", g.name, times(n), a.name, times(want.times))
	}
	return f
}

// objects are those of the act's calls.
func (a *Act) objects() (on []*Object) {
	for _, c := range a.calls() {
		for _, r := range c.refs {
			if r.o != nil && !slices.Contains(on, r.o) {
				on = append(on, r.o)
			}
		}
	}
	return on
}
