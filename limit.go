//go:build linux

package efd

import (
	"math"
	"time"
)

// limit is the timeout of a wait that may take several calls. The first one
// needs no clock: after a signal the kernel leaves the remaining time in ts. It
// does not under personality(2) STICKY_TIMEOUTS, nor do some emulators, and ts
// excludes the time between calls. So from the first interruption on the wait
// uses the clock. If the kernel left ts as it was, the time before that
// interruption is not counted: the wait is that much longer, once.
type limit struct {
	ts    timespec
	end   time.Duration // by monotonic; 0 as long as no clock was read
	never bool          // no limit
}

// set makes l stand for d and returns the kernel's argument.
func (l *limit) set(d time.Duration) *timespec {
	l.never = d < 0
	return l.ts.set(d)
}

// start converts the remaining time to a deadline.
func (l *limit) start() {
	if !l.never && l.end == 0 {
		now := monotonic()
		l.end = now + min(l.ts.duration(), math.MaxInt64-now)
	}
}

// next returns the kernel's argument for another call.
func (l *limit) next() *timespec {
	l.start()
	return l.ts.set(l.left())
}

// left is the remaining time, Forever without a limit.
func (l *limit) left() time.Duration {
	switch {
	case l.never:
		return Forever
	case l.end == 0:
		return l.ts.duration()
	}
	return max(0, l.end-monotonic())
}

var epoch = time.Now()

// monotonic is a point in time. time.Now would read the wall clock too.
func monotonic() time.Duration { return time.Since(epoch) }
