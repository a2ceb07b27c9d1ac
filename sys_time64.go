//go:build linux && (amd64 || arm64 || loong64 || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x)

package efd

import "golang.org/x/sys/unix"

// Where long has 64 bits there is one time ABI.
const (
	nrFcntl    = unix.SYS_FCNTL
	nrPpoll    = unix.SYS_PPOLL
	nrPselect6 = unix.SYS_PSELECT6
)

// hasTime32 says that there are older calls, with 32-bit time.
const hasTime32 = false

// oldTime reports whether the kernel lacks the calls with 64-bit time.
func oldTime() bool { return false }

// timeFallback reports whether a call that failed with errno is to be made
// again with the old time ABI.
func timeFallback(bool, unix.Errno) bool { return false }

const fcntlName = "fcntl"

// timeCall is the name of a call with a time limit.
func timeCall(name string) string { return name }

func oldPpoll([]PollFD, *timespec, *SigSet) (int, unix.Errno) { return 0, unix.ENOSYS }

func oldPselect6(int, []fdWord, []fdWord, []fdWord, *timespec, *sigsetArg) (int, unix.Errno) {
	return 0, unix.ENOSYS
}
