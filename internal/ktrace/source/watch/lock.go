//go:build linux

package watch

import (
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// locker is a thread that takes a lock.
type locker struct {
	object, tid int
	cpu         int // of the idle task, which is one on each CPU; 0 for others
}

// lockWrite is the operation that a write to the word of a lock belongs to.
type lockWrite int

const (
	unclear lockWrite = iota // it is compiled into the function that locks
	taking
	waiting // of a contended taking, which writes several times
	releasing
)

// takes reports whether a write to a lock is the first of a taking: the others
// of a contended one, and the release, say nothing new. The frames that are
// only about the lock are dropped.
func (s *Source) takes(e *ktrace.Event) bool {
	what, above := lockPart(e.Stack)
	e.Stack = above
	key := locker{object: e.Object, tid: e.TID}
	if e.TID == 0 {
		key.cpu = e.CPU
	}
	holder, held := s.locks[key]
	switch {
	case what == releasing, what == unclear && held:
		delete(s.locks, key)
		return false
	case what == waiting && held && holder == names(above):
		return false
	}
	if len(s.locks) > 1<<12 {
		clear(s.locks)
	}
	s.locks[key] = names(above)
	return true
}

// lockPart determines by the leaf frames the operation of a write to a lock,
// and returns the frames above them.
func lockPart(stack []ktrace.Frame) (lockWrite, []ktrace.Frame) {
	what := unclear
	for i, f := range stack {
		name, ok := locking(f.Name)
		switch {
		case !ok:
			return what, stack[i:]
		case strings.Contains(name, "unlock"):
			what = releasing
		case strings.Contains(name, "slowpath") || strings.Contains(name, "slowlock"):
			what = waiting
		case what == unclear:
			what = taking
		}
	}
	return what, nil
}

// locking reports whether a function takes or releases a spin lock, and its
// name without the prefix.
func locking(symbol string) (name string, ok bool) {
	name = strings.TrimLeft(symbol, "_")
	name = strings.TrimLeft(strings.TrimPrefix(name, "raw_callee_save_"), "_")
	for _, p := range [...]string{"raw_spin_", "do_raw_spin_", "queued_spin_", "native_queued_spin_", "pv_queued_spin_", "rt_spin_", "rtlock_"} {
		if strings.HasPrefix(name, p) {
			return name, true
		}
	}
	return "", false
}
