package efd

import "golang.org/x/sys/unix"

func traceEventfd2(initval, flags uint32) (int, unix.Errno) { return rawEventfd2(initval, flags) }

func traceRead(fd int, v *uint64, sleeps bool) (int, unix.Errno) { return rawRead(fd, v, sleeps) }

func traceWrite(fd int, v *uint64, sleeps bool) (int, unix.Errno) { return rawWrite(fd, v, sleeps) }

func traceClose(fd int) unix.Errno { return rawClose(fd) }

func traceFcntl(fd, cmd, arg int) (int, unix.Errno) { return rawFcntl(fd, cmd, arg) }

func tracePpoll(fds []PollFD, ts *timespec, mask *SigSet) (int, unix.Errno) {
	return rawPpoll(fds, ts, mask)
}

func tracePselect6(nfds int, r, w, x []fdWord, ts *timespec, mask *SigSet) (int, unix.Errno) {
	return rawPselect6(nfds, r, w, x, ts, mask)
}

func traceEpollCreate1(flags int) (int, unix.Errno) { return rawEpollCreate1(flags) }

func traceEpollCtl(epfd, op, fd int, ev *EpollEvent) unix.Errno { return rawEpollCtl(epfd, op, fd, ev) }

func traceEpollPwait(epfd int, events []EpollEvent, msec int32, mask *SigSet) (int, unix.Errno) {
	return rawEpollPwait(epfd, events, msec, mask)
}

func traceEpollPwait2(epfd int, events []EpollEvent, ts *timespec, mask *SigSet) (int, unix.Errno) {
	return rawEpollPwait2(epfd, events, ts, mask)
}

func traceEpollParams(epfd int, req uint32, p *epollParams) unix.Errno {
	return rawEpollParams(epfd, req, p)
}

func traceRtSigprocmask(how int, set, old *SigSet) unix.Errno { return rawRtSigprocmask(how, set, old) }

func traceOpen(path []byte) (int, unix.Errno) { return rawOpen(path) }

func traceReadBytes(fd int, b []byte) (int, unix.Errno) { return rawReadBytes(fd, b) }
