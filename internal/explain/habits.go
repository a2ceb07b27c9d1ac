//go:build linux

package explain

import (
	"fmt"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// idle counts waits that only look and find nothing, with nothing but looks in
// between.
func (x *Explainer) idle(rec *strace.Record, th *thread, ep *file, epfd int, look bool) {
	c, h := &rec.Call, &th.habits
	if !look || c.Value != 0 || ep != nil && (ep.runtime || th.table.golang && ep.made == 0) {
		h.others = true
		h.progress++
		return
	}
	if h.idle.count > 0 && h.idleAt != h.sleeps+h.progress {
		h.idle.reset()
	}
	h.idleAt = h.sleeps + h.progress
	h.idle.see(x, rec)
	h.idleName = c.Name
	if h.idle.count >= x.idleRuns() && !x.worksOffInput(c, th) {
		x.idleLoop(rec, th, epfd, &h.idle)
	}
}

// looksPerByte is how often an interactive program looks for more input, for
// each byte that was typed ahead.
const looksPerByte = 8

// worksOffInput reports whether the looks are those of a program that has input
// of a terminal, or of its standard input, to work on: it looks for more
// between one character and the next.
func (x *Explainer) worksOffInput(c *strace.Call, th *thread) bool {
	h := &th.habits
	if h.idle.count >= x.idleRuns()+looksPerByte*h.typed {
		return false
	}
	only := true
	interactive := func(fd strace.FD) {
		if d := th.table.get(fd.N); fd.N != 0 && fd.N >= 0 && (d == nil || d.closed != 0 || d.file.kind != "terminal") {
			only = false
		}
	}
	switch {
	case isEpollWait(c.Name):
		return false
	case strings.Contains(c.Name, "poll"):
		strace.PollFDs(arg(c, 0), func(p strace.PollFD) { interactive(p.FD) })
	default:
		for i := range setNames {
			strace.FDSet(arg(c, i+1), interactive)
		}
	}
	return only
}

// typedAt notes a read of a terminal, or of the standard input.
func (th *thread) typedAt(fd int, f *file, n int64) {
	if fd == 0 || f.kind == "terminal" {
		th.habits.typed += int(min(n, 1<<20))
	}
}

// idleRuns is how many looks in a row make a loop. An event loop that has work
// of its own looks now and then, many times: if the log has its start, more
// are wanted.
func (x *Explainer) idleRuns() int {
	if x.diagnosis.sawMaking {
		return 8 * loopRuns
	}
	return loopRuns
}

func (x *Explainer) idleLoop(rec *strace.Record, th *thread, epfd int, e *evidence) {
	about := cause{code: "spin-zero-timeout", about: th}
	if x.countedRow(about, rec, e, x.idleRuns()) {
		return
	}
	name, who := rec.Call.Name, threadName(th.pid)
	w := x.raise(about, rec, -1, epfd, func(w *Warning) string {
		return fmt.Sprintf("%s calls %s with a time-out of 0 and finds nothing, %s; %s", who, name, w.inARow("times"), w.noSleep())
	})
	w.evidence(e)
}

// threadName is a thread in a sentence.
func threadName(pid int) string {
	if pid == 0 {
		return "the thread"
	}
	return fmt.Sprintf("thread %d", pid)
}

// again is a row of EAGAIN on one file.
type again struct {
	evidence
	pid   int
	state int // waits, sleeps and progress at the last of them
}

func (x *Explainer) again(rec *strace.Record, th *thread, fd int, f *file) {
	a, h := &f.traits.again, &th.habits
	state := h.sleeps + h.progress + th.table.waits
	if a.count > 0 && (a.pid != th.pid || a.state != state) {
		a.reset()
	}
	a.pid, a.state = th.pid, state
	a.see(x, rec)
	about := cause{code: "eagain-spin", about: f}
	if a.count < loopRuns {
		return
	}
	if x.countedRow(about, rec, &a.evidence, loopRuns) {
		return
	}
	name, kind := rec.Call.Name, kindOr(f.kind)
	w := x.raise(about, rec, fd, -1, func(w *Warning) string {
		return fmt.Sprintf("%s of %s %d answers EAGAIN %s, with neither a wait nor a sleep %s", name, kind, fd, w.inARow("times"), w.inBetween())
	})
	w.evidence(&a.evidence)
}

// noRoom is a row of accepts that found no free descriptor.
type noRoom struct {
	evidence
	given  int // of the row, how many after a wait that handed the listener out
	sleeps int
}

func (x *Explainer) noRoom(rec *strace.Record, th *thread, fd int, f *file) {
	n, h := &f.traits.noRoom, &th.habits
	if n.count > 0 && n.sleeps != h.sleeps {
		n.reset()
		n.given = 0
	}
	n.sleeps = h.sleeps
	n.see(x, rec)
	if h.took(fd) {
		n.given++
	}
	about := cause{code: "accept-emfile", about: f}
	if x.counted(about, rec) {
		return
	}
	if n.count < 3 && n.given < 2 {
		return
	}
	errno, what, ready := rec.Call.Errno, "the process is at its limit RLIMIT_NOFILE", ""
	if errno == "ENFILE" {
		what = "the system is at its limit /proc/sys/fs/file-max"
	}
	if n.given > 1 { // accept looks for a free number before it looks for a connection
		ready = ", and the listener stays readable"
	}
	w := x.raise(about, rec, fd, -1, func(w *Warning) string {
		return fmt.Sprintf("accept on %d fails with %s %d times%s%s: %s", fd, errno, w.Count, w.rate(), ready, what)
	})
	w.evidence(&n.evidence)
}

// take forgets that the last wait handed a descriptor out, and took reports
// whether it did.
func (h *habits) take(fd int) {
	for i := range h.given {
		if h.given[i].fd == fd {
			h.given[i].fd = -1
		}
	}
}

func (h *habits) took(fd int) bool {
	for i := range h.given {
		if h.given[i].fd == fd && h.given[i].mask&evIn != 0 {
			return true
		}
	}
	return false
}

// herd are the tasks that were given one listener.
type herd struct {
	tasks []int // that a wait gave it to, since the last time that all were counted
	evidence
}

// maxTasks bounds the tasks of a herd that are distinguished.
const maxTasks = 64

func (x *Explainer) herded(th *thread, g *given) {
	if g.file == nil || g.mask&evIn == 0 {
		return
	}
	add(&g.file.traits.herd.tasks, th.pid)
}

func add(list *[]int, v int) {
	for _, have := range *list {
		if have == v {
			return
		}
	}
	if len(*list) < maxTasks {
		*list = append(*list, v)
	}
}

// accepted is an accept that found a connection.
func (h *habits) accepted(fd, pid int, f *file) {
	if h.took(fd) {
		add(&f.traits.herd.tasks, pid)
	}
	h.take(fd)
}

// inVain is an accept that found none. After a wait that handed the listener
// out, somebody else was faster.
func (x *Explainer) inVain(rec *strace.Record, th *thread, fd int, f *file) {
	if !th.habits.took(fd) {
		return // it has taken what there was
	}
	th.habits.take(fd)
	r := &f.traits.herd
	add(&r.tasks, th.pid)
	r.see(x, rec)
	if len(r.tasks) < 2 || r.count < 2 && len(r.tasks) < 3 {
		return
	}
	about := cause{code: "thundering-herd", about: f}
	if x.counted(about, rec) {
		return
	}
	w := x.raise(about, rec, fd, -1, func(w *Warning) string {
		times := "once"
		if w.Count > 1 {
			times = fmt.Sprintf("%d times", w.Count)
		}
		return fmt.Sprintf("%d tasks wait for listener %d and are given it, and accept found no connection left %s: each connection wakes more than one", len(r.tasks), fd, times)
	})
	w.evidence(&r.evidence)
}

// self is an eventfd that a thread writes and then waits for.
type self struct {
	evidence
	pid     int // of the writer
	wrote   uint64
	foreign bool // somebody else wrote, or waited
	given   bool // to the writer, since it wrote
}

// selfRuns is how many rounds make a habit.
const selfRuns = 4

func (x *Explainer) selfTransfer(rec *strace.Record, th *thread, fd int, f *file, write bool) {
	if f.kind != "eventfd" && f.kind != "" || f.runtime || f.traits.edges > 0 {
		return
	}
	s, c := &f.traits.self, &rec.Call
	v, ok := c.Counter(x.order)
	if !ok || c.Value != 8 {
		s.foreign = true
		return
	}
	if write {
		if s.wrote > 0 && s.pid != th.pid {
			s.foreign = true
		}
		s.pid, s.wrote = th.pid, s.wrote+v
		return
	}
	own := s.given && !s.foreign && s.pid == th.pid && s.wrote == v && v > 0
	s.wrote, s.given, s.foreign = 0, false, false
	if !own {
		s.reset()
		return
	}
	if s.see(x, rec); s.count < selfRuns {
		return
	}
	about := cause{code: "self-wake", about: f}
	if x.countedRow(about, rec, &s.evidence, selfRuns) {
		return
	}
	who := threadName(th.pid)
	w := x.raise(about, rec, fd, -1, func(w *Warning) string {
		return fmt.Sprintf("%s writes eventfd %d and then waits for it, in %s: all that it read in them it had written itself, and no wait slept", who, fd, w.inARow("rounds"))
	})
	w.evidence(&s.evidence)
}

// selfGiven notes who waits for a file.
func (x *Explainer) selfGiven(th *thread, g *given) {
	if g.file == nil {
		return
	}
	s := &g.file.traits.self
	if s.wrote == 0 || g.mask&evIn == 0 {
		return
	}
	if s.pid != th.pid {
		s.foreign = true
		return
	}
	s.given = true
}
