//go:build linux

package efdtest

import (
	"fmt"
	"time"
)

// Option narrows the wakes that [Act.Woke] wants.
type Option func(*wanted)

// wanted are the properties of a wake.
type wanted struct {
	through   []string
	outOf     string
	on        *Object
	within    time.Duration
	ranWithin time.Duration // 0: any
	times     int           // 0: at least one
	given     []string      // the options, as written
	bad       string        // a rule that an option breaks
}

// usualWithin is the bound without [Within].
const usualWithin = 20 * time.Millisecond

func want(opts []Option) *wanted {
	w := &wanted{within: usualWithin}
	for _, o := range opts {
		if o == nil {
			w.bad = "an option is nil"
			break
		}
		o(w)
	}
	return w
}

func (w *wanted) add(name string, value any) {
	w.given = append(w.given, fmt.Sprintf("%s(%v)", name, value))
}

// Through wants the wake to go through these functions of wait queue entries, by
// their kernel names, the object's own first: "pollwake", or "ep_poll_callback"
// and then the epoll's. Further ones may follow.
func Through(callback ...string) Option {
	return func(w *wanted) {
		w.add("Through", list(callback))
		if w.through = callback; len(callback) == 0 {
			w.bad = "Through without a callback"
		}
	}
}

// OutOf wants the woken thread to have slept in a system call: "ppoll". The
// variants of epoll_wait count as it.
func OutOf(syscall string) Option {
	return func(w *wanted) {
		w.add("OutOf", syscall)
		if w.outOf = syscall; syscall == "" {
			w.bad = "OutOf without a system call"
		}
	}
}

// On wants the wake to be through an object.
func On(o *Object) Option {
	return func(w *wanted) {
		if w.on = o; o == nil {
			w.bad = "On of a nil Object"
			return
		}
		w.add("On", o.name)
	}
}

// Within bounds the time from the begin of the call to the waking, which is the
// kernel's part. The default is 20 ms. The outcome is inconclusive if the waker
// waited for a processor in between.
func Within(d time.Duration) Option {
	return func(w *wanted) {
		w.add("Within", d)
		if w.within = d; d <= 0 {
			w.bad = fmt.Sprintf("Within(%v): want more than 0", d)
		}
	}
}

// RanWithin bounds the time from the begin of the call to the running of the
// woken thread. The outcome is inconclusive if the time that the thread waited
// for a processor explains the excess.
func RanWithin(d time.Duration) Option {
	return func(w *wanted) {
		w.add("RanWithin", d)
		if w.ranWithin = d; d <= 0 {
			w.bad = fmt.Sprintf("RanWithin(%v): want more than 0", d)
		}
	}
}

// Times wants exactly n wakes. The default is at least one.
func Times(n int) Option {
	return func(w *wanted) {
		w.add("Times", n)
		if w.times = n; n <= 0 {
			w.bad = fmt.Sprintf("Times(%d): want at least 1; WokeNobodyElse wants none", n)
		}
	}
}
