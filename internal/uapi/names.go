//go:build linux

package uapi

import (
	"golang.org/x/sys/unix"
)

// PollEvents is pollfd.events and pollfd.revents, poll(2).
var PollEvents = Mask{"POLL???", []Name{
	{0x1, "POLLIN"}, {0x2, "POLLPRI"}, {0x4, "POLLOUT"}, {0x8, "POLLERR"}, {0x10, "POLLHUP"}, {0x20, "POLLNVAL"},
	{0x40, "POLLRDNORM"}, {0x80, "POLLRDBAND"}, {pollWRNORM, "POLLWRNORM"}, {pollWRBAND, "POLLWRBAND"},
	{0x400, "POLLMSG"}, {0x1000, "POLLREMOVE"}, {0x2000, "POLLRDHUP"}, {0x8000, "POLL_BUSY_LOOP"},
}}

// EpollEvents is epoll_event.events, epoll_ctl(2).
var EpollEvents = Mask{"EPOLL???", []Name{
	{0x1, "EPOLLIN"}, {0x2, "EPOLLPRI"}, {0x4, "EPOLLOUT"}, {0x8, "EPOLLERR"}, {0x10, "EPOLLHUP"}, {0x20, "EPOLLNVAL"},
	{0x40, "EPOLLRDNORM"}, {0x80, "EPOLLRDBAND"}, {0x100, "EPOLLWRNORM"}, {0x200, "EPOLLWRBAND"}, {0x400, "EPOLLMSG"}, {0x2000, "EPOLLRDHUP"},
	{1 << 28, "EPOLLEXCLUSIVE"}, {1 << 29, "EPOLLWAKEUP"}, {1 << 30, "EPOLLONESHOT"}, {1 << 31, "EPOLLET"},
}}

// EventfdFlags is the second argument of eventfd2, eventfd(2).
var EventfdFlags = Mask{"EFD_???", []Name{
	{1, "EFD_SEMAPHORE"}, {unix.EFD_CLOEXEC, "EFD_CLOEXEC"}, {unix.EFD_NONBLOCK, "EFD_NONBLOCK"},
}}

// EpollCreateFlags is the argument of epoll_create1.
var EpollCreateFlags = Mask{"EPOLL_???", []Name{{unix.EPOLL_CLOEXEC, "EPOLL_CLOEXEC"}}}

// EpollCtlOps is the second argument of epoll_ctl.
var EpollCtlOps = Enum{"EPOLL_CTL_???", []Name{{1, "EPOLL_CTL_ADD"}, {2, "EPOLL_CTL_DEL"}, {3, "EPOLL_CTL_MOD"}}}

// SigMaskHow is the first argument of rt_sigprocmask.
var SigMaskHow = Enum{"SIG_???", []Name{{unix.SIG_BLOCK, "SIG_BLOCK"}, {unix.SIG_UNBLOCK, "SIG_UNBLOCK"}, {unix.SIG_SETMASK, "SIG_SETMASK"}}}

// FcntlCmds is the second argument of fcntl, as far as descriptors go.
var FcntlCmds = Enum{"F_???", []Name{
	{unix.F_DUPFD, "F_DUPFD"}, {unix.F_GETFD, "F_GETFD"}, {unix.F_SETFD, "F_SETFD"}, {unix.F_GETFL, "F_GETFL"}, {unix.F_SETFL, "F_SETFL"},
	{unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"},
}}

// FDFlags are the flags of F_GETFD and F_SETFD.
var FDFlags = Mask{"FD_???", []Name{{unix.FD_CLOEXEC, "FD_CLOEXEC"}}}

// openFlags are the flags of open and fcntl(F_GETFL) besides the access mode.
// FASYNC is the kernel's name for O_ASYNC.
var openFlags = Mask{"O_???", []Name{
	{unix.O_CREAT, "O_CREAT"}, {unix.O_EXCL, "O_EXCL"}, {unix.O_NOCTTY, "O_NOCTTY"}, {unix.O_TRUNC, "O_TRUNC"}, {unix.O_APPEND, "O_APPEND"},
	{unix.O_NONBLOCK, "O_NONBLOCK"}, {unix.O_SYNC, "O_SYNC"}, {unix.O_DSYNC, "O_DSYNC"}, {unix.O_DIRECT, "O_DIRECT"}, {largeFile, "O_LARGEFILE"},
	{unix.O_NOFOLLOW, "O_NOFOLLOW"}, {unix.O_NOATIME, "O_NOATIME"}, {unix.O_CLOEXEC, "O_CLOEXEC"}, {unix.O_PATH, "O_PATH"},
	{unix.O_TMPFILE, "O_TMPFILE"}, {unix.O_DIRECTORY, "O_DIRECTORY"}, {unix.O_ASYNC, "FASYNC"},
}}

var accessModes = [...]string{"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"}

// OpenFlags prints flags of open and F_GETFL as strace does: access mode first.
func OpenFlags(v uint64) string {
	mode := accessModes[v&3]
	rest := v &^ 3
	if rest == 0 {
		return mode
	}
	return mode + "|" + openFlags.String(rest)
}

// EpollIoctls names the requests of ioctl_eventpoll(2).
var EpollIoctls = Enum{"EPIOC???", []Name{{unix.EPIOCSPARAMS, "EPIOCSPARAMS"}, {unix.EPIOCGPARAMS, "EPIOCGPARAMS"}}}

// Ioctl prints a request by its parts, as strace 6.1 does for those that it has
// no name for: the two of epoll are among them.
func Ioctl(req uint64) string {
	dir := "_IOC_NONE"
	switch d := req >> iocDirShift; d {
	case iocRead:
		dir = "_IOC_READ"
	case iocWrite:
		dir = "_IOC_WRITE"
	case iocRead | iocWrite:
		dir = "_IOC_READ|_IOC_WRITE"
	}
	return "_IOC(" + dir + ", " + Hex(req>>8&0xff) + ", " + Hex(req&0xff) + ", " + Hex(req>>16&(1<<(iocDirShift-16)-1)) + ")"
}
