//go:build linux

// Package sigblock keeps signals from a thread, those of Go's runtime among
// them, which it sends to preempt.
package sigblock

import "golang.org/x/sys/unix"

// All blocks every signal of the calling thread, which the caller has locked.
// restore sets the mask that it had.
func All() (restore func() error, err error) {
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		return nil, err
	}
	return func() error { return unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }, nil
}
