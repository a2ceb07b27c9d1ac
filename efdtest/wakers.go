//go:build linux

package efdtest

import (
	"slices"

	"github.com/efd-go/efd"
)

// The kernel's own wakers, for [K.Await].
var (
	AIO = &Thread{name: "AIO",
		kernel: &waker{paths: []string{"aio"}}} // completions of io_submit(2)
	IOUring = &Thread{name: "io_uring",
		kernel: &waker{paths: []string{"io_uring"}}} // completions of io_uring_enter(2)
	Timer = &Thread{name: "timer", kernel: &waker{paths: []string{"timeout",
		"timerfd"}}} // time-outs of waits, and timerfds
	Interrupt = &Thread{name: "interrupt", kernel: &waker{contexts: []string{"hardirq", "softirq"}}}
)

// waker recognises wakes by the kernel.
type waker struct {
	paths    []string // documented paths of the waking
	contexts []string
}

func (w *waker) made(wake *efd.Wake) bool {
	return slices.Contains(w.paths, wake.Path.Name) || slices.Contains(w.contexts, wake.Waker.Context)
}
