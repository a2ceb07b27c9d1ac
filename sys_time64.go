//go:build amd64 || arm64 || loong64 || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x

package efd

import "golang.org/x/sys/unix"

// Where long has 64 bits there is one time ABI.
const (
	nrFcntl    = unix.SYS_FCNTL
	nrPpoll    = unix.SYS_PPOLL
	nrPselect6 = unix.SYS_PSELECT6
)

// oldTime says that the kernel lacks the calls with 64-bit time.
const oldTime = false

// timeFallback reports whether errno means that the call is to be made again
// with the old time ABI.
func timeFallback(unix.Errno) bool { return false }

const fcntlName = "fcntl"

// timeCall is the name of a call with a time limit.
func timeCall(name string) string { return name }

func rawPpoll(fds []PollFD, ts *timespec, mask *SigSet) (int, unix.Errno) {
	return rawPpollTime64(fds, ts, mask)
}

func rawPselect6(nfds int, r, w, x []fdWord, ts *timespec, mask *SigSet) (int, unix.Errno) {
	return rawPselect6Time64(nfds, r, w, x, ts, mask)
}
