//go:build linux

package explain

import (
	"bytes"
	"fmt"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// reg is a registration in an epoll, as the log shows it.
type reg struct {
	fd      int
	d       *descriptor
	mask    events
	data    uint64
	line    int // of the ADD that succeeded, 0 if the log has none
	changes int // of the mask
	same    evidence
	waits   int // of the table at the last MOD

	undrained int // line of a read that may have left something, with EPOLLET
	size      int64
	disarmed  int // line of the event that used EPOLLONESHOT up
	asked     int // line at which EPOLLOUT was asked for after EAGAIN
	takenBack int // line at which it was taken back before it came
}

// maxMembers bounds the registrations that are known of one epoll.
const maxMembers = 4096

// failedCtl is a DEL or MOD that did not find its descriptor.
type failedCtl struct {
	evidence
	data  uint64
	known bool // data is
	errno string
	op    string
	given int // how often it was handed out since
}

// refusal is a file that an epoll did not take.
type refusal struct {
	name string
	line int
}

// controlled takes an epoll_ctl into account.
func (x *Explainer) controlled(rec *strace.Record, th *thread) {
	c, h := &rec.Call, &th.habits
	efd, ok1 := c.FD()
	tfd, ok2 := descriptorArg(c, 2)
	if !ok1 || !ok2 || !c.HasValue {
		h.progress++
		return
	}
	ed := th.table.get(efd.N)
	if ed == nil {
		return
	}
	ep := ed.file
	op := ctlBranches[string(opArg(c))]
	ev, ok := strace.EpollEvent(arg(c, 3))
	m, data := eventsOf(ev.Events), ev.Data
	if c.Errno != "" {
		h.progress++
		x.ctlRefused(rec, th, ep, efd.N, tfd.N, op, data, ok)
		return
	}
	x.diagnosis.sawMaking = x.diagnosis.sawMaking || op == "add"
	t := &ep.traits
	if op == "delete" {
		h.progress++
		delete(t.regs, tfd.N)
		return
	}
	if !ok {
		return
	}
	delete(t.failed, tfd.N)
	r := t.regs[tfd.N]
	if r == nil || op == "add" {
		if t.regs == nil || len(t.regs) >= maxMembers {
			t.regs = map[int]*reg{}
		}
		r = &reg{fd: tfd.N, waits: -1}
		t.regs[tfd.N] = r
		h.progress++
	} else {
		x.modified(rec, th, r, efd.N, m, data)
	}
	r.d = th.table.get(tfd.N)
	if op == "add" {
		r.line = rec.Line
	}
	if m&(evEdge|evOnce) != 0 && r.d != nil {
		r.d.file.traits.edges++
	}
	if r.mask != m {
		r.changes++
	}
	x.outAsked(rec, r, m)
	r.mask, r.data, r.disarmed = m, data, 0
}

// opArg is epoll_ctl's operation, without the comment of -X verbose.
func opArg(c *strace.Call) []byte {
	op := arg(c, 1)
	if i := bytes.Index(op, []byte(" /*")); i >= 0 {
		op = op[:i]
	}
	return op
}

// descriptorArg reads a descriptor that old versions print with 64 bits: the
// kernel takes the lower half.
func descriptorArg(c *strace.Call, i int) (strace.FD, bool) {
	if fd, ok := strace.ParseFD(arg(c, i)); ok {
		return fd, true
	}
	v, ok := strace.Int(arg(c, i))
	return strace.FD{N: int(int32(v))}, ok
}

// modified counts changes that change nothing.
func (x *Explainer) modified(rec *strace.Record, th *thread, r *reg, epfd int, m events, data uint64) {
	if r.mask != m || r.data != data || m&(evEdge|evOnce) != 0 {
		th.habits.progress++
		r.same.reset()
		return
	}
	if r.waits == th.table.waits { // more than one in a round
		return
	}
	r.waits = th.table.waits
	r.same.see(x, rec)
	if r.same.count < sameRuns {
		return
	}
	about := cause{code: "modify-unchanged", about: r}
	if x.countedRow(about, rec, &r.same, sameRuns) {
		return
	}
	fd := r.fd
	w := x.raise(about, rec, fd, epfd, func(w *Warning) string {
		return fmt.Sprintf("EPOLL_CTL_MOD sets fd %d in epoll %d to %s, which it has already, in %d rounds: the kernel polls the file each time, and nothing changes", fd, epfd, m.name(true), w.Count)
	})
	w.evidence(&r.same)
}

// sameRuns is how many rounds of a needless MOD make a habit.
const sameRuns = 4

// outAsked follows EPOLLOUT of a file whose write found no room.
func (x *Explainer) outAsked(rec *strace.Record, r *reg, m events) {
	if r.d == nil {
		return
	}
	blocked := r.d.file.traits.blockedAt
	switch {
	case m&evOut != 0:
		r.takenBack = 0
		if blocked > 0 && r.asked == 0 {
			r.asked = rec.Line
		}
	case r.asked > 0 && blocked > 0:
		r.takenBack, r.asked = rec.Line, 0
	default:
		r.asked = 0
	}
}

// ctlRefused takes an epoll_ctl into account that failed.
func (x *Explainer) ctlRefused(rec *strace.Record, th *thread, ep *file, epfd, fd int, op string, data uint64, known bool) {
	c, t := &rec.Call, &ep.traits
	switch {
	case c.Errno == "EPERM" && op == "add":
		x.refusedFile(rec, th, ep, epfd, fd)
		return
	case op != "modify" && op != "delete" || c.Errno != "ENOENT" && c.Errno != "EBADF":
		return
	}
	if ed := th.table.get(epfd); ed != nil && ed.closed != 0 {
		return // the epoll itself is not open
	}
	x.lostMember(rec, th, ep, epfd, fd, op)
	if t.failed == nil || len(t.failed) >= maxMembers {
		t.failed = map[int]*failedCtl{}
	}
	was := t.failed[fd]
	if was == nil {
		was = &failedCtl{}
		was.reset()
		t.failed[fd] = was
	}
	if r := t.regs[fd]; r != nil && !known {
		data, known = r.data, true
	}
	was.see(x, rec)
	was.errno, was.op, was.data, was.known = c.Errno, op, data, known
	if t.regs[fd] != nil {
		delete(t.regs, fd)
	}
}

// ghost reports whether a wait handed out a descriptor that a DEL or MOD did
// not find before, and warns once it comes again.
func (x *Explainer) ghost(rec *strace.Record, ep *file, epfd int, g *given) bool {
	t := &ep.traits
	if len(t.failed) == 0 {
		return false
	}
	var f *failedCtl
	fd := -1
	for n, each := range t.failed {
		if each.known && each.data == g.data && each.data != 0 || n == g.fd {
			f, fd = each, n
		}
	}
	if f == nil {
		return false
	}
	if f.given++; f.given < 2 {
		f.see(x, rec)
		return true
	}
	about := cause{code: "ghost-registration", about: ep, n: int64(fd)}
	if x.counted(about, rec) {
		return true
	}
	op, errno, mask := "EPOLL_CTL_DEL", f.errno, g.mask
	if f.op == "modify" {
		op = "EPOLL_CTL_MOD"
	}
	w := x.raise(about, rec, fd, epfd, func(w *Warning) string {
		return fmt.Sprintf("epoll %d hands out fd %d with %s again and again, and %s with it answers %s: the number is no longer that of the file, which lives on behind another descriptor", epfd, fd, mask.name(true), op, errno)
	})
	f.see(x, rec)
	w.evidence(&f.evidence)
	return true
}

// lostMember warns of a registration that succeeded and is not found.
func (x *Explainer) lostMember(rec *strace.Record, th *thread, ep *file, epfd, fd int, op string) {
	r := ep.traits.regs[fd]
	if r == nil || r.line == 0 {
		return
	}
	c := &rec.Call
	how := "closed or taken out, and the log does not show by which call"
	if r.d != nil && r.d.closed != 0 {
		how = fmt.Sprintf("closed at line %d%s", r.d.closed, r.d.closedBefore(th))
		if d := th.table.get(fd); d != nil && d != r.d && d.closed == 0 {
			how += ", and the number is another file's now"
		}
	}
	call, errno, line := "EPOLL_CTL_DEL", c.Errno, r.line
	if op == "modify" {
		call = "EPOLL_CTL_MOD"
	}
	w := x.raise(cause{code: "closed-by-other", about: r}, rec, fd, epfd, func(*Warning) string {
		return fmt.Sprintf("%s of fd %d in epoll %d answers %s, though it was put in at line %d: it was %s", call, fd, epfd, errno, line, how)
	})
	if w != nil && w.Count == 1 {
		w.Lines = []int{line}
		if r.d != nil && r.d.closed > line {
			w.line(r.d.closed)
		}
		w.line(rec.Line)
	}
}

// closer names the thread that closed a descriptor.
func closer(d *descriptor) string {
	if d.closer == 0 {
		return ""
	}
	return fmt.Sprintf(" by thread %d", d.closer)
}

// closedUnderneath warns of a transfer on a number that another thread of the
// process has closed.
func (x *Explainer) closedUnderneath(rec *strace.Record, th *thread, fd int) {
	d := th.table.get(fd)
	if d == nil || d.closed == 0 || d.closer == 0 || d.closer == th.pid || d.table.guessed {
		return
	}
	name, closed, by := rec.Call.Name, d.closed, closer(d)
	w := x.raise(cause{code: "closed-by-other", about: d, n: -1}, rec, fd, -1, func(*Warning) string {
		return fmt.Sprintf("%s of fd %d answers EBADF: it was closed at line %d%s; had the number been given out anew, it would have been another file's", name, fd, closed, by)
	})
	if w != nil && w.Count == 1 {
		w.Lines = []int{closed}
		w.line(rec.Line)
	}
}

// closedBefore names the thread that closed a descriptor before th used it.
func (d *descriptor) closedBefore(th *thread) string {
	switch {
	case d.closer == 0:
		return ""
	case d.closer == th.pid:
		return " by the same thread"
	case d.table.guessed:
		return closer(d) + ", if both threads are of one process"
	}
	return closer(d)
}

// refusedFile warns of a file that has no poll operation.
func (x *Explainer) refusedFile(rec *strace.Record, th *thread, ep *file, epfd, fd int) {
	name := fmt.Sprintf("fd %d", fd)
	if d := th.table.get(fd); d != nil && d.file.path != "" {
		name += " (" + d.file.path + ")"
	}
	if t := &ep.traits; len(t.refusals) < 16 {
		t.refusals = append(t.refusals, refusal{name, rec.Line})
	}
	x.raise(cause{code: "refused-file", about: ep, n: int64(fd)}, rec, fd, epfd, func(*Warning) string {
		return fmt.Sprintf("epoll %d does not take %s: EPERM, its file has no poll operation", epfd, name)
	})
}

// badClose is a close that answered EBADF, until the next call shows that it
// is not one of many in a row.
type badClose struct {
	rec  strace.Record
	fd   int
	d    *descriptor
	last int // the number of the close before, -1 without
	set  bool
	row  bool // of closes of one number after the other
}

// closing takes a close into account.
func (x *Explainer) closing(rec *strace.Record, th *thread) {
	c, h := &rec.Call, &th.habits
	fd, ok := c.FD()
	if !ok {
		return
	}
	b := &h.badClose
	near := b.last > 0 && (fd.N == b.last+1 || fd.N == b.last-1)
	b.row = near && (b.row || b.set || c.Errno == "EBADF")
	b.last = fd.N
	d := th.table.get(fd.N)
	if c.Errno != "EBADF" || fd.N < 0 {
		if d != nil && d.closed == rec.Line {
			d.closer = rec.PID
		}
		return
	}
	if b.row || d == nil || d.closed == 0 && d.file.made == 0 && d.file.traits.moved == 0 {
		return // it was never seen open
	}
	b.set, b.fd, b.d = true, fd.N, d
	b.rec = *rec
	b.rec.Raw, b.rec.Call.Args, b.rec.Comm, b.rec.IP, b.rec.Text = nil, nil, nil, nil, nil
}

// settleClose raises the warning of a close that failed, unless the thread
// closes one number after the other.
func (x *Explainer) settleClose(rec *strace.Record, th *thread) {
	b := &th.habits.badClose
	if rec != nil && rec.Call.Name == "close" {
		if fd, ok := rec.Call.FD(); ok && b.set && (fd.N == b.fd+1 || fd.N == b.fd-1) {
			b.set, b.row = false, true
			return
		}
	} else {
		b.last, b.row = -1, false
	}
	if !b.set {
		return
	}
	b.set = false
	fd, how, first := b.fd, "it was closed before, and the log does not show by which call", 0
	if b.d.closed != 0 {
		first = b.d.closed
		how = fmt.Sprintf("it was closed at line %d%s", first, b.d.closedBefore(th))
	}
	w := x.raise(cause{code: "closed-by-other", about: b.d, n: -1}, &b.rec, fd, -1, func(*Warning) string {
		return fmt.Sprintf("close of fd %d answers EBADF: %s; had the number been given out anew, this close would have hit another file", fd, how)
	})
	if w != nil && w.Count == 1 && first > 0 {
		w.Lines = []int{first}
		w.line(b.rec.Line)
	}
}
