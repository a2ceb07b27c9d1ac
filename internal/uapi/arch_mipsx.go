//go:build linux && (mips || mipsle || mips64 || mips64le)

package uapi

// The numbers that this architecture defines itself.
const (
	largeFile   = 0x2000 // the kernel's O_LARGEFILE: libc and Go have 0 if every file is large
	pollWRNORM  = 0x4
	pollWRBAND  = 0x100
	iocDirShift = 29
	iocRead     = 2
	iocWrite    = 4
	signalNames = "HUP INT QUIT ILL TRAP ABRT EMT FPE KILL BUS SEGV SYS PIPE ALRM TERM USR1 USR2 CHLD PWR WINCH URG IO STOP TSTP CONT TTIN TTOU VTALRM PROF XCPU XFSZ"
	lastSignal  = 128
)
