//go:build linux

package explain

import (
	"bytes"
	"math"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

func (x *Explainer) opens(rec *strace.Record, th *thread) {
	c := &rec.Call
	fd, ok := strace.ParseFD(c.Result)
	if !ok || c.Errno != "" || fd.N < 0 || !c.HasValue {
		return
	}
	made := x.opened(th, c)
	kind := fd.Kind()
	if !agree(made, kind) {
		made = kind
	}
	kind = made
	x.state.open(th.table, fd.N, &file{kind: kind, made: rec.Line, call: c.Name, path: pathOf(kind, c, fd), directory: asDirectory(c), messages: x.messages(th, c)}).flags(saysCloexec(c))
	x.made(th, c.Name, fd.N)
	x.note.fd(fd.N)
	x.note.Kind = kind
}

// messages reports whether each read of what a call makes takes one message,
// and leaves others.
func (x *Explainer) messages(th *thread, c *strace.Call) bool {
	switch c.Name {
	case "socket", "socketpair":
		typ := arg(c, 1)
		return bytes.HasPrefix(typ, []byte("SOCK_DGRAM")) || bytes.HasPrefix(typ, []byte("SOCK_SEQPACKET"))
	case "accept", "accept4":
		if fd, ok := strace.ParseFD(arg(c, 0)); ok {
			return x.state.use(th, fd).file.messages
		}
	}
	return false
}

// asDirectory: the call opens nothing else.
func asDirectory(c *strace.Call) bool {
	switch c.Name {
	case "open":
		return bytes.Contains(arg(c, 1), []byte("O_DIRECTORY"))
	case "openat":
		return bytes.Contains(arg(c, 2), []byte("O_DIRECTORY"))
	}
	return false
}

// pathOf is the name of a file that is of no kind with a name of its own.
func pathOf(kind string, c *strace.Call, fd strace.FD) string {
	if kind != "file" {
		return ""
	}
	name := fd.Info
	if len(name) == 0 {
		i := 1
		if c.Name == "open" || c.Name == "creat" {
			i = 0
		}
		name = bytes.Trim(bytes.TrimSuffix(arg(c, i), []byte("...")), `"`)
	}
	return string(name[:min(len(name), maxPath)])
}

// maxPath bounds the part of a file's name that is kept.
const maxPath = 80

// opened is the kind of file that a call makes, by its name and arguments.
func (x *Explainer) opened(th *thread, c *strace.Call) string {
	switch c.Name {
	case "timerfd_create":
		return "timerfd"
	case "signalfd", "signalfd4":
		return "signalfd"
	case "inotify_init", "inotify_init1":
		return "inotify"
	case "pidfd_open":
		return "pidfd"
	case "io_uring_setup":
		return "io_uring"
	case "open", "creat":
		return openedPath(arg(c, 0))
	case "openat", "openat2":
		return openedPath(arg(c, 1))
	case "socket":
		return socketKind(arg(c, 0), arg(c, 1), arg(c, 2))
	case "accept", "accept4":
		if fd, ok := c.FD(); ok {
			if k := x.state.use(th, fd).file.kind; k != "MPTCP socket" && agree(k, "socket") {
				return k
			}
		}
		return "socket"
	}
	return ""
}

func openedPath(name []byte) string {
	for _, tty := range []string{`"/dev/pts/`, `"/dev/tty`, `"/dev/ptmx"`, `"/dev/console"`} {
		if bytes.HasPrefix(name, []byte(tty)) {
			return "terminal"
		}
	}
	return "file"
}

// socketKind is the kind that socket(2) makes, as far as its poll operation goes.
func socketKind(domain, typ, protocol []byte) string {
	is := func(names ...string) bool {
		for _, name := range names {
			if string(protocol) == name {
				return true
			}
		}
		return false
	}
	inet := bytes.HasPrefix(domain, []byte("AF_INET"))
	stream, dgram := bytes.HasPrefix(typ, []byte("SOCK_STREAM")), bytes.HasPrefix(typ, []byte("SOCK_DGRAM"))
	switch {
	case inet && stream && is("IPPROTO_IP", "IPPROTO_TCP", "0", "6"):
		return "TCP socket"
	case inet && stream && is("IPPROTO_MPTCP", "262"):
		return "MPTCP socket"
	case inet && dgram && is("IPPROTO_IP", "IPPROTO_UDP", "0", "17"):
		return "UDP socket"
	case bytes.HasPrefix(domain, []byte("AF_UNIX")):
		return "unix socket"
	}
	return "socket"
}

// agree reports whether a descriptor of which the log said what it is can be
// what -y says now: "" says nothing, and "socket" and "TCP socket" stand for
// others too.
func agree(known, now string) bool {
	switch now {
	case known, "":
		return true
	case "socket":
		return strings.HasSuffix(known, " socket")
	case "TCP socket":
		return known == "MPTCP socket"
	}
	return false
}

func (x *Explainer) pair(rec *strace.Record, th *thread) {
	c := &rec.Call
	if c.Errno != "" || !c.HasValue || len(c.Args) == 0 {
		return
	}
	kind, set := "pipe", arg(c, 0)
	switch {
	case c.Name == "socketpair" && orphaned(rec):
		kind = "unix socket"
	case c.Name == "socketpair":
		kind, set = "unix socket", arg(c, 3)
	}
	var ends []*file
	set = bytes.Replace(set, []byte(", "), []byte(" "), 1)
	strace.FDSet(set, func(fd strace.FD) {
		if fd.N >= 0 {
			x.state.open(th.table, fd.N, &file{kind: kind, made: rec.Line, call: c.Name, messages: x.messages(th, c)}).flags(saysCloexec(c))
			ends = append(ends, th.table.get(fd.N).file)
			x.made(th, c.Name, fd.N)
			x.note.fd(fd.N)
			x.note.Kind = kind
		}
	})
	if len(ends) == 2 {
		ends[0].peer, ends[1].peer = ends[1], ends[0]
	}
}

// unshared gives a thread its own table.
func (x *Explainer) unshared(rec *strace.Record, th *thread) {
	if c := &rec.Call; c.Errno == "" && c.HasValue && bytes.Contains(arg(c, 0), []byte("CLONE_FILES")) {
		x.state.unshare(th)
	}
}

// rights calls fn for the descriptors of the SCM_RIGHTS of a message.
func rights(c *strace.Call, fn func(strace.FD)) {
	for _, a := range c.Args {
		for {
			i := bytes.Index(a, []byte("SCM_RIGHTS, cmsg_data=["))
			if i < 0 {
				break
			}
			a = a[i+len("SCM_RIGHTS, cmsg_data="):]
			if j := bytes.IndexByte(a, ']'); j > 0 {
				strace.FDSet(bytes.ReplaceAll(a[:j+1], []byte(", "), []byte(" ")), fn)
			}
		}
	}
}

// socketOf is the file of the socket of a call, nil if it is not known.
func socketOf(th *thread, c *strace.Call) *file {
	if fd, ok := c.FD(); ok {
		if d := th.table.get(fd.N); d != nil && d.closed == 0 {
			return d.file
		}
	}
	return nil
}

// sent remembers which files went through a socketpair.
func (x *Explainer) sent(rec *strace.Record, th *thread) {
	c := &rec.Call
	s := socketOf(th, c)
	if s == nil || s.peer == nil || c.Errno != "" || !c.HasValue {
		return
	}
	rights(c, func(fd strace.FD) {
		if d := th.table.get(fd.N); d != nil && d.closed == 0 {
			s.peer.mail.send(d.file)
		} else {
			s.peer.mail.send(nil)
		}
	})
}

// received opens what came over a socket: what was sent if the log shows that,
// else something unknown.
func (x *Explainer) received(rec *strace.Record, th *thread) {
	x.state.sawReads = true
	c := &rec.Call
	s := socketOf(th, c)
	rights(c, func(fd strace.FD) {
		if fd.N < 0 {
			return
		}
		var f *file
		if s != nil && s.peer != nil {
			f = s.mail.receive()
		}
		if f == nil || !agree(f.kind, fd.Kind()) {
			f = &file{kind: fd.Kind(), made: rec.Line, call: "SCM_RIGHTS", vague: true}
		}
		was := f.lastFD
		d := x.state.open(th.table, fd.N, f)
		if f.call != "SCM_RIGHTS" {
			f.lastFD = was
		}
		d.flags(saysCloexec(c))
	})
}

func (x *Explainer) close(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	fd, ok := c.FD()
	if !ok || c.Errno == "EBADF" || rec.Type == strace.Unfinished {
		return
	}
	n.fd(fd.N)
	if d := th.closing; rec.Type == strace.Resumed && d != nil && d.fd == fd.N && d.closed == 0 && th.table.get(fd.N) != d {
		th.closing = nil
		x.closedBefore(rec, d)
		return
	}
	th.closing = nil
	d := x.live(th, fd, c)
	n.Kind = d.file.kind
	x.closed(rec, d)
}

// closedBefore ends a descriptor whose number another thread has got while its
// close was going on: the kernel frees the number first.
func (x *Explainer) closedBefore(rec *strace.Record, d *descriptor) {
	d.closed = rec.Line
	x.note.Kind = d.file.kind
	x.afterClose(rec, d)
}

// closed ends a descriptor and, with the last one, the story of its file.
func (x *Explainer) closed(rec *strace.Record, d *descriptor) {
	n, f := &x.note, d.file
	d.close(rec.Line)
	n.Runtime = n.Runtime || f.runtime
	if f.kind == "eventfd" || f.kind == "epoll" {
		n.say("closes ")
		n.sayFD(f.kind, d.fd)
		if f.open > 0 {
			n.say(", which stays open through another descriptor")
		}
	}
	x.afterClose(rec, d)
}

// afterClose ends the story of a file with its last descriptor.
func (x *Explainer) afterClose(rec *strace.Record, d *descriptor) {
	n, f := &x.note, d.file
	if f.open > 0 {
		x.leftBehind(rec, d)
		return
	}
	if f.kind == "eventfd" || f.kind == "epoll" {
		n.path(f.kind + "_release")
		n.Outcome = AtOnce
		if len(n.Stories) < maxStories {
			n.Stories = append(n.Stories, x.story(d, f, rec.Line))
		}
		x.neverRead(d.fd, f, rec.Line)
	}
	f.regs, f.items = nil, nil
}

// maxStories bounds the stories that one line of the log ends, and the warnings
// that it gets.
const maxStories = 64

func (x *Explainer) closeRange(rec *strace.Record, th *thread) {
	c := &rec.Call
	first, ok1 := strace.Int(arg(c, 0))
	last, ok2 := strace.Int(arg(c, 1))
	if !ok1 || !ok2 || c.Errno != "" || !c.HasValue {
		return
	}
	if first < 0 || first > math.MaxInt32 || uint64(last) < uint64(first) {
		return
	}
	if strace.Has(arg(c, 2), "CLOSE_RANGE_UNSHARE", 2) {
		x.state.unshare(th)
	}
	if strace.Has(arg(c, 2), "CLOSE_RANGE_CLOEXEC", 4) {
		for d := range th.table.open(int(first), int(min(uint64(last), math.MaxInt32))) {
			d.flags(true, true)
		}
		return
	}
	n, ended := &x.note, 0
	for d := range th.table.open(int(first), int(min(uint64(last), math.MaxInt32))) {
		d.close(rec.Line)
		n.Runtime = n.Runtime || d.file.runtime
		if d.file.open <= 0 && (d.file.kind == "eventfd" || d.file.kind == "epoll") {
			switch ended++; {
			case ended == 1:
				n.say("closes ")
				n.sayFD(d.file.kind, d.fd)
			case ended <= 8:
				n.say(", ")
				n.sayFD(d.file.kind, d.fd)
			}
		}
		if len(n.Warnings) < maxStories {
			x.afterClose(rec, d)
		}
	}
	if ended > 8 {
		n.say(" and ")
		n.sayInt(int64(ended - 8))
		n.say(" more")
	}
}

func (x *Explainer) dup(rec *strace.Record, th *thread) {
	x.duplicate(rec, th)
}

func (x *Explainer) fcntl(rec *strace.Record, th *thread) {
	c := &rec.Call
	cmd := arg(c, 1)
	switch {
	case bytes.HasPrefix(cmd, []byte("F_DUPFD")):
		x.duplicate(rec, th)
	case bytes.Equal(cmd, []byte("F_SETFD")):
		if d := targetOf(th, c); d != nil {
			d.flags(strace.Has(arg(c, 2), "FD_CLOEXEC", 1), true)
		}
	case bytes.HasPrefix(cmd, []byte("F_SETFL")):
		if d := targetOf(th, c); d != nil && d.file.kind == "eventfd" {
			d.file.blocking = !strace.Has(arg(c, 2), "O_NONBLOCK", 0o4000)
		}
	}
}

// targetOf is the descriptor of a call that succeeded on it, nil for one that
// failed or if the log has not shown it before.
func targetOf(th *thread, c *strace.Call) *descriptor {
	if fd, ok := c.FD(); ok && c.Errno == "" {
		return th.table.get(fd.N)
	}
	return nil
}

func (x *Explainer) duplicate(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	from, ok1 := c.FD()
	to, ok2 := strace.ParseFD(c.Result)
	if !ok1 || !ok2 || c.Errno != "" || to.N < 0 || !c.HasValue || from.N == to.N {
		return
	}
	d := x.live(th, from, c)
	n.fd(from.N)
	n.fd(to.N)
	n.Kind = d.file.kind
	if old := th.table.get(to.N); old != nil && old.closed == 0 {
		x.closed(rec, old) // dup2 closes the file that was there
		n.Summary = n.Summary[:0]
	}
	f := d.file
	copied := x.state.share(th.table, to.N, f)
	copied.source, copied.duped = from.N, rec.Line
	copied.flags(saysCloexec(c))
	if f.kind == "eventfd" || f.kind == "epoll" {
		n.say("makes ")
		n.sayInt(int64(to.N))
		n.say(" a second descriptor of ")
		n.sayFD(f.kind, from.N)
		n.say(": one counter, one wait queue")
		if f.kind == "epoll" {
			n.Summary = n.Summary[:len(n.Summary)-len(": one counter, one wait queue")]
		}
	}
}

// clone gives a new thread its table.
func (x *Explainer) clone(rec *strace.Record, th *thread) {
	c := &rec.Call
	for i, s := range x.state.starting {
		if s.pid == rec.PID {
			x.state.starting = append(x.state.starting[:i], x.state.starting[i+1:]...)
			break
		}
	}
	if c.Errno != "" || !c.HasValue || c.Value <= 0 || c.Value > 1<<30 {
		return
	}
	pid := int(c.Value)
	if x.state.find(pid) != nil {
		return // it spoke already, and got its table then
	}
	t := th.table
	if !sharesFiles(c) {
		t = x.state.copyTable(t)
	}
	x.state.addThread(pid, t)
}

func sharesFiles(c *strace.Call) bool {
	for _, a := range c.Args {
		if bytes.Contains(a, []byte("CLONE_FILES")) {
			return true
		}
	}
	return false
}

// exec closes all that is close-on-exec, and leaves the rest open.
func (x *Explainer) exec(rec *strace.Record, th *thread) {
	if c := &rec.Call; c.Errno == "" && c.HasValue {
		x.ends(rec, th, true)
		old := th.table
		th.table = &table{threads: 1, born: true, before: old}
		x.state.inherit(th.table, old)
	}
}

// alwaysCloexec are the calls whose descriptors are close-on-exec without a flag.
var alwaysCloexec = map[string]bool{"pidfd_open": true, "pidfd_getfd": true, "io_uring_setup": true, "bpf": true}

// saysCloexec reports whether a call makes what it opens close-on-exec, and
// whether the log shows that: by the names of flags, and not by numbers.
func saysCloexec(c *strace.Call) (cloexec, known bool) {
	if alwaysCloexec[c.Name] {
		return true, true
	}
	known = true
	for i, a := range c.Args {
		switch {
		case len(a) == 0 || a[0] == '"':
		case bytes.Contains(a, []byte("_CLOEXEC")):
			return true, true
		case i == len(c.Args)-1 && bytes.HasPrefix(strace.Value(a), []byte("0x")):
			known = false
		}
	}
	return false, known
}

func (x *Explainer) restart(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	name := c.Restarts
	was := th.interrupted
	if was.name != "" && (name == "" || name == "call" || name == was.name) {
		name = was.name
	} else {
		was.line = 0
	}
	th.interrupted = interrupted{}
	if name != "poll" && was.line == 0 {
		return // of a futex or a nanosleep, or not known
	}
	if name == "poll" {
		n.path("poll_restart")
	}
	n.say("goes on with ")
	if name == "poll" {
		n.say("the poll")
	} else {
		n.say("the interrupted call")
	}
	if was.line > 0 {
		n.say(" of line ")
		n.sayInt(int64(was.line))
	}
	n.say(", with the time that was left")
	if name == "poll" {
		x.ended(rec, th, noLimit, -1)
		if n.zero {
			n.say(": the time is up")
		} else {
			n.sayReady(c)
		}
		n.sayOutcome(c)
	}
}

func (x *Explainer) sigreturn(rec *strace.Record, th *thread) {
	n := &x.note
	was := th.interrupted
	th.interrupted = interrupted{}
	if was.name == "" || rec.Call.Errno != "EINTR" {
		return
	}
	n.say("the handler is done: ", was.name, " of line ")
	n.sayInt(int64(was.line))
	n.say(" returns EINTR to the program")
	n.path("signal")
}

func (x *Explainer) signal(rec *strace.Record) {
	th := x.state.find(rec.PID)
	if th == nil {
		return
	}
	th.habits.open.ends(rec.Text)
	was := &th.interrupted
	if was.name == "" || was.signalled || waits(was.name) && !Concerns(was.name) {
		return
	}
	was.signalled = true
	n := &x.note
	n.say("ends the wait of line ")
	n.sayInt(int64(was.line))
	n.path("signal")
}

// exit is the end of a thread, maybe inside a call.
func (x *Explainer) exit(rec *strace.Record) {
	n, c := &x.note, &rec.Call
	th := x.state.find(rec.PID)
	if c.Killed && Concerns(c.Name) {
		n.say("dies inside the ", c.Name, " of line ")
		n.sayInt(int64(c.First))
		n.Outcome = KilledIn
	}
	if th != nil {
		x.state.dropThread(th)
		if len(x.state.threads) > 0 { // else the log is at its end, and lists what is open
			x.ends(rec, th, false)
		} else {
			th.table.threads--
		}
	}
}

// ends adds the stories of the files that go with a process, or with its execve.
func (x *Explainer) ends(rec *strace.Record, th *thread, onExec bool) {
	for _, d := range th.table.leaves(rec.Line, onExec) {
		if f := d.file; f.kind == "eventfd" || f.kind == "epoll" {
			x.note.Stories = append(x.note.Stories, x.story(d, f, rec.Line))
			x.neverRead(d.fd, f, rec.Line)
		}
		d.file.regs, d.file.items = nil, nil
	}
}

// firstHalf says what a call is about that has not returned.
func (x *Explainer) firstHalf(rec *strace.Record) {
	c := &rec.Call
	th := x.state.thread(rec.PID)
	switch c.Name {
	case "clone", "clone3", "fork", "vfork":
		if len(x.state.starting) < 64 {
			x.state.starting = append(x.state.starting, start{rec.PID, sharesFiles(c)})
		}
	case "poll", "ppoll", "select", "_newselect", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2", "ppoll_time64", "pselect6_time64":
		x.known.of(c.Name).handler(x, rec, th)
	case "close":
		if fd, ok := c.FD(); ok {
			th.closing = th.table.get(fd.N)
		}
	case "read", "write":
		if fd, ok := c.FD(); ok {
			if d := x.state.use(th, fd); d.file.kind == "eventfd" && d.closed == 0 {
				x.transfer(rec, th, fd, d.file, c.Name == "write")
			}
		}
	}
}

// ioctl finds calls that give eventfds to KVM or vhost, and epoll's own. strace
// prints the structure of none of the former, so that any eventfd may be the one.
func (x *Explainer) ioctl(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	req := arg(c, 1)
	switch {
	case bytes.Equal(req, []byte("FIONBIO")):
		if d := targetOf(th, c); d != nil {
			d.file.blocking = bytes.Equal(arg(c, 2), []byte("[0]"))
		}
	case bytes.Equal(req, []byte("FIOCLEX")), bytes.Equal(req, []byte("FIONCLEX")):
		if d := targetOf(th, c); d != nil {
			d.flags(len(req) == len("FIOCLEX"), true)
		}
	case bytes.Equal(req, []byte("KVM_IRQFD")):
		x.given("kvm_irqfd", "KVM", "a write to it raises an interrupt in the guest", "when that eventfd is written")
	case bytes.Equal(req, []byte("KVM_IOEVENTFD")):
		x.given("kvm_ioeventfd", "KVM", "a write of the guest to the address adds 1 to its counter", "when the guest writes there")
	case bytes.HasPrefix(req, []byte("VHOST_SET_VRING_KICK")):
		x.given("vhost", "vhost", "a write to it wakes the vhost worker", "when that eventfd is written")
	case bytes.HasPrefix(req, []byte("VHOST_SET_VRING_CALL")), bytes.HasPrefix(req, []byte("VHOST_SET_VRING_ERR")):
		x.given("", "vhost", "vhost adds 1 to its counter", "")
	case bytes.HasPrefix(req, []byte("VHOST_")), bytes.HasPrefix(req, []byte("VFIO_")):
		x.state.given = true // some of these take eventfds too
	case bytes.Contains(req, []byte("TCGETS")):
		x.proves(rec, th, "terminal")
	case bytes.HasPrefix(req, []byte("EPIOC")):
		n.path("epoll_ioctl")
		n.say("reads or sets the busy polling of an epoll")
		if fd, ok := c.FD(); ok {
			n.fd(fd.N)
			n.Kind = "epoll"
		}
	}
}

// given says that some eventfd is the kernel's to read and write from here on,
// and what path an event takes then. The structure that strace does not print
// may also take one back.
func (x *Explainer) given(path, whom, then, when string) {
	n := &x.note
	x.state.given = true
	n.say("gives an eventfd to ", whom, " or takes it back, the log does not say which; with one given, ", then, " from now on")
	if path != "" {
		n.Later, n.When = append(n.Later, path), when
	}
}

func (x *Explainer) ioSubmit(rec *strace.Record, th *thread) {
	n := &x.note
	for _, a := range rec.Call.Args {
		i := bytes.Index(a, []byte("resfd="))
		if i < 0 {
			continue
		}
		rest := a[i+len("resfd="):]
		end := 0
		for end < len(rest) && rest[end] != ',' && rest[end] != '}' && rest[end] != ' ' {
			end++
		}
		if fd, ok := strace.ParseFD(rest[:end]); ok {
			x.state.use(th, fd).file.kernel = "AIO"
			n.path("aio")
			n.fd(fd.N)
			n.Kind = "eventfd"
			n.say("each completed request adds 1 to the counter of eventfd ")
			n.sayInt(int64(fd.N))
			n.say(", in this call only if it is done at once")
			return
		}
	}
}

func (x *Explainer) uringRegister(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	if !bytes.HasPrefix(arg(c, 1), []byte("IORING_REGISTER_EVENTFD")) {
		return
	}
	n.Later, n.When = append(n.Later, "io_uring"), "when a request is complete"
	strace.FDSet(arg(c, 2), func(fd strace.FD) {
		x.state.use(th, fd).file.kernel = "io_uring"
		n.fd(fd.N)
		n.Kind = "eventfd"
		n.say("completions add to the counter of eventfd ")
		n.sayInt(int64(fd.N))
	})
}
