//go:build linux

package perf

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/order"
	"golang.org/x/sys/unix"
)

// followFork adds the children of followed processes and records exits, since
// PIDs are reused.
func (s *Source) followFork(e *ktrace.Event) {
	if s.follow == nil || e.Kind != kindFork && e.Kind != kindExit {
		return
	}
	switch {
	case e.Kind == kindFork && s.follow[e.Target]:
		s.forget(e.Time)
		s.follow[e.PID] = true
		delete(s.exits, e.PID)
	case e.Kind == kindExit && e.TID == e.PID && s.follow[e.PID]:
		if s.exits == nil || len(s.exits) >= maxTasks {
			s.exits = exits{}
		}
		s.exits[e.PID] = e.Time
	}
}

// minFollowed is how many processes are followed before those that have ended
// are looked for.
const minFollowed = 1 << 12

// forget drops the processes that are gone, once there are twice as many as
// were left the last time.
func (s *Source) forget(now int64) {
	if len(s.follow) < 2*max(s.left, minFollowed/2) {
		return
	}
	for pid := range s.follow {
		if end, known := s.exits[pid]; (!known || now > end+int64(time.Second)) && unix.Kill(pid, 0) == unix.ESRCH {
			delete(s.follow, pid)
			delete(s.exits, pid)
		}
	}
	s.left = len(s.follow)
}

// Living are the followed processes that have not ended. It is for the time
// after the last Read.
func (s *Source) Living() (pids []int) {
	for pid := range s.follow {
		if _, gone := s.exits[pid]; !gone && running(pid) {
			pids = append(pids, pid)
		}
	}
	order.Ints(pids)
	return pids
}

// running reports whether a process exists and is no zombie.
func running(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	rest := bytes.TrimSpace(b[bytes.LastIndexByte(b, ')')+1:])
	return len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

// exits has the processes whose first thread has ended, and when. Others of
// its threads may go on, or have executed another program in its place.
type exits map[int]int64

// exitGrace is how long after the record of its end a thread still does
// something, such as waking its parent.
const exitGrace = int64(50 * time.Millisecond)

// another reports whether a process that did something at that time is another
// one than that which ended.
func (x exits) another(pid int, at int64) bool {
	end, ok := x[pid]
	if !ok || at < end+exitGrace {
		return false
	}
	begin, err := began(pid)
	if err != nil { // it is gone, too
		return at > end+int64(time.Second)
	}
	delete(x, pid)
	return begin > end
}

// began is when a process was started, on the clock of events, rounded down.
func began(pid int) (int64, error) {
	text, err := StartTime(pid)
	if err != nil {
		return 0, err
	}
	ticks, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, err
	}
	now := source.Now() // first: the time until the other clock is read makes it earlier
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	const tick = int64(time.Second / 100) // USER_HZ
	return ticks*tick - (boot.Nano() - now), nil
}

// StartTime is when a process was started, in ticks since the boot.
func StartTime(pid int) (string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	rest := string(b[bytes.LastIndexByte(b, ')')+1:]) // the name before it may hold anything
	fields := strings.Fields(rest)
	const at = 22 - 3 // the third field follows the name
	if len(fields) <= at {
		return "", fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	return fields[at], nil
}
