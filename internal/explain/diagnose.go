//go:build linux

package explain

import (
	"bytes"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// How often in a row something has to happen to be called a loop.
const loopRuns = 8

// tooLong is what a wait, or the time until the thread's next line, must not
// reach to be one that did not sleep: strace stops a call twice, which takes
// long on a loaded machine.
const (
	longWait = 5_000_000
	longGap  = 10_000_000
)

// habits are what a thread does in a row.
type habits struct {
	sleeps   int // so far: what ends every loop
	progress int // calls that did something
	rounds   map[*file]*rounds
	polls    rounds // of poll and select
	idle     evidence
	idleAt   int // progress + sleeps at the last of them
	idleName string
	typed    int  // bytes that it read of a terminal since it last waited
	others   bool // it did anything else than that in the log
	members  []byte
	given    []given // what its last wait handed out
	invalid  map[int]*evidence
	clock    int64 // of its last line, if gapOpen is set
	gapOpen  bool  // its last call could have slept until its next line
	badClose badClose
	open     waiting // its call that has not returned so far
	made     bool    // the log has its start
	shape    uint32
	shaped   bool // shape is that of what stands before its lines
}

// traits are what the log shows of one file.
type traits struct {
	moved     int // transfers that went through
	refused   int // EAGAIN
	ends      int // reads that found the end of the file
	endFirst  int
	again     again
	noRoom    noRoom
	herd      herd
	self      self
	clock     string // of a timerfd
	past      past
	regs      map[int]*reg // of an epoll, by number
	failed    map[int]*failedCtl
	refusals  []refusal // of an epoll: files that it did not take
	blockedAt int       // line of a write that found no room
	edges     int       // edge-triggered or one-shot registrations
	mapped    bool      // its data is taken without a system call
	lastRead  transferred
}

type transferred struct {
	line int
	n    int64
	ok   bool
}

// diagnosis is what the log as a whole shows.
type diagnosis struct {
	sawOther  bool // calls that have nothing to do with waiting
	sawMaking bool // descriptors of ours that are made or registered
	ring      bool // io_uring or AIO: what they read and write is not in the log
	shared    bool // descriptors go to somebody that the log does not show
	clocks    map[string]int64
	killed    []waiting
	release   string // of the kernel, as uname gave it
	waited    int    // epoll waits that may sleep and returned
	woken     evidence
	lastLine  int
	exited    bool         // the log has the end of a process
	cut       *thread      // whose call is cut by the end of its line, nil if nothing came since
	unseen    map[int]bool // children without a line of their own
	unread    []unread     // eventfds that went while a child had no line
	shown     [16]int      // the last threads of which the log has a line and no more is known
	shownAt   int
}

// unread is an eventfd that was written and not read when it went.
type unread struct {
	fd   int
	file *file
	line int
}

// shows notes a line of a thread that nothing is kept of.
func (d *diagnosis) shows(pid int) {
	if d.shown[d.shownAt] != pid {
		d.shownAt = (d.shownAt + 1) % len(d.shown)
		d.shown[d.shownAt] = pid
	}
}

func newHabits() habits { return habits{badClose: badClose{last: -1}} }

// class is what a call does to the descriptors that it names.
type class uint8

const (
	doesWork  class = iota
	doesTake        // reads
	doesPut         // writes
	doesWait        // poll, select, epoll_wait
	doesSleep       // unless it fails
	doesLook        // at what there is
	doesTouch       // changes the state of its first argument
)

func classOf(c *strace.Call) class {
	switch c.Name {
	case "read", "readv", "preadv", "preadv2", "pread64", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64", "accept", "accept4":
		return doesTake
	case "write", "writev", "pwritev", "pwritev2", "pwrite64", "send", "sendto", "sendmsg", "sendmmsg", "sendfile", "sendfile64", "splice", "tee", "vmsplice", "copy_file_range":
		return doesPut
	case "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "epoll_wait", "epoll_pwait", "epoll_pwait2":
		return doesWait
	case "nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "pause", "rt_sigsuspend", "sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64",
		"semop", "semtimedop", "msgrcv", "mq_timedreceive", "io_getevents", "io_pgetevents", "io_uring_enter", "restart_syscall":
		return doesSleep
	case "futex", "futex_time64":
		if bytes.Contains(arg(c, 1), []byte("_WAIT")) || bytes.Contains(arg(c, 1), []byte("_LOCK_PI")) {
			return doesSleep
		}
		return doesLook
	case "wait4", "waitpid", "waitid":
		for _, a := range c.Args {
			if bytes.Contains(a, []byte("WNOHANG")) {
				return doesLook
			}
		}
		return doesSleep
	case "clock_gettime", "clock_gettime64", "gettimeofday", "time", "times", "getpid", "gettid", "getppid", "getuid", "geteuid", "sched_yield",
		"fcntl", "fcntl64", "getsockopt", "getsockname", "getpeername", "fstat", "fstat64", "newfstatat", "stat", "stat64", "lstat", "lstat64", "statx", "access",
		"faccessat", "getrusage", "sysinfo", "lseek", "_llseek", "rt_sigprocmask", "rt_sigaction", "rt_sigpending", "uname", "getcpu":
		return doesLook
	case "ioctl":
		switch req := arg(c, 1); {
		case bytes.HasPrefix(req, []byte("FIONREAD")), bytes.HasPrefix(req, []byte("SIOCINQ")), bytes.HasPrefix(req, []byte("TIOCINQ")),
			bytes.HasPrefix(req, []byte("TCGETS")), bytes.HasPrefix(req, []byte("TIOCGWINSZ")), bytes.HasPrefix(req, []byte("TIOCOUTQ")),
			bytes.HasPrefix(req, []byte("SIOCOUTQ")):
			return doesLook
		}
		return doesTouch
	case "shutdown", "connect", "listen", "timerfd_settime", "timerfd_settime64", "inotify_rm_watch", "signalfd", "signalfd4", "ftruncate", "setsockopt":
		return doesTouch
	}
	return doesWork
}

// diagnose looks for known mistakes, after the call has been explained.
func (x *Explainer) diagnose(rec *strace.Record, k *known) {
	d, c := &x.diagnosis, &rec.Call
	d.lastLine = rec.Line
	th := x.state.find(rec.PID)
	if c.Injected {
		if th != nil {
			th.habits.sleeps++
		}
		return
	}
	kind := k.classOf(c)
	if th == nil {
		if kind == doesWork || kind == doesLook {
			d.shows(rec.PID)
			x.logShows(rec)
			return
		}
		th = x.state.thread(rec.PID)
	}
	h := &th.habits
	if c.NoValue && c.Name != "exit_group" && c.Name != "exit" { // its thread dies in it, or it is to be made again
		if h.open.line == 0 || h.open.line != c.First {
			x.began(rec, th)
		}
		h.sleeps++
		return
	}
	if c.Errno == "EINTR" && kind != doesWork && kind != doesLook && kind != doesTouch { // the signal may kill
		if h.open.line == 0 || h.open.line != c.First {
			x.began(rec, th)
		}
		h.open.back = true
	} else {
		h.open.done()
	}
	x.gap(rec, th)
	x.settleClose(rec, th)
	if !k.concerns {
		x.logShows(rec)
	}
	if kind != doesWait && x.lasted(rec, th) >= longWait {
		h.sleeps++
	}
	switch kind {
	case doesWait:
		x.sameOrigin(rec, th)
		x.waited(rec, th)
		x.asked(rec, th)
		return
	case doesSleep:
		if slept(c) {
			h.sleeps++
		} else {
			h.progress++
		}
	case doesTake, doesPut:
		x.moved(rec, th, kind)
	case doesTouch:
		x.touched(rec, th)
	case doesWork:
		x.worked(rec, th)
	case doesLook:
		x.looked(rec, th)
	}
	if kind != doesLook {
		h.others = true
	}
}

// slept reports whether a call that may sleep did: a futex whose value has
// changed does not.
func slept(c *strace.Call) bool { return c.Errno != "EAGAIN" || c.Name == "rt_sigtimedwait" }

// lasted is how long a call took at the least, as far as its own times say; -1
// if they do not.
func (x *Explainer) lasted(rec *strace.Record, th *thread) int64 {
	switch s := x.took(rec, th); {
	case s.exact():
		return s.most
	case s.least > 0:
		return s.least
	}
	return -1
}

// gap ends the loops of a thread whose last call may have slept until now.
func (x *Explainer) gap(rec *strace.Record, th *thread) {
	h := &th.habits
	now := x.clock.now
	timed := rec.Clock != strace.NoClock && rec.Clock == x.clock.kind
	if timed && h.gapOpen {
		limit := max(longGap, 2*x.clock.tick)
		at := now
		if rec.Call.First > 0 && th.half.line == rec.Call.First && th.half.kind == x.clock.kind {
			at = th.half.now
		}
		if at-h.clock >= limit {
			h.sleeps++
		}
	}
	h.gapOpen, h.clock = timed && rec.Call.Duration < 0, now
}

// logShows notes what a call that is none of ours shows of the log as a whole.
func (x *Explainer) logShows(rec *strace.Record) {
	d, c := &x.diagnosis, &rec.Call
	switch c.Name {
	case "clock_gettime", "clock_gettime64":
		x.clockShown(c)
		return
	case "io_uring_setup", "io_uring_enter", "io_uring_register", "io_submit":
		d.ring = true
	case "uname":
		d.release = releaseOf(c)
	}
	d.sawOther = true
}

// releaseOf is the kernel's version in uname's answer, "" if it is not
// shown.
func releaseOf(c *strace.Call) string {
	for _, a := range c.Args {
		if _, rest, ok := bytes.Cut(a, []byte("release=\"")); ok {
			if v, _, ok := bytes.Cut(rest, []byte("\"")); ok {
				return string(v)
			}
		}
	}
	return ""
}

// fileOf is the file of a call's i-th argument; nil if the argument is no
// descriptor.
func (x *Explainer) fileOf(c *strace.Call, th *thread, i int) (int, *file) {
	fd, ok := fdArg(c, i)
	if !ok || fd.N < 0 {
		return -1, nil
	}
	return fd.N, x.live(th, fd, c).file
}

func fdArg(c *strace.Call, i int) (strace.FD, bool) {
	if i == 0 {
		return c.FD()
	}
	return strace.ParseFD(arg(c, i))
}

// moved takes a read or a write into account.
func (x *Explainer) moved(rec *strace.Record, th *thread, kind class) {
	c, h := &rec.Call, &th.habits
	fd, f := x.fileOf(c, th, 0)
	if f == nil {
		h.progress++
		return
	}
	switch {
	case c.Errno == "EAGAIN" || c.Errno == "EWOULDBLOCK":
		f.traits.refused++
		x.again(rec, th, fd, f)
		x.undrained(rec, f, 0, false)
		if kind == doesPut {
			f.traits.blockedAt = rec.Line
		}
		if isAccept(c) {
			x.inVain(rec, th, fd, f)
		}
		return
	case c.Errno == "EMFILE" || c.Errno == "ENFILE":
		if isAccept(c) {
			x.noRoom(rec, th, fd, f)
		}
		f.traits.refused++
		th.table.refused++
		return
	case c.Errno != "" || !c.HasValue:
		h.progress++
		if c.Errno == "EBADF" {
			x.closedUnderneath(rec, th, fd)
		}
		return
	}
	n := c.Value
	if kind == doesTake && n == 0 && isEnd(c, f) {
		if f.traits.ends++; f.traits.ends == 1 {
			f.traits.endFirst = rec.Line
		}
		f.traits.lastRead = transferred{rec.Line, 0, true}
		x.undrained(rec, f, 0, false)
		return
	}
	h.progress++
	f.traits.moved++
	f.traits.ends = 0
	th.table.moved++
	if h.took(fd) {
		th.table.served++
	}
	if strings.HasPrefix(c.Name, "sendm") && sendsFiles(c) {
		x.diagnosis.shared = true
	}
	if isAccept(c) {
		f.traits.noRoom = noRoom{}
		h.accepted(fd, th.pid, f)
		x.undrained(rec, f, 1, true)
		return
	}
	if kind == doesTake {
		f.traits.past.expired(rec)
		f.traits.lastRead = transferred{rec.Line, n, true}
		th.typedAt(fd, f, n)
		x.leaves(rec, f, n)
	} else {
		f.traits.blockedAt = 0
		f.wrote()
		if f.kind == "eventfd" {
			x.diagnosis.woken.see(x, rec)
		}
	}
	x.selfTransfer(rec, th, fd, f, kind == doesPut)
	for i := 1; i <= 2 && (c.Name == "splice" || c.Name == "sendfile" || c.Name == "sendfile64" || c.Name == "tee" || c.Name == "copy_file_range"); i++ {
		if _, other := x.fileOf(c, th, i); other != nil {
			other.traits.moved++
		}
	}
}

// leaves takes a read into account that may have left something. One of an
// eventfd or timerfd takes all, if the eventfd is no semaphore.
func (x *Explainer) leaves(rec *strace.Record, f *file, n int64) {
	c := &rec.Call
	switch size, ok := strace.Int(arg(c, 2)); {
	case f.kind == "eventfd" || f.kind == "timerfd":
		left, known := f.counter()
		x.undrained(rec, f, 1, f.semaphore && known && left > 0)
	case f.messages && c.Name != "recvmmsg":
		x.undrained(rec, f, 1, true)
	default:
		x.undrained(rec, f, n, ok && n >= size && c.Name != "recvmsg" && c.Name != "recvmmsg")
	}
}

// sendsFiles reports whether a message carries descriptors.
func sendsFiles(c *strace.Call) bool {
	return slices.ContainsFunc(c.Args, func(a []byte) bool { return bytes.Contains(a, []byte("SCM_RIGHTS")) })
}

func isAccept(c *strace.Call) bool { return c.Name == "accept" || c.Name == "accept4" }

// isEnd reports whether a read of 0 bytes means the end of the file. It does
// not if nothing was asked for, nor of a datagram.
func isEnd(c *strace.Call, f *file) bool {
	if f.kind == "UDP socket" || f.kind == "eventfd" || f.kind == "timerfd" {
		return false
	}
	switch c.Name {
	case "read", "recv", "pread64":
		size, ok := strace.Int(arg(c, 2))
		return ok && size > 0
	case "recvfrom":
		size, ok := strace.Int(arg(c, 2))
		from := arg(c, 4)
		return ok && size > 0 && (from == nil || strace.Null(from))
	case "readv":
		return bytes.Contains(arg(c, 1), []byte("iov_len=")) && !bytes.Contains(arg(c, 1), []byte("iov_len=0}]"))
	}
	return false
}

// touched takes a call into account that changes what a file is ready for.
func (x *Explainer) touched(rec *strace.Record, th *thread) {
	th.habits.progress++
	c := &rec.Call
	if c.Errno != "" && c.Errno != "EINPROGRESS" {
		return
	}
	switch c.Name {
	case "timerfd_settime", "timerfd_settime64":
		x.timerSet(rec, th)
	case "ioctl":
		if req := arg(c, 1); bytes.HasPrefix(req, []byte("KVM_")) || bytes.HasPrefix(req, []byte("VHOST_")) || bytes.HasPrefix(req, []byte("VFIO_")) {
			x.diagnosis.shared = true
		}
	}
	if _, f := x.fileOf(c, th, 0); f != nil {
		f.traits.moved++
	}
}

// looked is a call that changes nothing.
func (x *Explainer) looked(rec *strace.Record, th *thread) {
	c := &rec.Call
	if (c.Name == "wait4" || c.Name == "waitpid" || c.Name == "waitid") && c.Value > 0 {
		th.habits.progress++
	}
	if c.Name == "futex" && c.HasValue && c.Value > 0 && c.Errno == "" {
		th.table.handed++ // another thread goes on, and may take what is ready
	}
}

// worked is every other call.
func (x *Explainer) worked(rec *strace.Record, th *thread) {
	c := &rec.Call
	if c.Name == "epoll_ctl" {
		x.controlled(rec, th)
		return
	}
	th.habits.progress++
	switch c.Name {
	case "exit_group":
		x.diagnosis.exited, th.table.exits = true, true
	case "eventfd", "eventfd2", "epoll_create", "epoll_create1", "timerfd_create":
		x.diagnosis.sawMaking = true
		if d := resultOf(th, c); d != nil && c.Name == "timerfd_create" {
			d.file.traits.clock = string(arg(c, 0))
		}
	case "close":
		x.closing(rec, th)
	case "bpf", "perf_event_open", "userfaultfd", "io_uring_setup":
		if d := resultOf(th, c); d != nil {
			d.file.traits.mapped = true
		}
	case "mmap", "mmap2":
		if fd, ok := strace.ParseFD(arg(c, 4)); ok && fd.N >= 0 && bytes.Contains(arg(c, 3), []byte("MAP_SHARED")) {
			if d := th.table.get(fd.N); d != nil && d.closed == 0 {
				d.file.traits.mapped = true
			}
		}
	case "clone", "clone3", "fork", "vfork":
		if c.HasValue && c.Errno == "" && c.Value > 0 && c.Value < 1<<30 {
			x.born(int(c.Value))
		}
	}
}

// resultOf is the descriptor that a call has made, nil if it failed or the log
// does not show it.
func resultOf(th *thread, c *strace.Call) *descriptor {
	if fd, ok := strace.ParseFD(c.Result); ok && c.Errno == "" && c.HasValue {
		return th.table.get(fd.N)
	}
	return nil
}

// born notes a child that may have descriptors of its parent.
func (x *Explainer) born(pid int) {
	d := &x.diagnosis
	if th := x.state.find(pid); th != nil {
		th.habits.made = true
		if th.habits.others || th.habits.open.lasts() {
			return
		}
	}
	if slices.Contains(d.shown[:], pid) { // its first lines stand before the end of the clone
		return
	}
	if d.unseen == nil {
		d.unseen = map[int]bool{}
	}
	if len(d.unseen) < maxThreads {
		d.unseen[pid] = true
	}
}
