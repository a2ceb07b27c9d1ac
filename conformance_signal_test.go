//go:build linux

package efd_test

import (
	"errors"
	"os"
	"testing"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var signalCases = []conformanceCase{
	{"the zero set is empty", func(t *testing.T) { equal(t, "String", efd.SigSet{}.String(), "[]") }},
	{"NewSigSet", func(t *testing.T) {
		s, err := efd.NewSigSet(unix.SIGTERM, unix.SIGINT)
		check(t, err)
		equal(t, "String", s.String(), "[INT TERM]")
		equal(t, "Has", s.Has(unix.SIGINT) && s.Has(unix.SIGTERM) && !s.Has(unix.SIGHUP), true)
	}},
	{"the first and the last signal", func(t *testing.T) {
		var s efd.SigSet
		check(t, s.Add(1))
		check(t, s.Add(64))
		equal(t, "Has", s.Has(1) && s.Has(64) && !s.Has(2) && !s.Has(63), true)
	}},
	{"what is no signal is EINVAL", func(t *testing.T) {
		for _, sig := range []unix.Signal{0, -1, 129, 1 << 20} {
			var s efd.SigSet
			wantErr(t, "Add", s.Add(sig), unix.EINVAL)
			_, err := efd.NewSigSet(unix.SIGINT, sig)
			wantErr(t, "NewSigSet", err, unix.EINVAL)
			equal(t, "Has", s.Has(sig), false)
			s.Remove(sig)
		}
	}},
	{"Add twice, Remove once", func(t *testing.T) {
		var s efd.SigSet
		check(t, s.Add(unix.SIGINT))
		check(t, s.Add(unix.SIGINT))
		s.Remove(unix.SIGINT)
		equal(t, "set", s, efd.SigSet{})
	}},
	{"FullSigSet", func(t *testing.T) { equal(t, "String", efd.FullSigSet().String(), "~[]") }},
	{"most signals print as what is missing", func(t *testing.T) {
		s := efd.FullSigSet()
		s.Remove(unix.SIGKILL)
		s.Remove(33)
		equal(t, "String", s.String(), "~[KILL RT_1]")
	}},
	{"real-time signals by number", func(t *testing.T) {
		s, err := efd.NewSigSet(32, 34, 40)
		check(t, err)
		equal(t, "String", s.String(), "[RTMIN RT_2 RT_8]")
	}},
	{"sets compare", func(t *testing.T) {
		a, _ := efd.NewSigSet(unix.SIGINT, unix.SIGHUP)
		b, _ := efd.NewSigSet(unix.SIGHUP, unix.SIGINT)
		equal(t, "equal", a, b)
	}},
	{"WithSigMask blocks, and restores", func(t *testing.T) {
		before, err := efd.ThreadSigMask()
		check(t, err)
		usr2, _ := efd.NewSigSet(unix.SIGUSR2)
		check(t, efd.WithSigMask(usr2, func() error {
			now, err := efd.ThreadSigMask()
			equal(t, "within", now, usr2)
			return err
		}))
		after, err := efd.ThreadSigMask()
		check(t, err)
		equal(t, "after", after, before)
	}},
	{"WithSigMask returns fn's error", func(t *testing.T) {
		fail := errors.New("fail")
		equal(t, "error", efd.WithSigMask(efd.SigSet{}, func() error { return fail }), fail)
	}},
	{"WithSigMask nests", func(t *testing.T) {
		a, _ := efd.NewSigSet(unix.SIGUSR1)
		b, _ := efd.NewSigSet(unix.SIGUSR2)
		check(t, efd.WithSigMask(a, func() error {
			check(t, efd.WithSigMask(b, func() error { return nil }))
			now, err := efd.ThreadSigMask()
			equal(t, "after the inner", now, a)
			return err
		}))
	}},
	{"WithSigMask restores after a panic", func(t *testing.T) {
		before, err := efd.ThreadSigMask()
		check(t, err)
		func() {
			defer func() { recover() }()
			efd.WithSigMask(efd.FullSigSet(), func() error { panic("fn") })
		}()
		after, err := efd.ThreadSigMask()
		check(t, err)
		equal(t, "after", after, before)
	}},
	{"a full mask leaves out what cannot or must not be blocked", func(t *testing.T) {
		native(t, "block the last two signals")
		check(t, efd.WithSigMask(efd.FullSigSet(), func() error {
			now, err := efd.ThreadSigMask()
			equal(t, "mask", now.String(), "~[KILL STOP RTMIN RT_1 RT_2]")
			return err
		}))
	}},
	{"a blocked signal stays pending and comes afterwards", func(t *testing.T) {
		c := notified(t, unix.SIGUSR1)
		usr1, _ := efd.NewSigSet(unix.SIGUSR1)
		check(t, efd.WithSigMask(usr1, func() error {
			check(t, unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1))
			equal(t, "pending", pending(unix.Gettid(), unix.SIGUSR1), true)
			select {
			case <-c:
				t.Error("the signal was delivered")
			default:
			}
			return nil
		}))
		wait(t, c, "the signal was lost")
	}},
}
