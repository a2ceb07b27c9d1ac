//go:build linux

package efd

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// alwaysReady is a process-wide eventfd that stays readable: registered in an
// epoll, it ends the waits there. NewEpoll makes it, so that ending a wait
// needs no new descriptor.
var alwaysReady struct {
	mu  sync.Mutex
	has atomic.Bool
	fd  int
}

// hasAlwaysReady reports whether alwaysReady is there, and tries to make it. The
// call that this takes once is made on another thread: the caller's makes the
// one call that it is for.
func hasAlwaysReady() bool {
	if alwaysReady.has.Load() {
		return true
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		makeAlwaysReady()
	}()
	<-done
	return alwaysReady.has.Load()
}

func makeAlwaysReady() {
	r := &alwaysReady
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.has.Load() {
		return
	}
	if fd, errno := callEventfd2(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); errno == 0 {
		r.fd = fd
		r.has.Store(true)
	}
}

// readyEntry is alwaysReady's entry in an epoll, for the handles that want it.
type readyEntry struct {
	mu       sync.Mutex
	wanted   int  // by so many handles
	there    bool // registered
	retrying bool
}

// enter registers alwaysReady. The caller keeps the fd open.
func (f *epollFile) enter(p *Epoll) {
	r := &f.ready
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted++; r.wanted > 1 || f.register(p) || r.retrying {
		return
	}
	r.retrying = true
	p.d.state.Add(1)
	go f.retry(p)
}

func (f *epollFile) register(p *Epoll) bool {
	f.hasWake.Store(true)
	ev := NewEpollEvent(EPOLLIN, f.wakeKey)
	f.ready.there = hasAlwaysReady() && callEpollCtl(int(p.d.fd), unix.EPOLL_CTL_ADD, alwaysReady.fd, &ev) == 0
	return f.ready.there
}

// retry repeats enter, and between two tries ends the waits that signals can
// end.
func (f *epollFile) retry(p *Epoll) {
	defer p.d.release()
	for !f.retryOnce(p) {
		interruptThreads()
		time.Sleep(time.Millisecond)
	}
}

func (f *epollFile) retryOnce(p *Epoll) (done bool) {
	r := &f.ready
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retrying = r.wanted > 0 && !r.there && !f.register(p)
	return !r.retrying
}

// leave removes alwaysReady after the last handle that uses it.
func (f *epollFile) leave(p *Epoll) {
	r := &f.ready
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted--; r.wanted == 0 && r.there {
		callEpollCtl(int(p.d.fd), unix.EPOLL_CTL_DEL, alwaysReady.fd, nil)
		r.there = false
	}
}

// interruptThreads sends each thread of the process the signal by which Go's
// runtime preempts goroutines, which may come at any time and so is ignored by
// programs: a wait without a mask then checks whether it must end.
func interruptThreads() {
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if tid, err := strconv.Atoi(name); err == nil {
			unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
		}
	}
}
