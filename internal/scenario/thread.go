//go:build linux

package scenario

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// thread is an operating system thread that runs the functions given to it, one
// after the other.
type thread struct {
	tid  int
	work chan func()
}

func newThread() *thread {
	t := &thread{work: make(chan func(), 1)}
	tid := make(chan int)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and whatever a
		// scenario did to it (masks, names) with the thread.
		runtime.LockOSThread()
		tid <- unix.Gettid()
		for fn := range t.work {
			fn()
		}
	}()
	t.tid = <-tid
	return t
}

// start runs fn on the thread; the channel gets its result.
func (t *thread) start(fn func() error) <-chan error {
	done := make(chan error, 1)
	t.work <- func() { done <- fn() }
	return done
}

// do runs fn on the thread and waits for it.
func (t *thread) do(fn func() error) error { return <-t.start(fn) }

// end lets the thread end once it has nothing to do.
func (t *thread) end() { close(t.work) }
