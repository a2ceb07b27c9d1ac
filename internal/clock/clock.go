//go:build linux

// Package clock reads the clock of all events, CLOCK_MONOTONIC. The library
// imports it as the first package that needs golang.org/x/sys/unix: go build
// begins with that, on which most others wait, in the order of imports.
package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Monotonic is the time on CLOCK_MONOTONIC.
func Monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("clock_gettime(CLOCK_MONOTONIC): " + err.Error())
	}
	return time.Duration(ts.Nano())
}
