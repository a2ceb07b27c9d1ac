//go:build linux

package explain

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// events are those that are the same in poll and epoll.
type events uint32

const (
	evIn    events = 0x1
	evPri   events = 0x2
	evOut   events = 0x4
	evErr   events = 0x8
	evHup   events = 0x10
	evNval  events = 0x20
	evNorm  events = 0x40
	evWnorm events = 0x100
	evRdhup events = 0x2000
	evOnce  events = 1 << 30
	evEdge  events = 1 << 31
)

// eventsOf reads a mask by its names, or the number that strace printed.
func eventsOf(mask []byte) events {
	mask = strace.Value(mask)
	if len(mask) > 0 && mask[0] >= '0' && mask[0] <= '9' {
		v, _ := strace.Int(mask)
		return events(v)
	}
	var m events
	for len(mask) > 0 {
		name := mask
		if i := bytes.IndexByte(mask, '|'); i >= 0 {
			name, mask = mask[:i], mask[i+1:]
		} else {
			mask = nil
		}
		if len(name) > 0 && name[0] == 'E' {
			name = name[1:]
		}
		switch string(name) {
		case "POLLIN":
			m |= evIn
		case "POLLPRI":
			m |= evPri
		case "POLLOUT":
			m |= evOut
		case "POLLERR":
			m |= evErr
		case "POLLHUP":
			m |= evHup
		case "POLLNVAL":
			m |= evNval
		case "POLLRDNORM", "POLLRDBAND":
			m |= evNorm
		case "POLLWRNORM", "POLLWRBAND":
			m |= evWnorm
		case "POLLRDHUP":
			m |= evRdhup
		case "POLLET":
			m |= evEdge
		case "POLLONESHOT":
			m |= evOnce
		}
	}
	return m
}

// given is a descriptor that a wait handed out.
type given struct {
	fd   int   // -1 if the log does not say
	file *file // nil if the log does not say
	data uint64
	mask events
	sure bool // fd is the descriptor, not a guess by its data
	reg  *reg
}

// runKey is what a run of readiness is about, within one waiter.
type runKey struct {
	fd   int
	data uint64
}

// rounds are the waits of a thread on one epoll, or all of its polls and
// selects.
type rounds struct {
	n        int  // so far
	complete int  // the last that named all that was ready
	endless  bool // the last had no time-out
	runs     map[runKey]*run
}

// maxRuns bounds what one waiter remembers.
const maxRuns = 4096

// run is a descriptor that is ready in one wait after the other.
type run struct {
	evidence
	round  int
	file   *file
	mask   events // in all of them
	moved  int    // counters at the last of them
	asked  int
	table  int
	passed int
	sleeps int
	ends   int
	rounds int // with an end of file in between
	eofs   evidence
	mods   int
	served int
	own    int // transfers of the number that the data likely is
	alone  int // rounds after which nothing else had been served
	from   int // count from which it is a loop, 0 if it is none
}

// waited takes a wait that returned into account.
func (x *Explainer) waited(rec *strace.Record, th *thread) {
	c, h := &rec.Call, &th.habits
	h.given = h.given[:0]
	if c.Errno != "" || !c.HasValue {
		x.failedWait(rec, th)
		return
	}
	if rec.Type == strace.Resumed && c.First == 0 { // its first half is not in the log
		h.sleeps++
		return
	}
	th.table.waits++
	var limit, left int64 = -1, -1
	known := false
	r, full := &h.polls, false
	epfd := -1
	var ep *file
	switch {
	case isEpollWait(c.Name):
		limit, known = epollLimit(c.Name, arg(c, 3))
		fd, f := x.fileOf(c, th, 0)
		if f == nil {
			return
		}
		ep, epfd = f, fd
		if r = h.rounds[ep]; r == nil {
			r = h.newRounds(ep)
		}
		most, ok := strace.Int(arg(c, 2))
		full = ok && c.Value >= most
		x.readyEpoll(c, th, ep)
	case c.Name == "poll" || c.Name == "ppoll" || c.Name == "ppoll_time64":
		limit, known = pollLimit(c)
		left = x.readyPoll(c, th)
	default:
		limit, known = selectLimit(c)
		left = x.readySelect(c, th)
	}
	x.unitOf(rec, th, limit, known)
	slept := x.sleptIn(rec, th, limit, left, known)
	if slept {
		h.sleeps++
	}
	if ep != nil && (slept || known && limit != 0) {
		x.diagnosis.waited++
	}
	look := known && limit == 0
	x.idle(rec, th, ep, epfd, look)
	if look {
		h.gapOpen = false // it does not sleep
	} else {
		h.typed = 0
	}
	r.n++
	r.endless = known && limit < 0
	for i := range h.given {
		x.ready(rec, th, r, ep, epfd, &h.given[i])
	}
	if !full {
		r.complete = r.n
	}
}

func isEpollWait(name string) bool {
	return name == "epoll_wait" || name == "epoll_pwait" || name == "epoll_pwait2"
}

func (h *habits) newRounds(ep *file) *rounds {
	if h.rounds == nil || len(h.rounds) > 256 {
		h.rounds = map[*file]*rounds{}
	}
	r := &rounds{}
	h.rounds[ep] = r
	return r
}

// sleptIn reports whether a wait slept, or may have slept for longer than a
// call takes.
func (x *Explainer) sleptIn(rec *strace.Record, th *thread, limit, left int64, known bool) bool {
	c := &rec.Call
	switch d := x.lasted(rec, th); {
	case known && limit == 0:
		return false
	case c.Value == 0:
		return true // until the time was up
	case x.Slept != nil && x.Slept(rec.Line):
		return true
	case d >= 0:
		return d >= longWait
	case left >= 0 && known && limit > 0:
		return limit-left >= longWait
	}
	return false
}

// readyEpoll collects what an epoll_wait handed out.
func (x *Explainer) readyEpoll(c *strace.Call, th *thread, ep *file) {
	h := &th.habits
	strace.EpollItems(arg(c, 1), func(it strace.EpollItem) {
		data := it.Data
		g := given{fd: -1, data: data, mask: eventsOf(it.Events)}
		if f := ep.items[data]; f != nil && len(ep.alike[data]) == 0 {
			g.file = f
			for _, r := range f.regs {
				if r.epoll == ep && r.data == data {
					g.fd, g.sure = r.fd, true
					g.reg = ep.traits.regs[r.fd]
				}
			}
		}
		if g.fd < 0 && uint32(data) < 1<<20 { // most programs put it there
			g.fd = int(uint32(data))
		}
		h.given = append(h.given, g)
	})
}

// readyPoll collects what a poll found, and returns the time left, -1 if it
// is not said.
func (x *Explainer) readyPoll(c *strace.Call, th *thread) (left int64) {
	note, left := timeLeft(c)
	strace.PollFDs(note, func(p strace.PollFD) {
		x.give(th, p.FD, eventsOf(p.Revents))
	})
	return left
}

// give adds a descriptor of a poll or select to what is ready.
func (x *Explainer) give(th *thread, fd strace.FD, mask events) {
	h := &th.habits
	for i := range h.given {
		if h.given[i].fd == fd.N {
			h.given[i].mask |= mask
			return
		}
	}
	h.given = append(h.given, given{fd: fd.N, file: x.state.use(th, fd).file, mask: mask, sure: true})
}

// readySelect collects what a select found: "in [4 5], out [6], left {...}".
func (x *Explainer) readySelect(c *strace.Call, th *thread) (left int64) {
	note, left := timeLeft(c)
	for _, set := range []struct {
		name string
		mask events
	}{{"in [", evIn}, {"out [", evOut}, {"except [", evPri}, {"exc [", evPri}} {
		i := bytes.Index(note, []byte(set.name))
		if i < 0 {
			continue
		}
		in := note[i+len(set.name)-1:]
		if j := bytes.IndexByte(in, ']'); j > 0 {
			strace.FDSet(in[:j+1], func(fd strace.FD) { x.give(th, fd, set.mask) })
		}
	}
	return left
}

// ready goes on with the run of one descriptor.
func (x *Explainer) ready(rec *strace.Record, th *thread, r *rounds, ep *file, epfd int, g *given) {
	if g.mask&evNval != 0 {
		return
	}
	x.edgeGiven(rec, g)
	x.selfGiven(th, g)
	x.herded(th, g)
	if ep != nil && x.ghost(rec, ep, epfd, g) {
		return
	}
	if g.reg != nil && g.reg.mask&evEdge != 0 || ep != nil && th.goPoller(ep, g.data) {
		return // each event is one of its own
	}
	if r.runs == nil || len(r.runs) >= maxRuns {
		r.runs = map[runKey]*run{}
	}
	key := runKey{fd: g.fd, data: g.data}
	u := r.runs[key]
	if u == nil {
		u = &run{}
		u.reset()
		u.start(th, g)
		r.runs[key] = u
	}
	x.eof(rec, th, u, g, epfd)
	busy := u.served != th.table.served
	if u.round < r.complete || u.file != g.file || u.changed(th, g) || u.mask&g.mask == 0 {
		u.reset()
		u.alone, u.from = 0, 0
	} else if !busy && u.count > 0 {
		u.alone++
	}
	u.start(th, g)
	u.round = r.n
	u.mask &= g.mask
	u.see(x, rec)
	x.spins(rec, th, u, g, epfd)
}

// start notes the state of the world at this wait.
func (u *run) start(th *thread, g *given) {
	u.file = g.file
	if u.count == 0 {
		u.mask = g.mask
	}
	u.sleeps, u.table, u.asked, u.passed = th.habits.sleeps, th.table.moved, th.table.refused, th.table.handed
	if g.file != nil {
		u.moved, u.ends = g.file.traits.moved, g.file.traits.ends
		u.asked = g.file.traits.refused
	}
	if g.reg != nil {
		u.mods = g.reg.changes
	}
	u.served = th.table.served
	u.own = th.table.transfers(g.fd)
}

// transfers are those of the file that a number stands for now.
func (t *table) transfers(fd int) int {
	if d := t.get(fd); d != nil {
		return d.file.traits.moved
	}
	return 0
}

// changed reports whether anything happened since the last wait that makes
// readiness new.
func (u *run) changed(th *thread, g *given) bool {
	if u.sleeps != th.habits.sleeps {
		return true
	}
	quiet := g.mask&(evHup|evRdhup|evErr) == 0 // HUP and ERR come whatever is done
	if quiet && u.passed != th.table.handed {
		return true // another thread goes on
	}
	if g.file != nil && g.sure {
		return u.moved != g.file.traits.moved || quiet && u.asked != g.file.traits.refused || quiet && g.reg != nil && u.mods != g.reg.changes
	}
	if quiet { // all transfers were of other numbers that were handed out
		return u.own != th.table.transfers(g.fd) || th.table.moved-u.table != th.table.served-u.served || u.asked != th.table.refused
	}
	return u.table != th.table.moved
}

// goPoller reports whether an epoll is the Go runtime's, as far as the log
// shows: that has addresses for data.
func (th *thread) goPoller(ep *file, data uint64) bool {
	return ep.runtime || th.table.golang && ep.made == 0 && data >= 1<<16
}

// kind returns the code that a run is named by.
func (u *run) kind() string {
	switch m := u.mask; {
	case m&evOut != 0 && m&(evIn|evPri|evNorm) == 0:
		return "spin-output"
	case m&(evHup|evRdhup) != 0:
		return "spin-hangup"
	case m&evErr != 0:
		return "spin-error"
	case m&(evIn|evPri|evNorm) != 0:
		return "spin-unread"
	case m&(evOut|evWnorm) != 0:
		return "spin-output"
	}
	return ""
}

// loops reports whether a run is long enough. A wait that returned for another
// descriptor too, which was then served, is no round of a busy loop; but to be
// passed over as often as that is no chance.
func (u *run) loops(code string) bool {
	const passedOver = 4 * loopRuns
	rounds := u.count
	if (code == "spin-unread" || code == "spin-output") && rounds < passedOver {
		rounds = u.alone + 1
	}
	if code == "" || rounds < loopRuns {
		return false
	}
	if u.from == 0 {
		u.from = u.count
	}
	return true
}

// spins raises a warning once a run is long enough.
func (x *Explainer) spins(rec *strace.Record, th *thread, u *run, g *given, epfd int) {
	code := u.kind()
	if !u.loops(code) || u.rounds >= eofRuns {
		return
	}
	d := &x.diagnosis
	if code == "spin-unread" || code == "spin-output" {
		switch {
		case !d.sawOther && d.sawMaking: // the log was filtered, and reads are not in it
			return
		case d.ring:
			return
		case g.file != nil && (g.file.traits.mapped || g.file.kernel != ""):
			return
		}
	}
	about := cause{code: code, about: th.table, n: int64(g.data)}
	switch {
	case g.file != nil:
		about = cause{code: code, about: g.file}
	case g.fd >= 0:
		about.n = int64(g.fd)
	}
	if x.countedRow(about, rec, &u.evidence, u.from) {
		return
	}
	mask, who, waiter := u.mask, g.name(), "poll"
	if epfd >= 0 {
		waiter = fmt.Sprintf("epoll %d", epfd)
	} else if !strings.Contains(rec.Call.Name, "poll") {
		waiter = "select"
	}
	w := x.raise(about, rec, g.fd, epfd, func(w *Warning) string {
		return spinText(w, code, waiter, who, mask, epfd >= 0)
	})
	w.evidence(&u.evidence)
}

func spinText(w *Warning, code, waiter, who string, mask events, epoll bool) string {
	s := fmt.Sprintf("%s found %s ready with %s %s, %s, and ", waiter, who, mask.name(epoll), w.inARow("times"), w.noSleep())
	if w.rows > 1 {
		s += "in each row "
	}
	switch code {
	case "spin-output":
		s += "nothing was written to it"
		if always := mask & (evErr | evHup); always != 0 { // what helps against POLLOUT does not against them
			s += fmt.Sprintf("; %s comes whatever is asked, until it is closed or taken out", always.name(epoll))
		}
	case "spin-hangup", "spin-error":
		s += "it was neither closed nor taken out"
	default:
		s += "nothing was read from it"
	}
	return s
}

// name is a descriptor as a sentence names it.
func (g *given) name() string {
	kind := "fd"
	if g.file != nil && g.file.kind != "" {
		kind = g.file.kind
	}
	switch {
	case g.fd >= 0 && g.sure:
		return fmt.Sprintf("%s %d", kind, g.fd)
	case g.fd >= 0:
		return fmt.Sprintf("the descriptor with data %d (likely fd %d)", g.data, g.fd)
	}
	return fmt.Sprintf("the descriptor with data 0x%x", g.data)
}

// name writes a mask by its names.
func (m events) name(epoll bool) string {
	var s string
	for _, e := range []struct {
		bit  events
		name string
	}{{evIn, "POLLIN"}, {evPri, "POLLPRI"}, {evNorm, "POLLRDNORM"}, {evOut, "POLLOUT"}, {evWnorm, "POLLWRNORM"}, {evErr, "POLLERR"}, {evHup, "POLLHUP"}, {evNval, "POLLNVAL"},
		{evRdhup, "POLLRDHUP"}, {evOnce, "POLLONESHOT"}, {evEdge, "POLLET"}} {
		if m&e.bit == 0 {
			continue
		}
		if s != "" {
			s += "|"
		}
		if epoll {
			s += "E"
		}
		s += e.name
	}
	if s == "" {
		return "0"
	}
	return s
}

// eofRuns is how many ends of the file in a row make a loop.
const eofRuns = 3

// eof counts the rounds in which a descriptor is ready, gives the end of the
// file, and is ready again.
func (x *Explainer) eof(rec *strace.Record, th *thread, u *run, g *given, epfd int) {
	f := g.file
	if f == nil && g.fd >= 0 { // its data is the number, if that is what is read
		if d := th.table.get(g.fd); d != nil && d.closed == 0 {
			f = d.file
		}
	}
	if f == nil {
		return
	}
	now := f.traits.ends
	switch {
	case now == 0 || now < u.ends:
		u.rounds = 0
		u.eofs.reset()
		u.ends = now
		return
	case now == u.ends:
		return
	}
	u.ends = now
	u.rounds++
	u.eofs.see(x, rec)
	if u.rounds < eofRuns {
		return
	}
	about := cause{code: "spin-eof", about: f}
	if x.counted(about, rec) {
		return
	}
	name := kindOr(f.kind)
	fd, first := g.fd, f.traits.endFirst
	w := x.raise(about, rec, fd, epfd, func(w *Warning) string {
		return fmt.Sprintf("%s %d is at the end of its file since line %d (the read gave 0), and was found ready again %d times%s: it stays ready for ever", name, fd, first, w.Count, w.rate())
	})
	w.evidence(&u.eofs)
}

// failedWait takes a wait into account that gave an error.
func (x *Explainer) failedWait(rec *strace.Record, th *thread) {
	c, h := &rec.Call, &th.habits
	switch c.Errno {
	case "EBADF":
		if c.Name == "select" || c.Name == "_newselect" || c.Name == "pselect6" || c.Name == "pselect6_time64" {
			for i := 1; i <= 3; i++ {
				strace.FDSet(arg(c, i), func(fd strace.FD) {
					if d := th.table.get(fd.N); d != nil && d.closed != 0 {
						x.notOpen(rec, th, fd.N)
					}
				})
			}
		}
	case "EINVAL":
		x.unitOf(rec, th, 0, false)
	default:
		h.sleeps++
	}
}
