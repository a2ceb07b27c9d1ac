//go:build linux

package explain

import (
	"fmt"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// edgeGiven notes an event of a registration that gives each only once.
func (x *Explainer) edgeGiven(rec *strace.Record, g *given) {
	r := g.reg
	if r == nil {
		return
	}
	if r.mask&evOnce != 0 {
		r.disarmed = rec.Line
	}
	if g.mask&evOut != 0 {
		r.asked, r.takenBack = 0, 0
	}
}

// registrations calls fn for those of a file that give each event once.
func (f *file) registrations(fn func(*reg)) {
	if f.traits.edges == 0 {
		return
	}
	for _, r := range f.regs {
		if mine := r.epoll.traits.regs[r.fd]; mine != nil {
			fn(mine)
		}
	}
}

// undrained notes whether a read or an accept may have left something.
func (x *Explainer) undrained(rec *strace.Record, f *file, n int64, left bool) {
	f.registrations(func(r *reg) {
		r.undrained, r.size = 0, n
		if left && r.mask&evEdge != 0 {
			r.undrained = rec.Line
		}
	})
}

// wrote notes a write that went through: the file has room again.
func (f *file) wrote() {
	for _, r := range f.regs {
		if mine := r.epoll.traits.regs[r.fd]; mine != nil {
			mine.asked, mine.takenBack = 0, 0
		}
	}
}

// lostEdges warns, when a wait never returned, of registrations in its epoll
// that have no further event to give.
func (x *Explainer) lostEdges(w *waiting) {
	if w.ep == nil || w.ep.runtime {
		return
	}
	for _, r := range sorted(w.ep.traits.regs) {
		if r.d == nil || !w.open(r.d) {
			continue
		}
		fd, epfd, name := r.fd, w.epfd, kindOr(r.d.file.kind)
		var lines []int
		var text string
		switch {
		case r.takenBack > 0:
			lines = []int{r.d.file.traits.blockedAt, r.takenBack}
			text = fmt.Sprintf("a write to %s %d found no room (line %d), EPOLLOUT was asked for and taken back at line %d before it came: nothing says when there is room", name, fd, lines[0], lines[1])
		case r.undrained > 0 && r.size > 1:
			lines = []int{r.undrained}
			text = fmt.Sprintf("%s %d is registered with EPOLLET, and the read of line %d got all of the %d bytes that it asked for: what may be left makes no further event", name, fd, r.undrained, r.size)
		case r.undrained > 0:
			lines = []int{r.undrained}
			text = fmt.Sprintf("%s %d is registered with EPOLLET, and was read once and not until EAGAIN (line %d): what may be left makes no further event", name, fd, r.undrained)
		case r.disarmed > 0 && !x.working(w):
			lines = []int{r.disarmed}
			text = fmt.Sprintf("%s %d is registered with EPOLLONESHOT, gave its event at line %d and was not armed again with EPOLL_CTL_MOD", name, fd, r.disarmed)
		default:
			continue
		}
		text += fmt.Sprintf("; the %s of line %d does not return", w.name, w.line)
		x.raiseAtEnd(cause{code: "lost-edge", about: r}, fd, epfd, append(lines, w.line), text)
	}
}

// working reports whether another thread of the process is in the middle of
// something, and may arm it again.
func (x *Explainer) working(w *waiting) bool {
	for at := x.state.byUse.Oldest(); at != nil; at = at.Newer() {
		th := at.Of
		if th.pid != w.pid && th.table == w.table && !th.habits.open.lasts() {
			return true
		}
	}
	return false
}

// raiseAtEnd adds a warning that the end of the log completes.
func (x *Explainer) raiseAtEnd(c cause, fd, epfd int, lines []int, text string) {
	rec := strace.Record{Line: lines[0]}
	w := x.raise(c, &rec, fd, epfd, func(*Warning) string { return text })
	if w == nil || w.Count > 1 {
		return
	}
	for _, l := range lines[1:] {
		w.line(l)
	}
}
