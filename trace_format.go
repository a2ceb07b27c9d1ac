//go:build linux

package efd

import (
	"slices"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// call prints the arguments of r as strace does. Arguments that strace prints
// after the call are printed as addresses if the call has failed.
func (r *record) call() *Call {
	c := &Call{Syscall: r.name, Ret: r.ret, Errno: r.errno, TID: r.tid, FD: r.fd(), Start: r.start, Mono: r.mono, Duration: r.took, path: r.pathName()}
	c.Args = r.args()
	return c
}

// fd is the descriptor that the call is for, -1 if there is none or several.
func (r *record) fd() int {
	switch r.kind {
	case kindEventfd2, kindPpoll, kindPselect6, kindEpollCreate1, kindRtSigprocmask, kindOpenat:
		return -1
	}
	return int(int32(r.arg[0]))
}

func (r *record) args() []Arg {
	a := &r.arg
	switch r.kind {
	case kindEventfd2:
		return []Arg{{"initval", unsigned(a[0]), ""}, {"flags", uapi.EventfdFlags.Strace(uint64(a[1])), ""}}
	case kindRead, kindReadText:
		buf := Arg{Name: "buf", In: uapi.Addr(a[1])}
		if r.errno == 0 {
			buf.Out = uapi.Bytes(r.after.bytes[:r.ret])
		}
		return []Arg{{"fd", signed(a[0]), ""}, buf, {"count", unsigned(a[2]), ""}}
	case kindPreadv2:
		return r.preadv2Args()
	case kindWrite:
		return []Arg{{"fd", signed(a[0]), ""}, {"buf", uapi.Bytes(r.before.bytes), ""}, {"count", unsigned(a[2]), ""}}
	case kindClose:
		return []Arg{{"fd", signed(a[0]), ""}}
	case kindFcntl:
		return r.fcntlArgs()
	case kindPpoll:
		return r.ppollArgs()
	case kindPselect6:
		return r.pselect6Args()
	case kindEpollCreate1:
		return []Arg{{"flags", uapi.EpollCreateFlags.Strace(uint64(a[0])), ""}}
	case kindEpollCtl:
		ev := uapi.Addr(a[3])
		if int(a[1]) != unix.EPOLL_CTL_DEL && len(r.before.events) > 0 {
			ev = uapiEvent(r.before.events[0]).String()
		}
		return []Arg{{"epfd", signed(a[0]), ""}, {"op", uapi.EpollCtlOps.Strace(uint64(a[1])), ""}, {"fd", signed(a[2]), ""}, {"event", ev, ""}}
	case kindEpollPwait, kindEpollPwait2:
		return r.epollWaitArgs()
	case kindIoctl:
		return []Arg{{"fd", signed(a[0]), ""}, {"op", uapi.Ioctl(uint64(a[1])), ""}, {"argp", uapi.Hex(uint64(a[2])), ""}}
	case kindRtSigprocmask:
		old := Arg{Name: "oldset", In: uapi.Addr(a[2])}
		if r.errno == 0 && len(r.after.old) > 0 {
			old.Out = r.after.old[0].String()
		}
		return []Arg{{"how", uapi.SigMaskHow.Strace(uint64(a[0])), ""}, {"set", maskArg(r.before.mask), ""}, old, {"sigsetsize", unsigned(a[3]), ""}}
	case kindOpenat:
		return []Arg{{"dirfd", "AT_FDCWD", ""}, {"pathname", uapi.Text(string(r.before.bytes)), ""}, {"flags", uapi.OpenFlags(unix.O_RDONLY | unix.O_CLOEXEC), ""}}
	}
	return nil
}

// preadv2Args has the one iovec that the call is made with.
func (r *record) preadv2Args() []Arg {
	iov := func(base string) string { return "[{iov_base=" + base + ", iov_len=8}]" }
	vec := Arg{Name: "iov", In: iov(uapi.Addr(r.arg[1]))}
	if r.errno == 0 {
		vec.Out = iov(uapi.Bytes(r.after.bytes))
	}
	return []Arg{{"fd", signed(r.arg[0]), ""}, vec, {"iovcnt", "1", ""}, {"offset", "-1", ""}, {"flags", "RWF_NOWAIT", ""}}
}

func (r *record) fcntlArgs() []Arg {
	cmd, arg := int(r.arg[1]), r.arg[2]
	args := []Arg{{"fd", signed(r.arg[0]), ""}, {"op", uapi.FcntlCmds.Strace(uint64(cmd)), ""}}
	switch cmd {
	case unix.F_GETFD, unix.F_GETFL:
		return args
	case unix.F_SETFD:
		return append(args, Arg{"arg", uapi.FDFlags.Strace(uint64(arg)), ""})
	case unix.F_SETFL:
		return append(args, Arg{"arg", uapi.OpenFlags(uint64(arg)), ""})
	}
	return append(args, Arg{"arg", strconv.FormatInt(int64(arg), 10), ""})
}

func (r *record) ppollArgs() []Arg {
	fds, tmo := Arg{Name: "fds", In: uapi.Addr(r.arg[0])}, r.timeout("tmo_p")
	if r.arg[0] != 0 {
		fds.In = uapi.PollFDs(uapiFDs(r.before.fds))
	}
	if r.errno == 0 && r.ret > 0 {
		fds.Out = uapi.PollReady(uapiFDs(r.after.fds))
	}
	return []Arg{fds, {"nfds", unsigned(r.arg[1]), ""}, tmo, {"sigmask", maskArg(r.before.mask), ""}, {"sigsetsize", unsigned(r.arg[4]), ""}}
}

// timeout prints a timeout in which the call leaves the remaining time.
func (r *record) timeout(name string) Arg {
	tmo := Arg{Name: name, In: tsArg(r.before.ts)}
	if (r.errno == 0 || r.errno == unix.EINTR) && len(r.after.ts) > 0 {
		tmo.Out = tsArg(r.after.ts)
	}
	return tmo
}

func (r *record) pselect6Args() []Arg {
	// strace follows the kernel in reading no negative number, and stops at a million.
	nfds := max(0, min(int(r.arg[0]), 1<<20))
	args := []Arg{{"nfds", signed(r.arg[0]), ""}}
	for i, name := range [...]string{"readfds", "writefds", "exceptfds"} {
		set := Arg{Name: name, In: uapi.Addr(r.arg[i+1])}
		if r.arg[i+1] != 0 && nfds > 0 {
			set.In = setArg(r.before.sets[i], nfds)
			if r.errno == 0 {
				set.Out = setArg(r.after.sets[i], nfds)
			}
		}
		args = append(args, set)
	}
	mask := "NULL"
	if len(r.before.mask) > 0 {
		mask = "{sigmask=" + maskArg(r.before.mask) + ", sigsetsize=" + strconv.Itoa(int(sigsetSize)) + "}"
	}
	return append(args, r.timeout("timeout"), Arg{"sigmask", mask, ""})
}

func setArg(words []fdWord, nfds int) string {
	return uapi.FDSet(func(yield func(int) bool) {
		eachFD(words, func(fd int) bool { return fd < nfds && yield(fd) })
	})
}

func (r *record) epollWaitArgs() []Arg {
	events := Arg{Name: "events", In: uapi.Addr(r.arg[1])}
	timeout, mask := Arg{Name: "timeout", In: signed(r.arg[3])}, maskArg(r.before.mask)
	if r.kind == kindEpollPwait2 {
		timeout.In = tsArg(r.before.ts)
	}
	if r.errno == 0 {
		evs := make([]uapi.EpollEvent, len(r.after.events))
		for i, ev := range r.after.events {
			evs[i] = uapiEvent(ev)
		}
		events.Out = uapi.EpollEventList(evs)
	} else {
		mask = uapi.Addr(r.arg[4])
		if r.kind == kindEpollPwait2 {
			timeout.In = uapi.Addr(r.arg[3])
		}
	}
	return []Arg{{"epfd", signed(r.arg[0]), ""}, events, {"maxevents", signed(r.arg[2]), ""}, timeout, {"sigmask", mask, ""}, {"sigsetsize", unsigned(r.arg[5]), ""}}
}

func tsArg(ts []timespec) string {
	if len(ts) == 0 {
		return "NULL"
	}
	return uapi.Timespec(ts[0].sec, ts[0].nsec)
}

func maskArg(mask []SigSet) string {
	if len(mask) == 0 {
		return "NULL"
	}
	return mask[0].String()
}

func uapiFDs(fds []PollFD) []uapi.PollFD {
	out := make([]uapi.PollFD, len(fds))
	for i, f := range fds {
		out[i] = uapi.PollFD{FD: f.FD, Events: int16(f.Events), Revents: int16(f.Revents)}
	}
	return out
}

func uapiEvent(ev EpollEvent) uapi.EpollEvent {
	return uapi.EpollEvent{Events: ev.events, Data: ev.Data()}
}

// The kernel takes descriptors, counts and flags as int: the upper half of a
// register says nothing.
func signed(a uintptr) string   { return strconv.Itoa(int(int32(a))) }
func unsigned(a uintptr) string { return strconv.FormatUint(uint64(uint32(a)), 10) }

// String prints the call and its result. See [Call].
func (c *Call) String() string {
	var b strings.Builder
	b.WriteString(c.Syscall)
	b.WriteByte('(')
	for i, a := range c.Args {
		if i > 0 {
			b.WriteString(", ")
		}
		if a.Out != "" && !c.printsAfter() {
			b.WriteString(a.Out)
		} else {
			b.WriteString(a.In)
		}
	}
	b.WriteString(") = ")
	b.WriteString(c.result())
	return b.String()
}

// printsAfter reports whether strace prints the results in the arguments after
// the return value, and not in place.
func (c *Call) printsAfter() bool {
	switch c.Syscall {
	case "ppoll", "ppoll_time64", "pselect6", "pselect6_time64":
		return true
	}
	return false
}

func (c *Call) result() string {
	if c.Errno != 0 {
		return "-1 " + uapi.Errno(c.Errno)
	}
	out := func(i int) string {
		if i < len(c.Args) {
			return c.Args[i].Out
		}
		return ""
	}
	ret := strconv.Itoa(c.Ret)
	after := ""
	switch {
	case c.printsAfter() && c.Ret == 0:
		after = "Timeout"
	case strings.HasPrefix(c.Syscall, "ppoll"):
		after = uapi.PollResult(out(0), out(2))
	case strings.HasPrefix(c.Syscall, "pselect6"):
		after = uapi.SelectResult(c.Ret, out(1), out(2), out(3), out(4))
	case strings.HasPrefix(c.Syscall, "fcntl") && len(c.Args) > 1:
		switch {
		case c.Args[1].In == "F_GETFL":
			ret, after = uapi.Hex(uint64(c.Ret)), "flags "+uapi.OpenFlags(uint64(c.Ret))
		case c.Args[1].In == "F_GETFD" && c.Ret != 0:
			ret, after = uapi.Hex(uint64(c.Ret)), "flags "+uapi.FDFlags.Strace(uint64(c.Ret))
		}
	}
	if after != "" {
		ret += " (" + after + ")"
	}
	return ret
}

// reportAll hands r to every tracer, unless a tracer made the call.
func reportAll(r *record) {
	all := tracing.Load()
	if all == nil || !inTracer.enter(r.tid) {
		return
	}
	defer inTracer.leave(r.tid)
	c := r.call()
	for _, t := range all.list {
		own := *c
		own.Args = slices.Clone(c.Args)
		t.fn(&own)
	}
}
