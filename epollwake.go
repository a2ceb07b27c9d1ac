//go:build linux

package efd

import (
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// wakeup is how the waits of an Epoll are ended without an event of the
// caller's: by an eventfd of the handle's own, registered with the file's wakeKey
// before the first wait that may sleep. So neither Wake nor Close needs a
// descriptor, memory or a watch. Its counter is above 0 only while waits are to
// be ended, so that nobody else who has the epoll sees it for longer. When it is
// closed, which is its only descriptor, the kernel takes its entry out.
type wakeup struct {
	sleepers atomic.Int32 // waits that may sleep on a thread
	parked   atomic.Int32 // waits that may be in Go's poller
	woken    atomic.Bool  // a Wake has not ended a wait yet
	raised   atomic.Bool  // the counter is above 0

	mu    sync.Mutex
	event atomic.Pointer[EventFD]
}

// ErrWoken is what a wait returns that [Epoll.Wake] ended.
var ErrWoken = errors.New("efd: woken by Wake")

// Wake ends one Wait or WaitContext of this handle, in n = 0 and [ErrWoken]: one
// that sleeps, or else the next one. Several Wakes before that are one. It takes
// no event. The next wait is ended before it looks, so that what is ready stays for
// the wait after it: look with timeout 0 for both. A wait that sleeps and finds
// events together with the Wake returns these, and the next one is ended.
//
// It is one write(2) to an eventfd of the handle's own if somebody waits, and no
// call if not. If the first wait is in Go's poller, it makes and registers that
// eventfd. The entry is in no event and not in Interest. Who waits on the same
// epoll by other means, such as a duplicate of its number, may see it for the
// moment that it takes the wait to end: EPOLLIN, with data that nobody gave.
//
// Errors: EMFILE, ENFILE, ENOMEM, ENOSPC, as New and Add; [os.ErrClosed].
func (p *Epoll) Wake() error {
	if err := p.acquire(); err != nil {
		return err
	}
	defer p.d.release()
	w := &p.wake
	if !w.woken.CompareAndSwap(false, true) || !w.waited() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.woken.Load() {
		return nil // a wait has found it
	}
	if err := p.registerWake(); err != nil {
		if w.sleepers.Load() > 0 {
			return nil // it looks every while: see unguardedStep
		}
		w.woken.Store(false)
		return err
	}
	w.raise()
	p.settle()
	return nil
}

// waited reports whether there are waits to be ended. Who waits counts itself
// before it looks at woken. Who wakes sets that before it looks here.
func (w *wakeup) waited() bool { return w.sleepers.Load()+w.parked.Load() > 0 }

// raise and lower make the eventfd readable, and not. mu is held.
func (w *wakeup) raise() {
	if w.raised.CompareAndSwap(false, true) {
		w.event.Load().Signal()
	}
}

func (w *wakeup) lower() {
	if w.raised.CompareAndSwap(true, false) {
		w.event.Load().Drain()
	}
}

// registerWake makes the eventfd and registers it, once. mu is held.
func (p *Epoll) registerWake() error {
	if p.wake.event.Load() != nil {
		return nil
	}
	e, err := New(0, 0)
	if err != nil {
		return err
	}
	ev := NewEpollEvent(EPOLLIN, p.file.wakeKey)
	p.file.hasWake.Store(true)
	if errno := callEpollCtl(int(p.d.fd), unix.EPOLL_CTL_ADD, int(e.d.fd), &ev); errno != 0 {
		e.Close()
		return opEpollCtl.fail(errno)
	}
	p.wake.event.Store(e)
	if p.d.closed() { // and has found nothing to raise
		p.wake.raise()
	}
	return nil
}

// guarded reports whether Close can end a sleep. The calls that this takes once
// are made on another thread: the one that waits makes the one call that it is
// for.
func (p *Epoll) guarded() bool {
	if p.wake.event.Load() != nil {
		return true
	}
	done := make(chan error)
	go func() {
		p.wake.mu.Lock()
		defer p.wake.mu.Unlock()
		done <- p.registerWake()
	}()
	return <-done == nil
}

// takeWake reports whether the caller is the wait that Wake ends. It has seen
// woken, or the eventfd readable.
func (p *Epoll) takeWake() bool {
	w := &p.wake
	w.mu.Lock()
	defer w.mu.Unlock()
	woken := w.woken.Swap(false)
	if !p.d.closed() {
		w.lower()
	}
	return woken
}

// begin counts a wait in.
func (p *Epoll) begin(kind *atomic.Int32) { kind.Add(1) }

// end counts it out. The last one leaves the eventfd as nobody sees it.
func (p *Epoll) end(kind *atomic.Int32) {
	if w := &p.wake; kind.Add(-1) == 0 && (w.raised.Load() || p.d.closed()) {
		w.mu.Lock()
		defer w.mu.Unlock()
		p.settle()
	}
}

// settle closes the eventfd of a closed handle, or has it unreadable, unless
// somebody waits. mu is held.
func (p *Epoll) settle() {
	w := &p.wake
	switch {
	case w.waited():
	case !p.d.closed():
		w.lower()
	default:
		if e := w.event.Load(); e != nil {
			e.Close()
		}
	}
}

// endWaits ends the sleeps of a handle that closes. Those in Go's poller end by
// its deadline.
func (p *Epoll) endWaits() {
	w := &p.wake
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sleepers.Load() > 0 && w.event.Load() != nil {
		w.raise()
	}
	p.settle()
}

// sift takes the wake entries out of what the kernel stored, and returns how many
// events are left.
func (p *Epoll) sift(events []EpollEvent) int {
	if !p.file.hasWake.Load() {
		return len(events)
	}
	n := 0
	for i := range events {
		if events[i].Data() == p.file.wakeKey {
			continue
		}
		if n != i {
			events[n] = events[i]
		}
		n++
	}
	clear(events[n:])
	return n
}
