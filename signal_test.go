//go:build linux

package efd_test

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd"
	procfs "github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// sigBlk is the mask of thread tid as the kernel shows it, which during a wait
// is the wait's.
func sigBlk(t testing.TB, tid int) uint64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "SigBlk:")
	field, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	mask, err := strconv.ParseUint(field[max(0, len(field)-16):], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return mask
}

// sleepersMask is the mask of thread tid in one sleep in one of the calls: the
// thread slept before the mask was read, and had not woken meanwhile.
func sleepersMask(t testing.TB, tid int, calls []int) uint64 {
	t.Helper()
	switches := func() int {
		n, err := procfs.Switches(os.Getpid(), tid)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for {
		waitAsleep(t, tid, calls)
		before, mask := switches(), sigBlk(t, tid)
		waitAsleep(t, tid, calls)
		if switches() == before {
			return mask
		}
	}
}

// While a wait sleeps its thread has the wait's mask, with 32 to 34 left out
// and SIGURG put in; before and after it has its own.
func TestMaskIsTheThreadsDuringWait(t *testing.T) {
	if testenv.Emulated() {
		t.Skip("the masks in /proc are qemu-user's own")
	}
	usr1, err := efd.NewSigSet(unix.SIGUSR1, 34, 64)
	if err != nil {
		t.Fatal(err)
	}
	full := efd.FullSigSet()
	const urg, usr = 1 << (unix.SIGURG - 1), 1 << (unix.SIGUSR1 - 1)
	const reserved = 7 << 31
	const unblockable = 1<<(unix.SIGKILL-1) | 1<<(unix.SIGSTOP-1)
	e := newEventFD(t, 0, 0)
	for _, w := range waitsOn(t, e) {
		for _, c := range []struct {
			mask *efd.SigSet
			want uint64
		}{{&usr1, urg | usr | 1<<63}, {&full, ^uint64(reserved | unblockable)}, {&efd.SigSet{}, urg}} {
			var before uint64
			tid, wait := inThread(func() {
				before = sigBlk(t, unix.Gettid())
				if n, err := w.do(efd.Forever, c.mask); n != 1 || err != nil {
					t.Errorf("%s: %d, %v; want 1", w.name, n, err)
				}
				if now := sigBlk(t, unix.Gettid()); now != before {
					t.Errorf("%s: the thread's mask is %#x after the wait, %#x before", w.name, now, before)
				}
			})
			if got := sleepersMask(t, tid, w.calls); got != c.want {
				t.Errorf("%s with %v: the thread blocks %#x, want %#x", w.name, c.mask, got, c.want)
			}
			e.Signal()
			wait()
			e.Read()
		}
	}
}

// A signal to a thread that waits with a mask ends the wait. Without one it
// goes on.
func TestSignalEndsMaskedWait(t *testing.T) {
	got := make(chan os.Signal, 64)
	signal.Notify(got, unix.SIGUSR1)
	defer signal.Stop(got)
	e := newEventFD(t, 0, 0)
	for _, w := range waitsOn(t, e) {
		for _, limit := range []time.Duration{efd.Forever, time.Hour, time.Hour + 1} {
			tid, wait := inThread(func() {
				n, err := w.do(limit, &efd.SigSet{})
				var intr *efd.InterruptedError
				if n != 0 || !errors.As(err, &intr) || !errors.Is(err, unix.EINTR) {
					t.Errorf("%s: %d, %v; want an InterruptedError", w.name, n, err)
					return
				}
				if limit < 0 && intr.Remaining != efd.Forever || limit > 0 && (intr.Remaining > limit || intr.Remaining < limit/2) {
					t.Errorf("%s: %v left of %v", w.name, intr.Remaining, limit)
				}
				if !strings.HasPrefix(err.Error(), intr.Op+": interrupted system call") {
					t.Errorf("%s: %q", w.name, err)
				}
			})
			waitAsleep(t, tid, w.calls)
			if err := unix.Tgkill(unix.Getpid(), tid, unix.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			wait()
			testenv.Receive(t, got, "a signal")
		}
		tid, wait := inThread(func() {
			if n, err := w.do(time.Hour, nil); n != 1 || err != nil {
				t.Errorf("%s without a mask: %d, %v; want 1", w.name, n, err)
			}
		})
		waitAsleep(t, tid, w.calls)
		if err := unix.Tgkill(unix.Getpid(), tid, unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		testenv.Receive(t, got, "a signal")
		waitAsleep(t, tid, w.calls)
		e.Signal()
		wait()
		e.Read()
	}
}

func TestWithSigMask(t *testing.T) {
	mask, err := efd.NewSigSet(unix.SIGUSR2, 33)
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := efd.ThreadSigMask()
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	check := func() error {
		now, err := efd.ThreadSigMask()
		if want, _ := efd.NewSigSet(unix.SIGUSR2); err != nil || now != want {
			t.Errorf("in fn the thread blocks %v (%v), want %v", now, err, want)
		}
		return stop
	}
	if err := efd.WithSigMask(mask, check); err != stop {
		t.Errorf("WithSigMask = %v, want fn's error", err)
	}
	func() {
		defer func() { recover() }()
		efd.WithSigMask(mask, func() error { panic("fn") })
	}()
	if after, err := efd.ThreadSigMask(); err != nil || after != before {
		t.Errorf("after it the thread blocks %v (%v), want %v", after, err, before)
	}
}

func TestSigSet(t *testing.T) {
	var s efd.SigSet
	for _, sig := range []unix.Signal{-1, 0, 129} {
		if err := s.Add(sig); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), strconv.Itoa(int(sig))) {
			t.Errorf("Add(%d): %v, want EINVAL that names it", int(sig), err)
		}
		if s.Has(sig) {
			t.Errorf("Has(%d)", int(sig))
		}
		s.Remove(sig)
	}
	full := efd.FullSigSet()
	for sig := unix.Signal(1); sig <= 64; sig++ {
		s = efd.SigSet{}
		if err := s.Add(sig); err != nil || !s.Has(sig) || !full.Has(sig) {
			t.Errorf("signal %d: %v", int(sig), err)
		}
		if !strings.HasPrefix(s.String(), "[") {
			t.Errorf("signal %d prints as %s", int(sig), s)
		}
		if s.Remove(sig); s != (efd.SigSet{}) {
			t.Errorf("signal %d is still there", int(sig))
		}
	}
	if got := full.String(); got != "~[]" {
		t.Errorf("the full set prints as %s", got)
	}
	if s, _ = efd.NewSigSet(unix.SIGTERM, unix.SIGINT); s.String() != "[INT TERM]" {
		t.Errorf("got %v", s)
	}
}

// The set as x/sys has it is the kernel's, word by word: a thread that is given
// it blocks those signals.
func TestSigsetIsTheKernels(t *testing.T) {
	native(t, "set a mask that is not its own")
	s, err := efd.NewSigSet(unix.SIGUSR1, unix.SIGTERM, 40, 64)
	check(t, err)
	set := s.Sigset()
	p := onThread(func() {
		before, err := efd.ThreadSigMask()
		check(t, err)
		check(t, unix.PthreadSigmask(unix.SIG_SETMASK, &set, nil))
		now, err := efd.ThreadSigMask()
		if err != nil || now != s {
			t.Errorf("the thread blocks %v (%v), want %v", now, err, s)
		}
		old := before.Sigset()
		check(t, unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil))
	})
	p.wait(t)
	fd, err := unix.Signalfd(-1, &set, unix.SFD_CLOEXEC)
	check(t, err)
	unix.Close(fd)
}

func TestNilSigSet(t *testing.T) {
	var s *efd.SigSet
	if err := s.Add(unix.SIGUSR1); err != os.ErrInvalid {
		t.Errorf("Add to a nil set: %v, want os.ErrInvalid", err)
	}
	s.Remove(unix.SIGUSR1)
}
