//go:build linux

package efd

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ctlMethod is a method of an Epoll that makes an epoll_ctl(2).
type ctlMethod uint8

const (
	ctlAdd ctlMethod = iota
	ctlModify
	ctlDelete
	ctlAddConn
	ctlModifyConn
	ctlDeleteConn
)

func (m ctlMethod) String() string {
	return [...]string{"Add", "Modify", "Delete", "AddConn", "ModifyConn", "DeleteConn"}[m]
}

func (m ctlMethod) op() int {
	return [...]int{unix.EPOLL_CTL_ADD, unix.EPOLL_CTL_MOD, unix.EPOLL_CTL_DEL}[m%ctlAddConn]
}

// ctlRules are the rules that the errors of epoll_ctl stand for.
var ctlRules = [...]struct {
	errno unix.Errno
	rule  string
}{
	{unix.EBADF, ": want an open descriptor"},
	{unix.EEXIST, " is registered already: want Modify"},
	{unix.ENOENT, " is not registered"},
	{unix.EPERM, " is a file that is always ready, such as a regular one: want Poll"},
	{unix.ELOOP, " is an epoll: want no circle, and five levels at most"},
	{unix.ENOSPC, ": the user has no watch left of fs.epoll.max_user_watches"},
}

// ctlFailed has, for each of ctlRules, the error of the fd that met it last. A
// loop that meets the same one again allocates nothing.
var ctlFailed [len(ctlRules)]atomic.Pointer[ctlError]

type ctlError struct {
	callError
	m  ctlMethod
	fd int
}

// fail is the error of m's epoll_ctl for fd.
func (m ctlMethod) fail(errno unix.Errno, fd int) error {
	err := opEpollCtl.fail(errno)
	for i := range ctlRules {
		if ctlRules[i].errno != errno {
			continue
		}
		if e := ctlFailed[i].Load(); e != nil && e.fd == fd && e.m == m {
			return &e.callError
		}
		e := &ctlError{callError{sprintf("Epoll.%s: fd %d%s", m.String(), fd, ctlRules[i].rule), err}, m, fd}
		ctlFailed[i].Store(e)
		return &e.callError
	}
	return &callError{sprintf("Epoll.%s: fd %d", m.String(), fd), err}
}

// checkExclusive refuses events that EPOLLEXCLUSIVE excludes.
func checkExclusive(m ctlMethod, fd int, events EpollEvents) error {
	const allowed = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE
	if m.op() == unix.EPOLL_CTL_MOD {
		return badArg(unix.EINVAL, "Epoll.%s: fd %d: events %s: EPOLLEXCLUSIVE can be given to Add only", m.String(), fd, events.String())
	}
	if bad := events &^ allowed; bad != 0 {
		return badArg(unix.EINVAL, "Epoll.%s: fd %d: events %s: EPOLLEXCLUSIVE goes with EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLWAKEUP and EPOLLET, not with %s",
			m.String(), fd, events.String(), bad.String())
	}
	return nil
}
