//go:build linux

package efd

import (
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"golang.org/x/sys/unix"
)

// epollFile is shared by the handles of one epoll, those that Dup made.
type epollFile struct {
	self    weak.Pointer[epollFile]
	wakeKey uint64      // data of the entries by which waits are ended: one in 2^64 for any other to have
	hasWake atomic.Bool // there was such an entry
	ready   readyEntry

	mu      sync.Mutex
	handles []weak.Pointer[Epoll]
	held    map[*descriptor]struct{} // the handles that AddConn registered, kept reachable
}

func newEpollFile() *epollFile {
	f := &epollFile{wakeKey: rand.Uint64()}
	f.self = weak.Make(f)
	return f
}

// open makes a handle that owns fd.
func (f *epollFile) open(fd int) *Epoll {
	p := &Epoll{file: f}
	p.d.init(fd, 0)
	p.d.cleanup = runtime.AddCleanup(p, closeUnreachable, p.d.fd)
	f.mu.Lock()
	f.handles = append(f.handles, weak.Make(p))
	f.mu.Unlock()
	return p
}

// drop removes a handle that closes. After the last one it unregisters f's
// close watchers.
func (f *epollFile) drop(p *Epoll) {
	self := weak.Make(p)
	f.mu.Lock()
	f.handles = slices.DeleteFunc(f.handles, func(h weak.Pointer[Epoll]) bool { return h == self || h.Value() == nil })
	var held map[*descriptor]struct{}
	if len(f.handles) == 0 {
		held, f.held = f.held, nil
	}
	f.mu.Unlock()
	for d := range held {
		d.unwatch(epollWatch{f.self})
	}
}

// epollWatch removes a registration from an epoll before its fd is closed.
type epollWatch struct{ f weak.Pointer[epollFile] }

func (w epollWatch) closing(d *descriptor) {
	f := w.f.Value()
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.held, d)
	for _, h := range f.handles {
		if p := h.Value(); p != nil && p.d.acquire() {
			callEpollCtl(int(p.d.fd), unix.EPOLL_CTL_DEL, int(d.fd), nil)
			p.d.release()
			return
		}
	}
}

func (w epollWatch) gone() bool { return w.f.Value() == nil }

// ctlHandle registers a handle of this package. The mutex makes the call and the
// note of it one step. p is acquired.
func (p *Epoll) ctlHandle(m ctlMethod, d *descriptor, events EpollEvents, data uint64) error {
	if !d.acquire() {
		return os.ErrClosed
	}
	defer d.release()
	f := p.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.d.closed() {
		return os.ErrClosed
	}
	if err := p.ctlAcquired(m, int(d.fd), events, data); err != nil {
		return err
	}
	switch m.op() {
	case unix.EPOLL_CTL_ADD:
		if !d.watch(epollWatch{f.self}) {
			callEpollCtl(int(p.d.fd), unix.EPOLL_CTL_DEL, int(d.fd), nil)
			return os.ErrClosed
		}
		if f.held == nil {
			f.held = map[*descriptor]struct{}{}
		}
		f.held[d] = struct{}{}
	case unix.EPOLL_CTL_DEL:
		d.unwatch(epollWatch{f.self})
		delete(f.held, d)
	}
	return nil
}
