//go:build linux

package efd

import (
	"errors"
	"sync"
	"sync/atomic"
)

// wakeup is how the waits of an Epoll are ended without an event of the
// caller's: alwaysReady is registered, with the file's wakeKey, for as long as it
// takes them to end, and taken out again. So nothing stays in an epoll that others
// share, and nothing has to be there beforehand.
type wakeup struct {
	sleepers atomic.Int32 // waits that may sleep on a thread
	parked   atomic.Int32 // waits that may be in Go's poller
	woken    atomic.Bool  // a Wake has not ended a wait yet
	raised   atomic.Bool  // this handle wants alwaysReady to be registered

	mu sync.Mutex
}

// ErrWoken is the error of a wait that [Epoll.Wake] ended.
var ErrWoken = errors.New("efd: woken by Wake")

// Wake ends one Wait or WaitContext of this handle, in n = 0 and [ErrWoken]:
// one that sleeps, or else the next one. Several Wakes before that are one. It
// takes no event. The next wait is ended before it checks, so that ready events
// stay for the wait after it: call Wait with timeout 0 for both. A wait that
// sleeps and finds events together with the Wake returns these, and the next
// one is ended.
//
// Without a waiter it makes no call. With one it is epoll_ctl(2),
// EPOLL_CTL_ADD, of an eventfd that stays readable, and the wait that ends
// makes another, EPOLL_CTL_DEL. The entry is in no event and not in Interest. A
// waiter on the same epoll by other means, such as a duplicate of its fd, may
// see it until the wait has ended: EPOLLIN, with data that no caller gave.
//
// It needs no descriptor to spare. If no memory or no watch is left for the entry
// (fs.epoll.max_user_watches), it interrupts the threads of the process instead. A
// wait that has a mask ends then once there is one. Errors: [os.ErrClosed].
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
	if w.woken.Load() { // else a wait has found it
		p.raise()
		p.settle()
	}
	return nil
}

// waited reports whether there are waits to be ended. A waiter counts itself
// before it checks woken, and whether the handle is closed. Wake and Close set
// these before they check here.
func (w *wakeup) waited() bool { return w.sleepers.Load()+w.parked.Load() > 0 }

// raise and lower have waits end, and sleep again. The number is the caller's, and
// mu is held.
func (p *Epoll) raise() {
	if p.wake.raised.CompareAndSwap(false, true) {
		p.file.enter(p)
	}
}

func (p *Epoll) lower() {
	if p.wake.raised.CompareAndSwap(true, false) {
		p.file.leave(p)
	}
}

// takeWake reports whether the caller is the wait that Wake ends. It has seen
// woken, or the entry.
func (p *Epoll) takeWake() bool {
	w := &p.wake
	w.mu.Lock()
	defer w.mu.Unlock()
	woken := w.woken.Swap(false)
	if !p.d.closed() {
		p.lower()
	}
	return woken
}

// begin counts a wait in.
func (p *Epoll) begin(kind *atomic.Int32) { kind.Add(1) }

// end undoes begin. The last wait removes the wake entry.
func (p *Epoll) end(kind *atomic.Int32) {
	if w := &p.wake; kind.Add(-1) == 0 && w.raised.Load() {
		w.mu.Lock()
		defer w.mu.Unlock()
		p.settle()
	}
}

// settle removes the entry unless a wait is left. mu is held.
func (p *Epoll) settle() {
	if !p.wake.waited() {
		p.lower()
	}
}

// endWaits ends the sleeps of a handle that closes. Those in Go's poller end by
// its deadline.
func (p *Epoll) endWaits() {
	w := &p.wake
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sleepers.Load() > 0 {
		p.raise()
	}
	p.settle()
}

// sift removes the wake entries from the stored events, and returns the number
// of events left.
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
