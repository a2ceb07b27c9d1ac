//go:build linux

package efd

import (
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// callText is the text of a call's arguments: In and Out of each, one after the
// other, in one buffer that is used again.
type callText struct {
	b    []byte
	n    int
	args [6]argText

	fds    []uapi.PollFD
	events []uapi.EpollEvent
}

// callTexts has those that are not in use.
var callTexts = sync.Pool{New: func() any { return new(callText) }}

// argText has the places at which an argument's In and Out begin.
type argText struct {
	name    string
	in, out int
}

// arg begins an argument. The bytes appended until out are its In. It is not
// inlined, as the methods of record and memory are not: each has many callers,
// and every program that imports the package compiles them all.
//
//go:noinline
func (t *callText) arg(name string) {
	t.args[t.n] = argText{name, len(t.b), -1}
	t.n++
}

// out ends the In of the last argument and begins its Out.
func (t *callText) out() { t.args[t.n-1].out = len(t.b) }

func (t *callText) text(name, in string) {
	t.arg(name)
	t.b = append(t.b, in...)
}

// The kernel takes descriptors, counts and flags as int: the upper half of a
// register says nothing.
func (t *callText) signed(name string, a uintptr) {
	t.arg(name)
	t.b = strconv.AppendInt(t.b, int64(int32(a)), 10)
}

func (t *callText) unsigned(name string, a uintptr) {
	t.arg(name)
	t.b = strconv.AppendUint(t.b, uint64(uint32(a)), 10)
}

func (t *callText) addr(name string, a uintptr) {
	t.arg(name)
	t.b = uapi.AppendAddr(t.b, a)
}

func (t *callText) mask(name string, m *uapi.Mask, a uintptr) {
	t.arg(name)
	t.b = m.AppendStrace(t.b, uint64(a))
}

func (t *callText) timespec(ts []timespec) {
	if len(ts) == 0 {
		t.b = append(t.b, "NULL"...)
		return
	}
	t.b = uapi.AppendTimespec(t.b, ts[0].sec, ts[0].nsec)
}

func (t *callText) sigset(mask []SigSet) {
	if len(mask) == 0 {
		t.b = append(t.b, "NULL"...)
		return
	}
	t.b = append(t.b, mask[0].String()...)
}

// fill makes args of the texts, which all are in s.
func (t *callText) fill(args []Arg, s string) {
	for i, a := range t.args[:t.n] {
		end := len(s)
		if i+1 < t.n {
			end = t.args[i+1].in
		}
		args[i] = Arg{Name: a.name, In: s[a.in:end]}
		if a.out >= 0 {
			args[i].In, args[i].Out = s[a.in:a.out], s[a.out:end]
		}
	}
}

// A call and its arguments are one object, in two sizes: a tracer costs one
// allocation per call.
type (
	shortCall struct {
		Call
		args [4]Arg
		text [64]byte
	}
	longCall struct {
		Call
		args [6]Arg
		text [96]byte
	}
)

// call makes the Call of r, whose arguments are printed as strace does.
func (r *record) call(t *callText) *Call {
	var c *Call
	var args []Arg
	var text []byte
	if t.n <= len(shortCall{}.args) && len(t.b) <= len(shortCall{}.text) {
		o := new(shortCall)
		c, args, text = &o.Call, o.args[:t.n:t.n], o.text[:len(t.b)]
	} else {
		o := new(longCall)
		c, args = &o.Call, o.args[:t.n:t.n]
		if len(t.b) <= len(o.text) {
			text = o.text[:len(t.b)]
		} else {
			text = make([]byte, len(t.b))
		}
	}
	copy(text, t.b)
	t.fill(args, unsafe.String(unsafe.SliceData(text), len(text))) // text does not change from here on
	*c = Call{Syscall: r.name, Args: args, Ret: r.ret, Errno: r.errno, TID: r.tid, FD: r.fd(),
		Start: r.start, Mono: r.mono, Duration: r.took, path: r.pathName()}
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

// print writes the text of r's arguments. Those that strace prints after the call are printed
// as addresses if the call has failed.
func (r *record) print(t *callText) {
	a := &r.arg
	t.b, t.n = t.b[:0], 0
	switch r.kind {
	case kindEventfd2:
		t.unsigned("initval", a[0])
		t.mask("flags", &uapi.EventfdFlags, a[1])
	case kindRead, kindReadText:
		t.signed("fd", a[0])
		t.addr("buf", a[1])
		if r.errno == 0 {
			t.out()
			t.b = uapi.AppendBytes(t.b, r.after.bytes[:r.ret])
		}
		t.unsigned("count", a[2])
	case kindPreadv2:
		r.printPreadv2(t)
	case kindWrite:
		t.signed("fd", a[0])
		t.arg("buf")
		t.b = uapi.AppendBytes(t.b, r.before.bytes)
		t.unsigned("count", a[2])
	case kindClose:
		t.signed("fd", a[0])
	case kindFcntl:
		r.printFcntl(t)
	case kindPpoll:
		r.printPpoll(t)
	case kindPselect6:
		r.printPselect6(t)
	case kindEpollCreate1:
		t.mask("flags", &uapi.EpollCreateFlags, a[0])
	case kindEpollCtl:
		t.signed("epfd", a[0])
		t.text("op", uapi.EpollCtlOps.Strace(uint64(a[1])))
		t.signed("fd", a[2])
		t.arg("event")
		if int(a[1]) != unix.EPOLL_CTL_DEL && len(r.before.events) > 0 {
			t.b = uapiEvent(r.before.events[0]).AppendTo(t.b)
		} else {
			t.b = uapi.AppendAddr(t.b, a[3])
		}
	case kindEpollPwait, kindEpollPwait2:
		r.printEpollWait(t)
	case kindIoctl:
		t.signed("fd", a[0])
		t.text("op", uapi.Ioctl(uint64(a[1])))
		t.arg("argp")
		t.b = uapi.AppendHex(t.b, uint64(a[2]))
	case kindRtSigprocmask:
		t.text("how", uapi.SigMaskHow.Strace(uint64(a[0])))
		t.arg("set")
		t.sigset(r.before.mask)
		t.addr("oldset", a[2])
		if r.errno == 0 && len(r.after.mask) > 0 {
			t.out()
			t.sigset(r.after.mask)
		}
		t.unsigned("sigsetsize", a[3])
	case kindOpenat:
		t.text("dirfd", "AT_FDCWD")
		t.arg("pathname")
		t.b = uapi.AppendText(t.b, r.before.bytes)
		t.text("flags", uapi.OpenFlags(unix.O_RDONLY|unix.O_CLOEXEC))
	}
}

// printPreadv2 prints the one iovec that the call is made with.
func (r *record) printPreadv2(t *callText) {
	const before, after = "[{iov_base=", ", iov_len=8}]"
	t.signed("fd", r.arg[0])
	t.text("iov", before)
	t.b = append(uapi.AppendAddr(t.b, r.arg[1]), after...)
	if r.errno == 0 {
		t.out()
		t.b = append(uapi.AppendBytes(append(t.b, before...), r.after.bytes), after...)
	}
	t.text("iovcnt", "1")
	t.text("offset", "-1")
	t.text("flags", "RWF_NOWAIT")
}

func (r *record) printFcntl(t *callText) {
	cmd, arg := int(r.arg[1]), r.arg[2]
	t.signed("fd", r.arg[0])
	t.text("op", uapi.FcntlCmds.Strace(uint64(cmd)))
	switch cmd {
	case unix.F_GETFD, unix.F_GETFL:
	case unix.F_SETFD:
		t.mask("arg", &uapi.FDFlags, arg)
	case unix.F_SETFL:
		t.text("arg", uapi.OpenFlags(uint64(arg)))
	default:
		t.arg("arg")
		t.b = strconv.AppendInt(t.b, int64(arg), 10)
	}
}

func (r *record) printPpoll(t *callText) {
	t.arg("fds")
	if r.arg[0] != 0 {
		t.b = uapi.AppendPollFDs(t.b, t.pollFDs(r.before.fds))
	} else {
		t.b = uapi.AppendAddr(t.b, 0)
	}
	if r.errno == 0 && r.ret > 0 {
		t.out()
		t.b = uapi.AppendPollReady(t.b, t.pollFDs(r.after.fds))
	}
	t.unsigned("nfds", r.arg[1])
	r.printTimeout(t, "tmo_p")
	t.arg("sigmask")
	t.sigset(r.before.mask)
	t.unsigned("sigsetsize", r.arg[4])
}

// printTimeout prints a timeout in which the call leaves the remaining time.
func (r *record) printTimeout(t *callText, name string) {
	t.arg(name)
	t.timespec(r.before.ts)
	if (r.errno == 0 || r.errno == unix.EINTR) && len(r.after.ts) > 0 {
		t.out()
		t.timespec(r.after.ts)
	}
}

func (r *record) printPselect6(t *callText) {
	// strace follows the kernel in reading no negative number, and stops at a million.
	nfds := max(0, min(int(r.arg[0]), 1<<20))
	t.signed("nfds", r.arg[0])
	for i, name := range [...]string{"readfds", "writefds", "exceptfds"} {
		t.arg(name)
		if r.arg[i+1] == 0 || nfds == 0 {
			t.b = uapi.AppendAddr(t.b, r.arg[i+1])
			continue
		}
		t.set(r.before.sets[i], nfds)
		if r.errno == 0 {
			t.out()
			t.set(r.after.sets[i], nfds)
		}
	}
	r.printTimeout(t, "timeout")
	t.arg("sigmask")
	if len(r.before.mask) == 0 {
		t.b = append(t.b, "NULL"...)
		return
	}
	t.b = append(t.b, "{sigmask="...)
	t.sigset(r.before.mask)
	t.b = append(strconv.AppendInt(append(t.b, ", sigsetsize="...), int64(sigsetSize), 10), '}')
}

func (t *callText) set(words []fdWord, nfds int) {
	t.b = uapi.AppendFDSet(t.b, func(yield func(int) bool) {
		eachFD(words, func(fd int) bool { return fd < nfds && yield(fd) })
	})
}

func (r *record) printEpollWait(t *callText) {
	a := &r.arg
	t.signed("epfd", a[0])
	t.addr("events", a[1])
	if r.errno == 0 {
		t.out()
		t.events = t.events[:0]
		for _, ev := range r.after.events {
			t.events = append(t.events, uapiEvent(ev))
		}
		t.b = uapi.AppendEpollEvents(t.b, t.events)
	}
	t.signed("maxevents", a[2])
	switch {
	case r.kind == kindEpollPwait:
		t.signed("timeout", a[3])
	case r.errno != 0:
		t.addr("timeout", a[3])
	default:
		t.arg("timeout")
		t.timespec(r.before.ts)
	}
	if r.errno != 0 {
		t.addr("sigmask", a[4])
	} else {
		t.arg("sigmask")
		t.sigset(r.before.mask)
	}
	t.unsigned("sigsetsize", a[5])
}

func (t *callText) pollFDs(fds []PollFD) []uapi.PollFD {
	t.fds = t.fds[:0]
	for _, f := range fds {
		t.fds = append(t.fds, uapi.PollFD{FD: f.FD, Events: int16(f.Events), Revents: int16(f.Revents)})
	}
	return t.fds
}

func uapiEvent(ev EpollEvent) uapi.EpollEvent {
	return uapi.EpollEvent{Events: ev.events, Data: ev.Data()}
}

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

// reportAll hands r to every tracer that wants it, unless a tracer made the call.
func reportAll(r *record) {
	all := tracing.Load()
	if all == nil || !inTracer.enter(r.tid) {
		return
	}
	defer inTracer.leave(r.tid)
	t := callTexts.Get().(*callText)
	defer callTexts.Put(t)
	printed := false
	for _, to := range all.list {
		if to.filtered && !to.wants(r) {
			continue
		}
		if !printed {
			r.print(t)
			printed = true
		}
		to.fn(r.call(t))
	}
}
