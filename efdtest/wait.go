//go:build linux

package efdtest

import (
	"runtime"
	"slices"
	"time"
)

// patience bounds the wait for something that an idle machine does in no time.
// On a busy one there is more, while one of the test's own threads has work to
// do.
var patience = 5 * time.Second

// stretch is how many times as long at most.
const stretch = 12

// until calls ready until it reports true, for as long as is bearable.
func (k *K) until(limit time.Duration, ready func() bool) bool {
	begin := time.Now()
	for i := 0; ; i++ {
		if ready() {
			return true
		}
		if passed := time.Since(begin); passed > limit && (passed > stretch*limit || !k.busy()) {
			return ready()
		}
		// The interval only delays the detection.
		if i < 20 {
			runtime.Gosched()
		} else {
			time.Sleep(min(time.Duration(i)*10*time.Microsecond, 10*time.Millisecond))
		}
	}
}

// busy reports whether a thread or goroutine of the test runs, or waits for a
// processor.
func (k *K) busy() bool {
	k.mu.Lock()
	threads, goroutines := slices.Clone(k.threads), slices.Clone(k.goroutines)
	k.mu.Unlock()
	for _, th := range threads {
		if s, err := look(th.pid, th.tid); err == nil && !th.finished() && (s.letter == 'R' || s.letter == 'D') {
			return true
		}
	}
	for _, g := range goroutines {
		if p := dump(g.id); !g.finished() && (p.state == "running" || p.state == "runnable") {
			return true
		}
	}
	return false
}

// awaitEnd waits until finished reports true, or a wake-up is known to be lost:
// held are the waiters that sleep on something ready.
func (k *K) awaitEnd(finished func() bool) (held []sleeper, returned bool) {
	looked := time.Now()
	since := looked
	k.until(patience, func() bool {
		if returned = finished(); returned {
			return true
		}
		if time.Since(looked) < 20*time.Millisecond {
			return false
		}
		looked = time.Now()
		before := held
		if held = k.again(held); len(held) == 0 || len(before) == 0 || !held[0].same(&before[0]) {
			since = looked
		}
		return len(held) > 0 && time.Since(since) > lostFor && !k.busy()
	})
	return held, returned
}
