//go:build linux

package watch

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

func stackOf(names string) (out []ktrace.Frame) {
	for _, n := range strings.Fields(names) {
		out = append(out, ktrace.Frame{Name: n})
	}
	return out
}

// A contended lock is written several times, and one that is compiled into its
// function twice: each taking is told of once, and none is dropped as the
// release of another.
func TestTakes(t *testing.T) {
	const (
		slow   = "native_queued_spin_lock_slowpath _raw_spin_lock_irqsave "
		fast   = "_raw_spin_lock_irqsave "
		unlock = "_raw_spin_unlock_irqrestore "
		thunk  = "__raw_callee_save___pv_queued_spin_unlock _raw_spin_unlock_irqrestore "
		add    = "add_wait_queue eventfd_poll do_sys_poll"
		remove = "remove_wait_queue poll_freewait do_sys_poll"
	)
	for _, c := range []struct {
		name   string
		writes []string
		want   string
	}{
		{"free", []string{fast + add, unlock + add, fast + remove, thunk + remove}, "1010"},
		{"contended", []string{slow + add, slow + add, unlock + add, slow + add, slow + add, slow + add, unlock + add}, "1001000"},
		{"contended once", []string{fast + add, slow + add, slow + add, slow + add, unlock + add, fast + add, unlock + add}, "1000010"},
		{"compiled in", []string{add, add, remove, remove, add, add}, "101010"},
		{"release compiled in", []string{fast + add, add, fast + add, add}, "1010"},
		{"contended and compiled in", []string{slow + add, slow + add, add, slow + add, add}, "10010"},
		{"a release was lost", []string{fast + add, fast + remove, unlock + remove, fast + add}, "1101"},
		{"PREEMPT_RT", []string{"rtlock_slowlock_locked rt_spin_lock " + add, "rtlock_slowlock_locked rt_spin_lock " + add, "rt_spin_unlock " + add, "rt_spin_lock " + remove}, "1001"},
	} {
		s := &Source{locks: map[locker]string{}}
		got := ""
		for _, w := range c.writes {
			e := ktrace.Event{Kind: ktrace.Watch, Field: FieldLock, TID: 7, Object: 1, Stack: stackOf(w)}
			if s.takes(&e) {
				got += "1"
			} else {
				got += "0"
			}
			if n := names(e.Stack); strings.Contains(n, "spin") {
				t.Errorf("%s: %s is of the lock", c.name, n)
			}
		}
		if got != c.want {
			t.Errorf("%s: told of %s, want %s", c.name, got, c.want)
		}
	}
	// The idle tasks of two CPUs have one number.
	s := &Source{locks: map[locker]string{}}
	for cpu := range 2 {
		e := ktrace.Event{Kind: ktrace.Watch, Field: FieldLock, CPU: cpu, Object: 1, Stack: stackOf(add)}
		if !s.takes(&e) {
			t.Errorf("CPU %d: a taking passes for the release of another CPU's", cpu)
		}
	}
}
