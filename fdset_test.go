//go:build linux

package efd_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// aboveLow is a number that lies outside of an FDSet's own 1,024 bits.
const aboveLow = 2000

// Select of a set and its copy gives each its own result, or is refused.
func TestSelectOfCopiedSets(t *testing.T) {
	readable, writable := newEventFD(t, 0, 0), newEventFD(t, 0, 0)
	check(t, readable.Write(efd.MaxCount))
	r := setOf(readable.FD(), writable.FD())
	w := *r
	n, err := efd.Select(r, &w, nil, 0, nil)
	if n != 2 || err != nil || !slices.Equal(members(r), []int{readable.FD()}) || !slices.Equal(members(&w), []int{writable.FD()}) {
		t.Errorf("Select of a set and its copy = %d, %v, %v, %v", n, err, r, w)
	}

	r = setOf(readable.FD(), writable.FD(), aboveLow)
	w = *r
	for name, c := range map[string][3]*efd.FDSet{"r and w": {r, &w, nil}, "r and x": {r, nil, &w}, "w and x": {nil, &w, r}} {
		if _, err := efd.Select(c[0], c[1], c[2], 0, nil); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s share their numbers: %v, want EINVAL", name, err)
		}
	}
	has(t, r, members(setOf(readable.FD(), writable.FD(), aboveLow))...)
	needLargeSets(t)
	r = setOf(readable.FD(), writable.FD(), dupAbove(t, newEventFD(t, 0, 0).FD(), aboveLow))
	clone := r.Clone()
	if n, err := efd.Select(r, &clone, nil, 0, nil); n != 3 || err != nil || !r.Has(readable.FD()) || !clone.Has(writable.FD()) {
		t.Errorf("Select of a set and its clone = %d, %v, %v, %v", n, err, r, clone)
	}
}

// The loop of select_tut(2): the master set keeps its members, however the
// working set is copied from it.
func TestSelectLoopKeepsMaster(t *testing.T) {
	needLargeSets(t)
	idle := newEventFD(t, 0, 0)
	for _, more := range [][]int{nil, {aboveLow}} {
		master := setOf(append(more, idle.FD())...)
		want := members(master)
		var kept efd.FDSet
		for name, work := range map[string]func() *efd.FDSet{
			"by assignment": func() *efd.FDSet { work := *master; return &work },
			"by Clone":      func() *efd.FDSet { work := master.Clone(); return &work },
			"by CopyFrom":   func() *efd.FDSet { kept.CopyFrom(master); return &kept },
		} {
			for range 3 {
				work := work()
				if len(more) > 0 { // more than the table has is a time-out, or EBADF
					work.Remove(aboveLow)
				}
				if n, err := efd.Select(work, nil, nil, 0, nil); n != 0 || err != nil || work.Len() != 0 {
					t.Errorf("%s: Select = %d, %v, %v", name, n, err, work)
				}
				has(t, master, want...)
			}
		}
	}
}

// Whatever is done to a copy, the original and other copies keep what they
// have, below 1,024 and above, by assignment and by Clone.
func TestFDSetCopiesAreIndependent(t *testing.T) {
	needLargeSets(t)
	for name, fds := range map[string][]int{"low": {3, 200}, "large": {3, 200, 1500}} {
		for what, change := range map[string]func(s *efd.FDSet){
			"Add":             func(s *efd.FDSet) { check(t, s.Add(201)) },
			"Add within":      func(s *efd.FDSet) { check(t, s.Add(1501)) },
			"Add that grows":  func(s *efd.FDSet) { check(t, s.Add(9000)) },
			"Remove":          func(s *efd.FDSet) { s.Remove(200) },
			"Clear":           func(s *efd.FDSet) { s.Clear() },
			"Clear and Add":   func(s *efd.FDSet) { s.Clear(); check(t, s.Add(1502)) },
			"CopyFrom":        func(s *efd.FDSet) { s.CopyFrom(setOf(1, 1600)) },
			"CopyFrom of low": func(s *efd.FDSet) { s.CopyFrom(setOf(1)) },
			"Select":          func(s *efd.FDSet) { efd.Select(s, nil, nil, 0, nil) },
		} {
			a := setOf(fds...)
			b, c := *a, a.Clone()
			change(&b)
			has(t, a, fds...)
			has(t, &c, fds...)
			d := *a
			change(a)
			has(t, &d, fds...)
			has(t, &c, fds...)
			change(&c)
			has(t, &d, fds...)
			if t.Failed() {
				t.Fatalf("%s, %s", name, what)
			}
		}
	}
	a := setOf(aboveLow)
	b := *a
	check(t, a.Add(5000))
	check(t, b.Add(5001))
	has(t, a, aboveLow, 5000)
	has(t, &b, aboveLow, 5001)
}

// A set that CopyFrom or Select wrote is written again in place. A copy by
// assignment does not show what is not its own then: it is refused.
func TestFDSetStaleCopyIsRefused(t *testing.T) {
	needLargeSets(t)
	work := func() *efd.FDSet { s := new(efd.FDSet); s.CopyFrom(setOf(3, aboveLow)); return s }
	for name, use := range map[string]func(s *efd.FDSet){
		"Add":      func(s *efd.FDSet) { s.Add(3) },
		"Remove":   func(s *efd.FDSet) { s.Remove(3) },
		"Has":      func(s *efd.FDSet) { s.Has(3) },
		"Len":      func(s *efd.FDSet) { s.Len() },
		"All":      func(s *efd.FDSet) { members(s) },
		"String":   func(s *efd.FDSet) { _ = s.String() },
		"Clone":    func(s *efd.FDSet) { s.Clone() },
		"CopyFrom": func(s *efd.FDSet) { new(efd.FDSet).CopyFrom(s) },
	} {
		s := work()
		stale := *s
		use(&stale) // nothing has changed yet, or this is the copy that does
		stale = *s
		if name == "Add" || name == "Remove" {
			s = work()
			stale = *s
		}
		check(t, s.Add(4))
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of a copy whose numbers have changed does not panic", name)
				}
			}()
			use(&stale)
		}()
	}
	s := work()
	stale := *s
	s.Clear()
	if _, err := efd.Select(&stale, nil, nil, 0, nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Select of such a copy: %v, want EINVAL", err)
	}
	stale.Clear() // what it had does not count any more
	has(t, &stale)
	check(t, stale.Add(aboveLow))
	has(t, &stale, aboveLow)
	has(t, s)
	moved := func() efd.FDSet { s := work(); s.Add(4); return *s }()
	moved.Remove(3)
	has(t, &moved, 4, aboveLow)
}

func TestFDSetAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("what the race detector sees is passed by way of the heap")
	}
	e := newEventFD(t, 1, 0)
	fd := e.FD()
	noAllocs(t, func() {
		var master efd.FDSet // on the stack
		master.Add(fd)
		master.Add(1023)
		master.Remove(1023)
		work := master
		copied := work.Clone()
		work.CopyFrom(&copied)
		if n, err := efd.Select(&work, nil, nil, 0, nil); n != 1 || err != nil || !work.Has(fd) || master.Len() != 1 {
			t.Errorf("Select = %d, %v", n, err)
		}
		for got := range work.All() {
			if got != fd {
				t.Errorf("yields %d", got)
			}
		}
		work.Clear()
	})
	needLargeSets(t)
	high := dupAbove(t, fd, aboveLow)
	master, work, write := setOf(fd, high), new(efd.FDSet), new(efd.FDSet)
	noAllocs(t, func() {
		work.CopyFrom(master)
		write.CopyFrom(master)
		if n, err := efd.Select(work, write, nil, 0, nil); n != 4 || err != nil {
			t.Errorf("Select = %d, %v", n, err)
		}
		work.Clear()
		work.Add(high)
		work.Remove(high)
	})
}

func TestFDSetPrintsByValue(t *testing.T) {
	if got := fmt.Sprint(*setOf(0, 3, 1027)); got != "[0 3 1027]" {
		t.Errorf("a set prints as %s", got)
	}
}

func TestNilFDSet(t *testing.T) {
	var s *efd.FDSet
	if err := s.Add(3); err != os.ErrInvalid {
		t.Errorf("Add to a nil set: %v, want os.ErrInvalid", err)
	}
	s.Remove(3)
	s.Clear()
	if c := s.Clone(); s.Has(3) || s.Len() != 0 || len(members(s)) != 0 || c.Len() != 0 {
		t.Error("a nil set has something")
	}
	full := setOf(3, aboveLow)
	full.CopyFrom(s)
	has(t, full)
}

// However a set comes by its highest number, Select passes the kernel all of it.
func TestSelectPassesTheHighestNumber(t *testing.T) {
	e := newEventFD(t, 1, 0)
	const high = 700
	if err := unix.Dup3(e.FD(), high, unix.O_CLOEXEC); err != nil {
		t.Skipf("RLIMIT_NOFILE: number %d: %v", high, err)
	}
	defer unix.Close(high)
	var both, low efd.FDSet
	check(t, both.Add(high))
	check(t, both.Add(e.FD()))
	check(t, low.Add(e.FD()))
	assigned, cloned, copied, over := both, both.Clone(), low.Clone(), low
	copied.CopyFrom(&both)
	check(t, over.Add(1023))
	over.CopyFrom(&low)
	check(t, over.Add(high))
	for name, s := range map[string]*efd.FDSet{"Add": &both, "assigned": &assigned, "Clone": &cloned, "CopyFrom": &copied, "CopyFrom and Add": &over} {
		for range 2 { // what Select wrote is what it is given
			if n, err := efd.Select(s, nil, nil, 0, nil); n != 2 || err != nil || s.Len() != 2 {
				t.Errorf("%s: Select = %d, %v, %v; want both numbers", name, n, err, s)
			}
		}
	}
	both.Remove(high)
	if n, err := efd.Select(&both, nil, nil, 0, nil); n != 1 || err != nil || both.Len() != 1 {
		t.Errorf("Remove: Select = %d, %v, %v", n, err, &both)
	}
}
