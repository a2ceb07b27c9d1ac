//go:build linux && (ppc64 || ppc64le)

package uapi

// The numbers that this architecture defines itself.
const (
	largeFile   = 0x10000 // the kernel's O_LARGEFILE: libc and Go have 0 if every file is large
	pollWRNORM  = 0x100
	pollWRBAND  = 0x200
	iocDirShift = 29
	iocRead     = 2
	iocWrite    = 4
	signalNames = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
	lastSignal  = 64
)
