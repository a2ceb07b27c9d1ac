//go:build gc

#include "textflag.h"

// RESULTQ makes the call and returns. An errno comes negated in the place of a
// result. The name ends as that of a quadword instruction does, for go vet.
#define RESULTQ(n, errno) \
	SYSCALL; \
	CMPQ AX, $-4095; \
	JCC  failed; \
	MOVQ AX, n; \
	MOVQ $0, errno; \
	RET; \
failed: \
	NEGQ AX; \
	MOVQ $-1, n; \
	MOVQ AX, errno; \
	RET

// func nowPpoll(fds []PollFD, ts *timespec) (n uintptr, errno unix.Errno)
TEXT ·nowPpoll(SB), NOSPLIT, $0-48
	MOVQ fds_base+0(FP), DI
	MOVQ fds_len+8(FP), SI
	MOVQ ts+24(FP), DX
	XORL R10, R10 // no mask
	MOVL $8, R8
	MOVL $271, AX // ppoll
	RESULTQ(n+32(FP), errno+40(FP))

// func nowPselect6(nfds int, r, w, x []fdWord, ts *timespec) (n uintptr, errno unix.Errno)
TEXT ·nowPselect6(SB), NOSPLIT, $0-104
	MOVQ nfds+0(FP), DI
	MOVQ r_base+8(FP), SI
	MOVQ w_base+32(FP), DX
	MOVQ x_base+56(FP), R10
	MOVQ ts+80(FP), R8
	XORL R9, R9   // no mask
	MOVL $270, AX // pselect6
	RESULTQ(n+88(FP), errno+96(FP))

// func nowEpollPwait(epfd int, events []EpollEvent) (n uintptr, errno unix.Errno)
TEXT ·nowEpollPwait(SB), NOSPLIT, $0-48
	MOVQ epfd+0(FP), DI
	MOVQ events_base+8(FP), SI
	MOVQ events_len+16(FP), DX
	XORL R10, R10 // no time
	XORL R8, R8   // no mask
	MOVL $8, R9
	MOVL $281, AX // epoll_pwait
	RESULTQ(n+32(FP), errno+40(FP))
