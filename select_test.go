//go:build linux

package efd_test

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

func setOf(fds ...int) *efd.FDSet {
	s := new(efd.FDSet)
	for _, fd := range fds {
		if err := s.Add(fd); err != nil {
			panic(err)
		}
	}
	return s
}

func members(s *efd.FDSet) []int { return slices.Collect(s.All()) }

// dupAbove duplicates fd to a number of at least low.
func dupAbove(t testing.TB, fd, low int) int {
	t.Helper()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	if lim.Cur <= uint64(low) {
		t.Skipf("RLIMIT_NOFILE is %d: no number above %d can be had", lim.Cur, low)
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, low)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(high) })
	return high
}

// needLargeSets ends the test under qemu-user, whose own fd_set has 1024 bits.
func needLargeSets(t testing.TB) {
	if testenv.Emulated() {
		t.Skip("qemu-user's pselect6 ends at descriptor 1023")
	}
}

func TestSelectAboveFDSetsize(t *testing.T) {
	needLargeSets(t)
	ready, idle := newEventFD(t, 1, 0), newEventFD(t, 0, 0)
	a, b, c := dupAbove(t, ready.FD(), 1030), dupAbove(t, idle.FD(), 2000), dupAbove(t, ready.FD(), 3000)
	r, w := setOf(a, b, c), setOf(b)
	n, err := efd.Select(r, w, nil, time.Second, nil)
	if n != 3 || err != nil || !slices.Equal(members(r), []int{a, c}) || !slices.Equal(members(w), []int{b}) {
		t.Errorf("Select = %d, %v, %v, %v", n, err, r, w)
	}
}

// The kernel neither tests nor clears what is above the descriptor table. It
// is no EBADF either.
func TestSelectClearsStaleBits(t *testing.T) {
	needLargeSets(t)
	const beyond = 1 << 20
	ready, idle := newEventFD(t, 1, 0), newEventFD(t, 0, 0)
	for name, c := range map[string]struct {
		r, w, x  *efd.FDSet
		n        int
		wr, ww   []int
		possible bool
	}{
		"time-out":   {r: setOf(idle.FD(), beyond)},
		"one ready":  {r: setOf(ready.FD(), beyond), n: 1, wr: []int{ready.FD()}},
		"other set":  {r: setOf(ready.FD()), w: setOf(beyond - 1), n: 1, wr: []int{ready.FD()}},
		"all beyond": {r: setOf(beyond), w: setOf(beyond + 1), x: setOf(beyond + 64)},
		"many":       {r: setOf(ready.FD(), beyond, beyond+1, beyond+64), w: setOf(ready.FD(), idle.FD(), beyond+65), n: 3, wr: []int{ready.FD()}, ww: slices.Sorted(slices.Values([]int{ready.FD(), idle.FD()}))},
	} {
		n, err := efd.Select(c.r, c.w, c.x, 0, nil)
		if n != c.n || err != nil || !slices.Equal(members(c.r), c.wr) {
			t.Errorf("%s: Select = %d, %v, read %v; want %d, %v", name, n, err, c.r, c.n, c.wr)
		}
		if c.w != nil && !slices.Equal(members(c.w), c.ww) {
			t.Errorf("%s: write %v, want %v", name, c.w, c.ww)
		}
		if c.x != nil && c.x.Len() != 0 {
			t.Errorf("%s: exceptional %v", name, c.x)
		}
	}
}

func TestSelectErrorsLeaveSetsUnchanged(t *testing.T) {
	e, other := newEventFD(t, 1, 0), newEventFD(t, 0, 0)
	gone := other.FD()
	other.Close()
	set := setOf(e.FD(), gone)
	want := members(set)
	if n, err := efd.Select(set, nil, nil, 0, nil); n != 0 || !errors.Is(err, unix.EBADF) || !slices.Equal(members(set), want) {
		t.Errorf("Select with a closed number = %d, %v, %v; want EBADF and %v", n, err, set, want)
	}
	for _, c := range [][3]*efd.FDSet{{set, set, nil}, {set, nil, set}, {nil, set, set}} {
		if _, err := efd.Select(c[0], c[1], c[2], 0, nil); !errors.Is(err, unix.EINVAL) {
			t.Errorf("one set given twice: %v, want EINVAL", err)
		}
	}
	if n, err := efd.Select(nil, nil, nil, time.Millisecond, nil); n != 0 || err != nil {
		t.Errorf("Select of nothing = %d, %v", n, err)
	}
	if n, err := efd.Select(new(efd.FDSet), new(efd.FDSet), nil, 0, nil); n != 0 || err != nil {
		t.Errorf("Select of empty sets = %d, %v", n, err)
	}
}

func TestFDSetRefuses(t *testing.T) {
	var s efd.FDSet
	for _, fd := range []int{-1, -1 << 31, 1<<31 - 1} {
		if err := s.Add(fd); !errors.Is(err, unix.EBADF) {
			t.Errorf("Add(%d): %v, want EBADF", fd, err)
		}
		s.Remove(fd)
		if s.Has(fd) || s.Len() != 0 {
			t.Errorf("%d is in the set", fd)
		}
	}
}

// FuzzFDSet holds a set against a map. Each two bytes are a number and what to
// do with it.
func FuzzFDSet(f *testing.F) {
	f.Add([]byte{0, 0, 63, 1, 64, 2, 65, 0, 255, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		var s efd.FDSet
		model := map[int]bool{}
		for ; len(ops) >= 2; ops = ops[2:] {
			fd := int(ops[0]) | int(ops[1]>>3)<<8
			switch ops[1] & 7 {
			case 0:
				s.Clear()
				clear(model)
			case 1, 2:
				s.Remove(fd)
				delete(model, fd)
			default:
				if err := s.Add(fd); err != nil {
					t.Fatal(err)
				}
				model[fd] = true
			}
			if s.Has(fd) != model[fd] {
				t.Fatalf("Has(%d) = %v", fd, s.Has(fd))
			}
		}
		if want := slices.Sorted(maps.Keys(model)); !slices.Equal(members(&s), want) || s.Len() != len(want) {
			t.Fatalf("got %v, %d members; want %v", &s, s.Len(), want)
		}
	})
}

// An endless wait for closed numbers alone is EBADF whatever the size of the
// descriptor table, and the sets are as they were.
func TestSelectOfClosedNumbers(t *testing.T) {
	needLargeSets(t)
	var lim unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
	closed := int(min(lim.Cur, 1<<19)) - 16
	if closed < 900 {
		t.Skipf("RLIMIT_NOFILE is %d", lim.Cur)
	}
	attempt := func(table string) {
		for name, sets := range map[string][2]*efd.FDSet{"one": {setOf(closed), nil}, "two": {setOf(closed+1, closed), setOf(closed + 2)}} {
			done := make(chan error, 1)
			want := members(sets[0])
			go func() {
				_, err := efd.Select(sets[0], sets[1], nil, efd.Forever, nil)
				done <- err
			}()
			err := testenv.Receive(t, done, "a Select of closed numbers")
			if !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), strconv.Itoa(closed)) || !slices.Equal(members(sets[0]), want) {
				t.Errorf("%s, %s: Select = %v, %v; want EBADF and %v", table, name, err, sets[0], want)
			}
		}
	}
	attempt("small table")
	ready := newEventFD(t, 1, 0)
	high := dupAbove(t, ready.FD(), closed+3)
	attempt("large table")
	r := setOf(high)
	if n, err := efd.Select(r, nil, nil, efd.Forever, nil); n != 1 || err != nil || !r.Has(high) {
		t.Errorf("Select of an open number = %d, %v, %v", n, err, r)
	}
}
