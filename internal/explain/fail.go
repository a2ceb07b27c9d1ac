//go:build linux

package explain

import (
	"bytes"
	"math"

	"github.com/efd-go/efd/internal/ktrace/reach"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// fails notes how far a call got that failed, and in words why. Called again
// for a further possible cause, what is common to all is taken as reached.
func (n *Note) fails(way, why string) {
	n.way(way)
	if n.why != "" {
		n.why += ", or "
	}
	n.why += why
}

// wrote reports whether a call failed only when it copied its result out.
func (n *Note) wrote() bool {
	wrote := false
	for _, w := range n.Ways {
		if w == "EFAULT:write" || w == "EFAULT:copy" {
			wrote = true
		} else if reach.IsErrno(w) {
			return false
		}
	}
	return wrote
}

// isAddress reports whether strace printed an argument as an address: it could
// not read what is there, or had an option not to.
func isAddress(a []byte) bool { return bytes.HasPrefix(a, []byte("0x")) }

// inUser reports whether an address is below the end of user space on every
// machine of 64 bits, so that only the copying itself can fail.
func inUser(a []byte) bool {
	if strace.Null(a) {
		return true
	}
	v, ok := strace.Int(a)
	return ok && v >= 0 && v < 1<<47
}

// badTime reports whether a time that strace printed is none to the kernel.
// The microseconds of select may be a million and more.
func badTime(a []byte, unit int64) bool {
	if bytes.Contains(a, []byte("=-")) || bytes.Contains(a, []byte("{-")) || bytes.Contains(a, []byte(", -")) {
		return true
	}
	i := bytes.LastIndexAny(a, "=, ")
	if i < 0 {
		return false
	}
	v, ok := strace.Int(bytes.TrimRight(a[i+1:], "}"))
	return ok && (v < 0 || unit == 1 && v >= 1e9) // what is negative, strace prints as 2^64 and less
}

// badSize reports whether the size of a signal mask is given and is that of no
// kernel's sigset_t.
func badSize(a []byte) bool {
	v, ok := strace.Int(a)
	return ok && v != 8 && v != 16
}

const (
	whyTime     = "the time-out is no valid time"
	whyMaskSize = "the size given for the mask is not that of the kernel's sigset_t"
	whyTimeAt   = "the time-out cannot be read"
	whyMaskAt   = "the mask cannot be read"
	whyNfds     = "more descriptors than the soft limit RLIMIT_NOFILE"
)

// maskArg splits the mask and its size from the arguments at i. pselect6 has
// both in one structure.
func maskArg(c *strace.Call, i int) (mask, size []byte) {
	mask = arg(c, i)
	if mask == nil || strace.Null(mask) {
		return nil, nil
	}
	if c.Name != "pselect6" && c.Name != "pselect6_time64" {
		return mask, arg(c, i+1)
	}
	in := bytes.TrimRight(mask, "}")
	at := bytes.LastIndexAny(in, "=, ")
	if isAddress(mask) || at < 0 {
		return mask, nil
	}
	size, mask = in[at+1:], bytes.TrimPrefix(mask, []byte("{"))
	mask = bytes.TrimPrefix(mask, []byte("sigmask="))
	if bytes.HasPrefix(mask, []byte("NULL")) {
		return nil, nil
	}
	return mask, size
}

// timeOrMask notes what of a time-out and a mask can have made a call fail,
// and reports whether that is certain.
func (n *Note) timeOrMask(c *strace.Call, timeout, mask, size []byte, unit int64) (certain bool) {
	given := timeout != nil && !strace.Null(timeout)
	switch c.Errno {
	case "EINVAL":
		switch {
		case given && badTime(timeout, unit):
			n.fails("EINVAL:timeout", whyTime)
			return true
		case given && isAddress(timeout):
			n.fails("EINVAL:timeout", whyTime)
		}
		if mask != nil && badSize(size) {
			n.fails("EINVAL:mask", whyMaskSize)
			return true
		}
	case "EFAULT":
		if given && isAddress(timeout) {
			n.fails("EFAULT:timeout", whyTimeAt)
		}
		if mask != nil && isAddress(mask) {
			n.fails("EFAULT:mask", whyMaskAt)
		}
	}
	return false
}

func (n *Note) pollFails(c *strace.Call) {
	if n.Outcome != Failed {
		return
	}
	if c.Name != "poll" {
		mask, size := maskArg(c, 3)
		if n.timeOrMask(c, arg(c, 2), mask, size, 1) {
			return
		}
	}
	fds := arg(c, 0)
	switch c.Errno {
	case "EINVAL":
		n.fails("EINVAL", whyNfds)
	case "ENOMEM":
		n.fails("ENOMEM", "no memory for the list of descriptors, or for a page of entries")
	case "EFAULT":
		switch {
		case isAddress(fds) || strace.Null(fds):
			n.fails("EFAULT", "the array cannot be read")
		case n.why == "":
			n.fails("EFAULT:write", "the answers cannot be written back")
		}
	}
}

func (n *Note) selectFails(c *strace.Call) {
	if n.Outcome != Failed {
		return
	}
	var mask, size []byte
	if c.Name != "select" && c.Name != "_newselect" {
		mask, size = maskArg(c, 5)
		if c.Errno == "EFAULT" && mask != nil && size == nil {
			n.fails("EFAULT:pair", "the pair of mask and size cannot be read")
		}
	}
	if n.timeOrMask(c, arg(c, 4), mask, size, int64(unit(c.Name))) {
		return
	}
	switch c.Errno {
	case "EBADF":
		n.fails("EBADF", "a descriptor in one of the sets is not open")
	case "EINVAL":
		n.fails("EINVAL", "the number of descriptors is negative")
	case "ENOMEM":
		n.fails("ENOMEM", "no memory for the bitmaps, or for a page of entries")
	case "EFAULT":
		sets := isAddress(arg(c, 1)) || isAddress(arg(c, 2)) || isAddress(arg(c, 3))
		switch {
		case sets:
			n.fails("EFAULT", "a set cannot be read")
		case n.why == "":
			n.fails("EFAULT:write", "a set cannot be written back")
		}
	}
}

func (n *Note) epollWaitFails(c *strace.Call, ep *file) {
	if n.Outcome != Failed {
		return
	}
	if c.Name != "epoll_wait" {
		mask, size := maskArg(c, 4)
		var timeout []byte
		if c.Name == "epoll_pwait2" {
			timeout = arg(c, 3)
		}
		if n.timeOrMask(c, timeout, mask, size, 1) {
			return
		}
	}
	switch c.Errno {
	case "EBADF":
		n.fails("EBADF", "it is not open")
	case "EINVAL":
		most, ok := strace.Int(arg(c, 2))
		switch {
		case ok && (most <= 0 || most > math.MaxInt32/12):
			n.fails("EINVAL", "maxevents has to be above 0, and no more than INT_MAX bytes of events")
		case ok && n.why != "" && ep.made > 0:
		case ok:
			n.fails("EINVAL", "it is no epoll")
		default:
			n.fails("EINVAL", "it is no epoll, or maxevents is not above 0")
		}
	case "EFAULT":
		if inUser(arg(c, 1)) {
			n.fails("EFAULT:copy", "the events cannot be copied to that address")
		} else {
			n.fails("EFAULT", "the address for the events is outside of user space")
		}
	}
}

// transferFails is for a read or write of an eventfd.
func (n *Note) transferFails(c *strace.Call, write bool) {
	if n.Outcome != Failed {
		return
	}
	switch c.Errno {
	case "EBADF":
		n.fails("EBADF", "it is not open")
	case "EFAULT":
		switch {
		case !inUser(arg(c, 1)):
			n.fails("EFAULT", "the buffer is outside of user space")
		case write:
			n.fails("EFAULT:copy", "the value cannot be read there")
		default:
			n.fails("EFAULT:copy", "the value cannot be written there, and is lost: the counter gave it away before")
		}
	case "EINVAL":
		length, ok := strace.Int(arg(c, 2))
		if write && ok && length == 8 {
			n.way("EINVAL:value")
		} else {
			n.way("EINVAL")
		}
	}
}

// whyMake and whyCtl are the errors of eventfd2 and epoll_create1, and of
// epoll_ctl, that have one cause.
var (
	whyMake = map[string]string{
		"EINVAL": "an unknown flag",
		"EMFILE": "the process has no free descriptor below its soft limit RLIMIT_NOFILE",
		"ENFILE": "the system has no room for a further open file, /proc/sys/fs/file-max",
		"ENOMEM": "no memory",
	}
	whyCtl = map[string]string{
		"EBADF":  "one of the two is not open",
		"EFAULT": "the struct epoll_event cannot be read",
		"EPERM":  "the file has no poll operation",
		"EEXIST": "it is in already",
		"ENOENT": "it is not in",
		"ELOOP":  "a ring of epolls, or too deep a nesting",
		"ENOSPC": "the user's limit max_user_watches",
		"ENOMEM": "no memory for the item, or for its entry on the file's wait queue",
	}
)

// makeFails is for eventfd2 and epoll_create1.
func (n *Note) makeFails(c *strace.Call) {
	n.say(c.Errno)
	if why := whyMake[c.Errno]; why != "" {
		n.fails(c.Errno, why)
		n.say(": ", n.why)
	}
}

// ctlFails is for epoll_ctl. plain says that EPOLLEXCLUSIVE stands with
// nothing that it may not.
func (n *Note) ctlFails(c *strace.Call, op string, ep, target *file, exclusive, plain bool) {
	if c.Errno == "ELOOP" {
		n.branch("nested")
	}
	if c.Errno == "EINVAL" {
		n.ctlInvalid(op, ep, target, exclusive, plain)
	} else if why := whyCtl[c.Errno]; why != "" {
		n.fails(c.Errno, why)
	}
}

// ctlInvalid distinguishes the causes of EINVAL, as far as the call shows them.
func (n *Note) ctlInvalid(op string, ep, target *file, exclusive, plain bool) {
	known := ep.made > 0 || ep.waits > 0 // and so an epoll
	switch {
	case ep == target:
		n.fails("EINVAL", "an epoll cannot be in itself")
	case ep.kind != "" && ep.kind != "epoll":
		n.fails("EINVAL", "the first descriptor is no epoll")
	case op == "":
		n.fails("EINVAL:found", "no such operation")
		if !known {
			n.fails("EINVAL", "the first descriptor is no epoll")
		}
	case exclusive && op == "modify":
		n.fails("EINVAL", "EPOLLEXCLUSIVE is for EPOLL_CTL_ADD alone")
	case exclusive && op == "add" && (target.kind == "epoll" || !plain):
		n.fails("EINVAL", "EPOLLEXCLUSIVE goes with EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLWAKEUP and EPOLLET alone, and not with an epoll")
	case op == "modify" && known:
		n.fails("EINVAL:found", "it was put in with EPOLLEXCLUSIVE, and such an item cannot be changed")
	case op == "modify":
		n.fails("EINVAL", "the first descriptor is no epoll")
		n.fails("EINVAL:found", "the item was put in with EPOLLEXCLUSIVE")
	case op == "add" && known:
		n.fails("EINVAL:paths", "too many wake-up paths through epolls would end at this file")
	case op == "add":
		n.fails("EINVAL", "the first descriptor is no epoll")
		n.fails("EINVAL:paths", "too many wake-up paths through epolls would end at this file")
	default:
		n.fails("EINVAL", "the first descriptor is no epoll")
	}
}
