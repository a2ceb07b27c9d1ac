//go:build linux

package strace

import (
	"strconv"
	"strings"
)

// intern returns the one string of a name.
func (r *Reader) intern(b []byte) string {
	recent := &r.recent[(len(b)*8+int(b[0])+int(b[len(b)-1]))&(len(r.recent)-1)]
	if *recent != string(b) {
		*recent = r.known(b)
	}
	return *recent
}

func (r *Reader) known(b []byte) string {
	if s, ok := r.names[string(b)]; ok {
		return s
	}
	s := string(b)
	name := numbered(s)
	if len(r.names) < 2048 {
		r.names[s] = name
	}
	return name
}

// numbered is the name of a call that a version of strace older than the call
// prints as "syscall_0x1b9", or "syscall_441"; other names are as they were.
// These numbers are the same on every architecture but alpha. clone3 is not
// here: without its flags it says less than the thread that appears.
func numbered(name string) string {
	digits, ok := strings.CutPrefix(name, "syscall_")
	if !ok {
		return name
	}
	switch n, err := strconv.ParseUint(digits, 0, 32); {
	case err != nil:
	case n == 413:
		return "pselect6_time64"
	case n == 414:
		return "ppoll_time64"
	case n == 425:
		return "io_uring_setup"
	case n == 434:
		return "pidfd_open"
	case n == 436:
		return "close_range"
	case n == 437:
		return "openat2"
	case n == 438:
		return "pidfd_getfd"
	case n == 441:
		return "epoll_pwait2"
	}
	return name
}
