//go:build linux

package efd

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// descriptor is a reference-counted file descriptor shared by all methods of a
// handle.
//
// The low bits of state count the users. An open handle counts as one. A method
// acquires the fd before it uses it, and releases it afterwards:
//
//   - close clears isOpen and drops the handle's own reference. From then on
//     acquire fails; it may raise the count transiently before it fails.
//   - a release that brings the count to 0 with isOpen clear tries to clear
//     isLive. One succeeds, and closes the fd.
//
// So the fd is the handle's between acquire and release, whatever else
// goes on. The zero descriptor is closed.
type descriptor struct {
	state   atomic.Uint64
	fd      int32
	flags   atomic.Uint32
	extra   atomic.Pointer[extra]
	cleanup runtime.Cleanup
}

const (
	isLive = 1 << 63 // the number is not closed yet
	isOpen = 1 << 62 // Close was not called
)

// Flags of a descriptor.
const (
	flagBlocking  = 1 << iota // had no O_NONBLOCK when it became ours
	flagSemaphore             // known to be made with EFD_SEMAPHORE
	flagShared                // others know the number or the description, and may clear O_NONBLOCK
)

// extra holds the fields that only some handles need.
type extra struct {
	poller atomic.Pointer[poller]

	mu       sync.Mutex
	failed   *os.File // owns the fd, but is not in the runtime's poller
	watchers []watcher
}

// watcher is notified when a handle is closed, before its fd is closed.
type watcher interface {
	// closing is called once, by Close, while d's fd is still valid.
	closing(d *descriptor)
	// gone reports that the watcher needs no more calls.
	gone() bool
}

// init makes d the owner of fd.
func (d *descriptor) init(fd int, flags uint32) {
	d.fd = int32(fd)
	d.flags.Store(flags)
	d.state.Store(isLive | isOpen | 1)
}

// closeUnreachable is the cleanup of a handle that became unreachable.
func closeUnreachable(fd int32) { callClose(int(fd)) }

// acquire reports whether the fd may be used, until release.
func (d *descriptor) acquire() bool { return d.state.Add(1)&isOpen != 0 || d.refuse() }

// refuse undoes an acquire of a closed descriptor.
//
//go:noinline
func (d *descriptor) refuse() bool {
	d.release()
	return false
}

func (d *descriptor) release() {
	if d.state.Add(^uint64(0)) == isLive {
		d.finish()
	}
}

// finish closes the fd, once.
func (d *descriptor) finish() {
	if !d.state.CompareAndSwap(isLive, 0) {
		return
	}
	d.cleanup.Stop()
	if file := d.file(); file != nil {
		callCloseFile(d, file)
		return
	}
	callCloseOf(d, int(d.fd))
}

// file is the os.File that owns the fd, nil if d owns it itself.
func (d *descriptor) file() *os.File {
	x := d.extra.Load()
	if x == nil {
		return nil
	}
	if p := x.poller.Load(); p != nil {
		return p.file
	}
	return x.failed
}

func (d *descriptor) closed() bool { return d.state.Load()&isOpen == 0 }

// close ends the handle: no use begins after it. Those under way end soon, or
// are ended.
func (d *descriptor) close() error {
	for {
		s := d.state.Load()
		if s&isOpen == 0 {
			return os.ErrClosed
		}
		if d.state.CompareAndSwap(s, s&^isOpen) {
			break
		}
	}
	d.notify()
	if p := d.poller(); p != nil {
		p.close()
	}
	d.release()
	return nil
}

// notify has the watchers know that d closes.
func (d *descriptor) notify() {
	x := d.extra.Load()
	if x == nil {
		return
	}
	x.mu.Lock()
	watchers := x.watchers
	x.watchers = nil
	x.mu.Unlock()
	for _, w := range watchers {
		w.closing(d)
	}
}

// detach ends the handle as close does, and gives its number away. While others
// use the number, and once it is in the runtime's poller, which owns it then, it
// gives away a duplicate. The caller has acquired d.
func (d *descriptor) detach() (fd int, err error) {
	if d.file() == nil && d.state.CompareAndSwap(isLive|isOpen|2, isLive|1) {
		if d.file() == nil {
			d.notify()
			d.cleanup.Stop()
			d.state.And(^uint64(isLive))
			return int(d.fd), nil
		}
		d.state.Add(isOpen + 1)
	}
	fd, errno := callFcntl(int(d.fd), unix.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1, opFcntl.fail(errno)
	}
	if err := d.close(); err != nil {
		callClose(fd)
		return -1, err
	}
	return fd, nil
}

func (d *descriptor) getExtra() *extra {
	if x := d.extra.Load(); x != nil {
		return x
	}
	d.extra.CompareAndSwap(nil, new(extra))
	return d.extra.Load()
}

// watch has d call w on close. It reports false if d is closing already.
func (d *descriptor) watch(w watcher) bool {
	x := d.getExtra()
	x.mu.Lock()
	defer x.mu.Unlock()
	if d.closed() {
		return false
	}
	x.watchers = slices.DeleteFunc(x.watchers, func(old watcher) bool { return old == w || old.gone() })
	x.watchers = append(x.watchers, w)
	return true
}

func (d *descriptor) unwatch(w watcher) {
	x := d.extra.Load()
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if i := slices.Index(x.watchers, w); i >= 0 {
		x.watchers = slices.Delete(x.watchers, i, i+1)
	}
}

// sysfd returns the fd for use outside of the package, or -1 after Close.
func (d *descriptor) sysfd() int {
	if d.closed() {
		return -1
	}
	d.share()
	return int(d.fd)
}

// share notes that others may now change the description's flags.
func (d *descriptor) share() {
	if d.flags.Load()&flagShared == 0 {
		d.flags.Or(flagShared)
	}
}

// sleeps reports whether a read or write may sleep in the kernel.
func (d *descriptor) sleeps() bool { return d.flags.Load()&(flagBlocking|flagShared) != 0 }
