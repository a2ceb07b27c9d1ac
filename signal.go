//go:build linux

package efd

import (
	"os"
	"runtime"
	"unsafe"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// sigWord is the unsigned long that the kernel's signal sets are made of.
type sigWord = uintptr

const (
	sigWordBits = 8 * int(unsafe.Sizeof(sigWord(0)))
	sigsetSize  = unsafe.Sizeof(SigSet{})
	numSignals  = 8 * int(sigsetSize)
)

// SigSet is a set of signals in the kernel's own form, sigset_t of the kernel's
// and not of libc's headers: 64 signals, 128 on mips. The zero value is empty.
// Sets compare with ==. See sigsetops(3) and signal(7).
type SigSet struct {
	word [sigsetBits / sigWordBits]sigWord
}

// NewSigSet returns the set of the given signals. A number that is no signal
// is an error that wraps [unix.EINVAL].
func NewSigSet(sigs ...unix.Signal) (SigSet, error) {
	var s SigSet
	for _, sig := range sigs {
		if err := s.Add(sig); err != nil {
			return SigSet{}, err
		}
	}
	return s, nil
}

// FullSigSet returns the set of all signals.
func FullSigSet() SigSet {
	var s SigSet
	for i := range s.word {
		s.word[i] = ^sigWord(0)
	}
	return s
}

// Add puts sig into the set. A number that is no signal is an error that wraps
// [unix.EINVAL]. Of a nil SigSet the error is [os.ErrInvalid].
func (s *SigSet) Add(sig unix.Signal) error {
	if s == nil {
		return os.ErrInvalid
	}
	if !isSignal(sig) {
		return badArg(unix.EINVAL, "signal %d: want 1 to %d", int(sig), numSignals)
	}
	s.word[int(sig-1)/sigWordBits] |= sigBit(sig)
	return nil
}

// Remove takes sig out of the set.
func (s *SigSet) Remove(sig unix.Signal) {
	if s != nil && isSignal(sig) {
		s.word[int(sig-1)/sigWordBits] &^= sigBit(sig)
	}
}

// Has reports whether sig is in the set.
func (s SigSet) Has(sig unix.Signal) bool {
	return isSignal(sig) && s.word[int(sig-1)/sigWordBits]&sigBit(sig) != 0
}

func isSignal(sig unix.Signal) bool  { return sig >= 1 && int(sig) <= numSignals }
func sigBit(sig unix.Signal) sigWord { return 1 << (uint(sig-1) % uint(sigWordBits)) }

// String is the set as strace prints it: "[INT TERM]", or "~[HUP]" if the
// signals left out are the shorter list.
func (s SigSet) String() string {
	return uapi.SigSet(numSignals, func(sig int) bool { return s.Has(unix.Signal(sig)) })
}

// Sigset returns the set as golang.org/x/sys/unix has it, for signalfd(2) and
// the like. A signalfd sees the signals of the process and of the thread that
// reads it, and only those that are blocked: in a Go program, where each thread
// has a mask of its own, that is a signal sent to one thread, by tgkill(2).
func (s SigSet) Sigset() unix.Sigset_t {
	var set unix.Sigset_t
	copyWords(set.Val[:], s.word[:])
	return set
}

// copyWords copies unsigned longs, for which x/sys has the fixed size.
func copyWords[T uint32 | uint64](to []T, from []sigWord) {
	for i, w := range from {
		to[i] = T(w)
	}
}

// For C libraries, 32 to 34 belong to the threads library, and Go's runtime
// leaves them alone: setuid(2) and its like reach every thread with 33.
const firstReserved, lastReserved unix.Signal = 32, 34

// sanitize returns the mask that a thread of a Go program can bear.
func (s SigSet) sanitize() SigSet {
	for sig := firstReserved; sig <= lastReserved; sig++ {
		s.Remove(sig)
	}
	return s
}

// waitMask is the mask for a wait, written to buf; nil stays nil.
func waitMask(mask, buf *SigSet) *SigSet {
	if mask == nil {
		return nil
	}
	mask.forWait(buf)
	return buf
}

// forWait writes to buf the mask that a wait can have. Go's runtime sends
// SIGURG to its threads to preempt goroutines. That is no event of the
// program's, so it waits until the wait is over.
//
//go:noinline
func (s *SigSet) forWait(buf *SigSet) {
	*buf = s.sanitize()
	buf.word[int(unix.SIGURG-1)/sigWordBits] |= sigBit(unix.SIGURG)
}

// ThreadSigMask returns the set of the signals that the calling thread blocks.
// Without [runtime.LockOSThread] the next call may be on another thread.
// See rt_sigprocmask(2).
func ThreadSigMask() (SigSet, error) {
	var old SigSet
	if errno := callRtSigprocmask(unix.SIG_BLOCK, nil, &old); errno != 0 {
		return SigSet{}, opRtSigprocmask.fail(errno)
	}
	return old, nil
}

// WithSigMask runs fn on a thread that blocks the signals in mask, except 32
// to 34, which the threads library and Go's runtime need. It locks the
// goroutine to its thread, makes mask the thread's signal mask, runs fn,
// restores the old mask and returns fn's error. A thread whose mask cannot be
// restored stays locked, so that it ends with the goroutine.
//
// A signal that is sent to the process, as kill(2) does, is then taken by
// another thread, whose handler passes it on to [os/signal.Notify]: only one
// sent to the thread, as by tgkill(2), stays pending. Go's runtime preempts
// goroutines by SIGURG and takes CPU profiles by SIGPROF: with SIGURG in mask, a
// loop of fn's that calls nothing holds the garbage collector up, and with
// SIGPROF fn is in no profile. See rt_sigprocmask(2).
func WithSigMask(mask SigSet, fn func() error) (err error) {
	runtime.LockOSThread()
	mask = mask.sanitize()
	var old SigSet
	if errno := callRtSigprocmask(unix.SIG_SETMASK, &mask, &old); errno != 0 {
		runtime.UnlockOSThread()
		return opRtSigprocmask.fail(errno)
	}
	defer func() {
		if errno := callRtSigprocmask(unix.SIG_SETMASK, &old, nil); errno != 0 {
			if err == nil {
				err = opRtSigprocmask.fail(errno)
			}
			return
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}
