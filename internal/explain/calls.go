//go:build linux

package explain

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// arg returns the i-th argument without its name, nil where there is none.
func arg(c *strace.Call, i int) []byte {
	if i >= len(c.Args) {
		return nil
	}
	return strace.Value(c.Args[i])
}

// live returns the descriptor of a call that succeeded or failed on it: a
// number that was closed and still works has been opened again unseen.
func (x *Explainer) live(th *thread, fd strace.FD, c *strace.Call) *descriptor {
	d := x.state.use(th, fd)
	if d.closed != 0 && c.Errno != "EBADF" {
		d = x.state.open(th.table, fd.N, &file{kind: fd.Kind()})
	}
	return d
}

func (x *Explainer) eventfd(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	n.path("eventfd2")
	initial, _ := strace.Int(arg(c, 0))
	flags := arg(c, 1)
	f := &file{kind: "eventfd", made: rec.Line, call: c.Name, initial: uint64(initial)}
	f.semaphore = strace.Has(flags, "EFD_SEMAPHORE", 1)
	f.blocking = !strace.Has(flags, "EFD_NONBLOCK", 0o4000) && !strace.Has(flags, "O_NONBLOCK", 0o4000)
	if !c.HasValue || c.Errno != "" {
		n.Outcome = Failed
		n.branch(c.Errno)
		if c.Errno == "EMFILE" || c.Errno == "ENFILE" || c.Errno == "ENOMEM" {
			n.branch("failed")
		}
		n.say("makes no eventfd: ")
		n.makeFails(c)
		return
	}
	n.Outcome = AtOnce
	fd, ok := strace.ParseFD(c.Result)
	if !ok {
		return
	}
	x.state.open(th.table, fd.N, f).flags(saysCloexec(c))
	x.made(th, "eventfd2", fd.N)
	n.fd(fd.N)
	n.Kind = "eventfd"
	n.say("makes eventfd ")
	n.sayInt(int64(fd.N))
	n.say(" with its counter at ")
	n.sayInt(initial)
	if f.semaphore {
		n.say(", a semaphore: each read takes 1")
	}
	if f.blocking {
		n.say(", blocking")
	} else {
		n.say(", non-blocking")
	}
}

// made remembers the last two descriptors of a table, for patterns.
func (x *Explainer) made(th *thread, call string, fd int) {
	t := th.table
	t.newest[0], t.newest[1] = t.newest[1], made{call, fd}
}

func (x *Explainer) read(rec *strace.Record, th *thread) {
	c := &rec.Call
	x.state.sawReads = true
	fd, ok := c.FD()
	if !ok {
		return
	}
	d := x.live(th, fd, c)
	x.goReads(th, d, c)
	if d.file.kind == "" {
		if v, ok := c.Counter(x.order); d.file.read8(c, v, ok) {
			d.file.kind = "eventfd"
		}
	}
	if d.file.kind != "eventfd" {
		x.concern(d, fd.N)
		return
	}
	x.transfer(rec, th, fd, d.file, false)
}

func (x *Explainer) write(rec *strace.Record, th *thread) {
	c := &rec.Call
	fd, ok := c.FD()
	if !ok {
		return
	}
	d := x.live(th, fd, c)
	if d.file.kind == "" {
		v, ok := c.Counter(x.order)
		d.file.wrote8(c, v, ok)
	}
	if d.file.kind != "eventfd" {
		x.concern(d, fd.N)
		return
	}
	x.transfer(rec, th, fd, d.file, true)
}

// concern notes for the filter by descriptor which one a call is about.
func (x *Explainer) concern(d *descriptor, fd int) {
	x.note.fd(fd)
	x.note.Kind = d.file.kind
}

// transfer explains a read or write of an eventfd.
func (x *Explainer) transfer(rec *strace.Record, th *thread, fd strace.FD, f *file, write bool) {
	n, c := &x.note, &rec.Call
	n.fd(fd.N)
	n.Kind = "eventfd"
	n.Runtime = f.runtime
	info, counted := fd.Eventfd()
	if counted {
		f.semaphore = info.Semaphore
	}
	v, valued := c.Counter(x.order)
	if write {
		n.path("eventfd_write")
	} else {
		n.path("eventfd_read")
	}
	x.ended(rec, th, -1, -1)
	if n.Outcome == Unknown || n.Outcome == Slept {
		n.Branches, n.Maybe = n.Branches[:0], n.Maybe[:0]
		switch {
		case f.nonblocking(), counted && !write && info.Count > 0:
			n.Outcome = AtOnce
		case n.Outcome == Slept && f.blocking:
			n.branch("slept")
		default:
			n.Outcome = Unknown
			n.Maybe = append(n.Maybe, "slept")
		}
	}
	n.transferFails(c, write)
	if write {
		x.sayWrite(c, fd.N, f, v, valued)
	} else {
		x.sayRead(c, fd.N, f, v, valued, counted)
	}
	if c.Errno == "" && c.HasValue {
		n.Maybe = append(n.Maybe, "woke")
	}
	if counted {
		n.say("; the counter was ")
		n.sayUint(info.Count)
	}
	switch n.Outcome {
	case Again, Unknown, AtOnce:
	case Failed:
		if c.Errno != "EINVAL" {
			n.sayOutcome(c)
		}
	default:
		n.sayOutcome(c)
	}
}

func (x *Explainer) sayWrite(c *strace.Call, fd int, f *file, v uint64, valued bool) {
	n := &x.note
	switch {
	case c.Errno == "EAGAIN":
		n.say("finds no room in the counter of eventfd ")
		n.sayInt(int64(fd))
		n.say(": it cannot pass 2^64-2, EAGAIN")
		f.again++
	case c.Errno == "EINVAL":
		n.say("is refused by eventfd ")
		n.sayInt(int64(fd))
		if valued && v == math.MaxUint64 {
			n.say(": 2^64-1 is no value, EINVAL")
		} else {
			n.say(": it takes exactly 8 bytes (at least 8 before 6.9), EINVAL")
		}
	case c.HasValue && c.Errno == "":
		f.writes++
		if !valued {
			f.unvalued = true
			n.say("adds to the counter of eventfd ")
			n.sayInt(int64(fd))
			return
		}
		f.added = sum(f.added, v)
		n.say("adds ")
		n.sayUint(v)
		n.say(" to the counter of eventfd ")
		n.sayInt(int64(fd))
	default:
		n.say("wants to add ")
		if valued {
			n.sayUint(v)
			n.say(" ")
		}
		n.say("to the counter of eventfd ")
		n.sayInt(int64(fd))
	}
}

func (x *Explainer) sayRead(c *strace.Call, fd int, f *file, v uint64, valued, counted bool) {
	n := &x.note
	switch {
	case c.Errno == "EAGAIN":
		n.say("finds the counter of eventfd ")
		n.sayInt(int64(fd))
		n.say(" at 0, EAGAIN")
		f.again++
	case c.Errno == "EINVAL":
		n.say("is refused by eventfd ")
		n.sayInt(int64(fd))
		n.say(": the buffer is shorter than 8 bytes, EINVAL")
	case c.HasValue && c.Errno == "":
		f.reads++
		if f.semaphore && valued && v == 1 {
			n.say("takes 1 off the counter of eventfd ")
			n.sayInt(int64(fd))
			n.say(", a semaphore")
			f.taken++
			return
		}
		n.say("takes ")
		if valued {
			n.sayUint(v)
			f.taken = sum(f.taken, v)
			if v != 1 || f.made > 0 && !f.vague || counted {
				n.say(", all there is,") // else it may be a semaphore
			}
			n.say(" off")
		} else {
			f.unvalued = true
			n.say("all off")
		}
		n.say(" the counter of eventfd ")
		n.sayInt(int64(fd))
	case f.nonblocking(), c.Errno != "" && c.Errno != "EINTR" && !strings.HasPrefix(c.Errno, "ERESTART"):
		n.say("wants to take from the counter of eventfd ")
		n.sayInt(int64(fd))
	default:
		n.say("waits for the counter of eventfd ")
		n.sayInt(int64(fd))
		n.say(" to leave 0")
	}
}

func (x *Explainer) epollCreate(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	n.path("epoll_create1")
	if !c.HasValue || c.Errno != "" {
		n.Outcome = Failed
		n.branch(c.Errno)
		if size, ok := strace.Int(arg(c, 0)); c.Name == "epoll_create" && c.Errno == "EINVAL" && ok {
			n.Paths = n.Paths[:0] // it comes not even to what the two calls share
			n.say("makes no epoll: EINVAL: the size has to be above 0, and is ")
			n.sayInt(size)
			return
		}
		n.say("makes no epoll: ")
		n.makeFails(c)
		return
	}
	n.Outcome = AtOnce
	fd, ok := strace.ParseFD(c.Result)
	if !ok {
		return
	}
	x.state.open(th.table, fd.N, &file{kind: "epoll", made: rec.Line, call: c.Name}).flags(saysCloexec(c))
	x.made(th, c.Name, fd.N)
	n.fd(fd.N)
	n.Kind = "epoll"
	n.say("makes epoll ")
	n.sayInt(int64(fd.N))
	if c.Name == "epoll_create" {
		n.say("; the size is ignored")
	}
}

var ctlBranches = map[string]string{"EPOLL_CTL_ADD": "add", "EPOLL_CTL_MOD": "modify", "EPOLL_CTL_DEL": "delete", "1": "add", "3": "modify", "2": "delete",
	"0x1": "add", "0x3": "modify", "0x2": "delete"}

func (x *Explainer) epollCtl(rec *strace.Record, th *thread) {
	if o := strace.Order(arg(&rec.Call, 3)); o != nil {
		x.order = o
	}
	n, c := &x.note, &rec.Call
	n.path("epoll_ctl")
	efd, ok1 := c.FD()
	tfd, ok2 := strace.ParseFD(arg(c, 2))
	if !ok1 || !ok2 {
		return
	}
	n.fd(efd.N)
	n.fd(tfd.N)
	n.Kind = "epoll"
	branch := ctlBranches[string(opArg(c))]
	ev, evOK := strace.EpollEvent(arg(c, 3))
	events, data := ev.Events, ev.Data
	ep := x.state.use(th, efd).file
	if ep.kind == "" && c.Errno == "" {
		ep.kind = "epoll"
	}
	td := x.state.use(th, tfd)
	if td.closed != 0 && c.Errno == "" {
		td = x.state.open(th.table, tfd.N, &file{kind: tfd.Kind()})
	}
	if branch == "" {
		n.branch("event") // all but EPOLL_CTL_DEL fetch one
	} else {
		n.branch(branch)
	}
	if branch != "delete" {
		n.ask(td.file.pollKind())
		n.path(pollPath(td.file.kind))
	}
	if td.file.kind == "epoll" {
		n.branch("nested")
		n.path("epoll_nested")
	}
	exclusive := evOK && strace.Has(events, "EPOLLEXCLUSIVE", 1<<28)
	if exclusive {
		n.branch("exclusive")
	}
	switch branch {
	case "add":
		n.say("puts ")
	case "modify":
		n.say("changes ")
	case "delete":
		n.say("takes ")
	default:
		n.say("does an unknown operation on ")
	}
	n.sayFile(td.file, tfd.N)
	switch branch {
	case "add":
		n.say(" into epoll ")
	case "delete":
		n.say(" out of epoll ")
	default:
		n.say(" in epoll ")
	}
	n.sayInt(int64(efd.N))
	n.sayWide(arg(c, 2), tfd.N)
	if evOK && branch != "delete" {
		if branch == "modify" {
			n.say(" to ")
		} else {
			n.say(" for ")
		}
		n.sayMask(events, true)
	}
	if c.Errno != "" {
		n.Outcome = Failed
		n.branch(c.Errno)
		n.ctlFails(c, branch, ep, td.file, exclusive, exclusivePlain(events))
		if r := td.file.inEpoll(ep, tfd.N); r != nil && c.Errno == "ENOENT" {
			n.why += ", though line " + itoa(r.line) + " has it in: it was taken out, or closed and opened again, by something that the log does not show"
			td.file.unregister(ep, tfd.N)
		}
		n.sayOutcome(c)
		return
	}
	n.Outcome = AtOnce
	if !c.HasValue {
		return
	}
	switch branch {
	case "add":
		n.say("; from now on its wait queue calls ", only(catalog.Callback, "epoll"))
		ep.register(td.file, registration{epoll: ep, file: td.file, table: th.table, fd: tfd.N, data: data, edge: evOK && strace.Has(events, "EPOLLET", 1<<31), once: evOK && strace.Has(events, "EPOLLONESHOT", 1<<30), line: rec.Line})
		x.poller(th, efd.N, tfd.N, events, data)
		n.Runtime = ep.runtime && td.file.runtime
		if n.Runtime {
			n.say("; this is the Go runtime's own poller")
		}
	case "modify":
		r := td.file.inEpoll(ep, tfd.N)
		if r == nil { // it was put in before the log
			ep.register(td.file, registration{epoll: ep, file: td.file, table: th.table, fd: tfd.N, line: rec.Line, unseen: true})
			r = td.file.inEpoll(ep, tfd.N)
		}
		if r != nil {
			if r.data != data {
				ep.noItem(r.data, td.file)
			}
			r.data, r.edge, r.once = data, evOK && strace.Has(events, "EPOLLET", 1<<31), evOK && strace.Has(events, "EPOLLONESHOT", 1<<30)
			ep.item(data, td.file)
		}
	case "delete":
		td.file.unregister(ep, tfd.N)
	}
}

// sayWide says of a descriptor that strace printed as a register of 64 bits
// that the kernel takes the lower half.
func (n *Note) sayWide(printed []byte, fd int) {
	digits := printed[:len(printed)-len(bytes.TrimLeft(printed, "0123456789"))]
	if len(digits) < 10 || string(digits) == strconv.Itoa(fd) {
		return
	}
	n.say(" (the lower half of ")
	n.sayBytes(digits)
	n.say(")")
}

func (f *file) register(target *file, r registration) {
	if len(target.regs) < maxRegs {
		target.regs = append(target.regs, r)
	}
	f.item(r.data, target)
}

// item notes what the data of an epoll stands for. Several files may have the
// same.
func (f *file) item(data uint64, target *file) {
	if f.items == nil {
		f.items = map[uint64]*file{}
	}
	if len(f.items) >= maxRegs*64 {
		return
	}
	if old := f.items[data]; old == nil || old == target || !old.registeredAs(f, data) {
		f.items[data] = target
	} else if len(f.alike[data]) < maxRegs && !slices.Contains(f.alike[data], target) {
		if f.alike == nil { // most have none
			f.alike = map[uint64][]*file{}
		}
		f.alike[data] = append(f.alike[data], target)
	}
}

// noItem takes back what item noted.
func (f *file) noItem(data uint64, target *file) {
	alike := f.alike[data]
	switch i := slices.Index(alike, target); {
	case i >= 0:
		alike = slices.Delete(alike, i, i+1)
	case f.items[data] == target && len(alike) > 0:
		f.items[data], alike = alike[0], alike[1:]
	case f.items[data] == target:
		delete(f.items, data)
	}
	if len(alike) > 0 {
		f.alike[data] = alike
	} else {
		delete(f.alike, data)
	}
}

// inEpoll is the registration of a number in an epoll, nil if there is none.
func (f *file) inEpoll(ep *file, fd int) *registration {
	for i := range f.regs {
		if r := &f.regs[i]; r.epoll == ep && r.fd == fd {
			return r
		}
	}
	return nil
}

// registeredAs reports whether a file is in an epoll with this data.
func (f *file) registeredAs(ep *file, data uint64) bool {
	for i := range f.regs {
		if r := &f.regs[i]; r.epoll == ep && r.data == data {
			return true
		}
	}
	return false
}

func (f *file) unregister(ep *file, fd int) {
	for i, r := range f.regs {
		if r.epoll == ep && r.fd == fd {
			ep.noItem(r.data, f)
			f.regs = append(f.regs[:i], f.regs[i+1:]...)
			return
		}
	}
}

// exclusiveOK are the events with which EPOLLEXCLUSIVE goes.
const exclusiveOK = 1<<0 | 1<<2 | 1<<3 | 1<<4 | 1<<28 | 1<<29 | 1<<31

// exclusivePlain reports whether a mask has no other event than those.
func exclusivePlain(events []byte) bool {
	if v, ok := strace.Int(events); ok {
		return v&^exclusiveOK == 0
	}
	for bit := range bytes.SplitSeq(events, []byte("|")) {
		switch string(bit) {
		case "EPOLLIN", "EPOLLOUT", "EPOLLERR", "EPOLLHUP", "EPOLLWAKEUP", "EPOLLET", "EPOLLEXCLUSIVE":
		default:
			return false
		}
	}
	return true
}

func (x *Explainer) epollWait(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	n.path("epoll_wait")
	switch c.Name {
	case "epoll_pwait":
		n.branch("epoll_pwait")
		n.branch("pwait")
	case "epoll_pwait2":
		n.branch("epoll_pwait2")
		n.branch("pwait")
	}
	efd, ok := c.FD()
	if !ok {
		return
	}
	n.fd(efd.N)
	n.Kind = "epoll"
	ep := x.live(th, efd, c).file
	if ep.kind == "" && c.Errno != "EBADF" && c.Errno != "EINVAL" {
		ep.kind = "epoll"
	}
	if ep.kind == "epoll" && rec.Type != strace.Unfinished {
		ep.waits++
	}
	n.Runtime = ep.runtime
	limit, known := epollLimit(c.Name, arg(c, 3))
	if mask := arg(c, 4); mask != nil && !strace.Null(mask) {
		n.branch("masked")
	}
	if rec.Type == strace.Unfinished && !known {
		n.say("calls ", c.Name, " on ") // with a time-out of 0 it does not wait
	} else {
		n.sayWait("waits on ", limit, known)
	}
	n.sayFD(ep.kind, efd.N)
	if known {
		n.sayLimit(limit)
	} else if arg(c, 3) != nil {
		n.say(", with a time-out that the log does not show")
	}
	if !known {
		limit = noLimit
	}
	x.ended(rec, th, limit, -1)
	n.epollWaitFails(c, ep)
	switch {
	case n.Outcome == Signalled && slices.Contains(n.Branches, "slept"):
		n.Ways[len(n.Ways)-1] = "EINTR:slept"
	case c.HasValue && c.Errno == "" && c.Value == 0:
		n.way("nothing")
	}
	if n.sayReady(c) && !x.sayEvents(arg(c, 1), ep) {
		n.branch("level")
	}
	n.sayOutcome(c)
}

// epollLimit is the time-out in nanoseconds, negative for none.
func epollLimit(name string, a []byte) (ns int64, known bool) {
	if a == nil {
		return 0, false
	}
	if name == "epoll_pwait2" {
		if strace.Null(a) {
			return -1, true
		}
		d, ok := strace.Timespec(a, 1)
		return int64(d), ok
	}
	return millis(a)
}

func millis(a []byte) (ns int64, known bool) {
	ms, ok := strace.Int(a)
	switch {
	case !ok:
		return 0, false
	case ms < 0 || ms == math.MaxUint32: // -X raw prints the bits
		return -1, true
	case ms > math.MaxInt32:
		return math.MaxInt64, true
	}
	return ms * 1e6, true
}

// sayWait begins the sentence of a call that waits, or with a time-out of 0
// does not.
func (n *Note) sayWait(waits string, limit int64, known bool) {
	if known && limit == 0 {
		waits = "looks at "
	}
	n.say(waits)
}

func (n *Note) sayLimit(limit int64) {
	switch {
	case limit < 0:
		n.say(", without limit")
	case limit > 0:
		n.say(", at most ")
		n.sayTime(limit)
	}
}

func itoa(i int) string { return strconv.Itoa(i) }

// sum adds without going round.
func sum(a, b uint64) uint64 {
	if a+b < a {
		return math.MaxUint64
	}
	return a + b
}
