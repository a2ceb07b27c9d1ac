//go:build linux

package source

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/efd-go/efd/internal/clock"
)

// Now is the clock of all events, CLOCK_MONOTONIC in nanoseconds, as this
// process has it.
func Now() int64 { return int64(clock.Monotonic()) }

// FromKernel converts a time of a record of the kernel's to the clock of
// events: in a time namespace CLOCK_MONOTONIC is another.
func FromKernel(t int64) int64 { return t + offset() }

// ahead is offset's result. It is no sync.OnceValue, which would be made when a
// program starts, also in one that uses handles alone.
var ahead struct {
	once sync.Once
	ns   int64
}

// offset is how far this process's CLOCK_MONOTONIC is ahead of the kernel's, 0 if
// that cannot be read.
func offset() int64 {
	ahead.once.Do(func() { ahead.ns = readOffset() })
	return ahead.ns
}

func readOffset() int64 {
	own, err := os.Readlink("/proc/self/ns/time")
	if err != nil {
		return 0 // before 5.6 there are no such namespaces
	}
	if children, err := os.Readlink("/proc/self/ns/time_for_children"); err != nil || children != own {
		return 0 // the offsets that can be read are those of children
	}
	b, _ := os.ReadFile("/proc/self/timens_offsets")
	return monotonicOffset(string(b))
}

// monotonicOffset reads timens_offsets: a clock, its seconds and nanoseconds a
// line.
func monotonicOffset(text string) int64 {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "monotonic" {
			continue
		}
		s, err := strconv.ParseInt(f[1], 10, 64)
		ns, nserr := strconv.ParseInt(f[2], 10, 64)
		if err == nil && nserr == nil {
			return s*1e9 + ns
		}
	}
	return 0
}
