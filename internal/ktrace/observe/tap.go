//go:build linux

package observe

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Tap receives the events of a session that someone else starts.
type Tap interface {
	Opened(*Session) (Recorder, error) // as Options.Opened
	Unwoken(*Unwoken)                  // as Options.OnUnwoken
}

// taps are those of the threads that are in Tapped.
var taps struct {
	sync.Mutex
	of map[int]Tap
}

// Tapped calls start. A session that start begins on its own thread is recorded
// by t.
func Tapped(t Tap, start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid := unix.Gettid()
	taps.Lock()
	if taps.of == nil {
		taps.of = map[int]Tap{}
	}
	taps.of[tid] = t
	taps.Unlock()
	defer func() {
		taps.Lock()
		delete(taps.of, tid)
		taps.Unlock()
	}()
	return start()
}

// tap gives the options the tap of the calling thread.
func (o *Options) tap() {
	taps.Lock()
	defer taps.Unlock()
	if t := taps.of[unix.Gettid()]; t != nil && o.Opened == nil {
		o.Opened, o.OnUnwoken = t.Opened, t.Unwoken
	}
}
