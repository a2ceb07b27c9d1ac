//go:build linux

package efd

import (
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/plain"
)

// String describes the thread and its call: "thread 26105 (consumer) in
// write(5)".
func (s Side) String() string {
	text := thread(s.TID)
	if s.Comm != "" {
		text += " (" + plain.Text(s.Comm) + ")"
	}
	switch {
	case s.Syscall != "" && s.FD >= 0:
		text += sprintf(" in %s(%d)", s.Syscall, s.FD)
	case s.Syscall != "":
		text += " in " + s.Syscall
	}
	return text
}

// String describes the change: "thread 26111 (consumer) in ppoll was put on the
// wait queue of eventfd 5 (id 12)".
func (c Change) String() string {
	by := "an interrupt"
	if c.By.TID > 0 || c.By.Syscall != "" {
		by = c.By.String()
	}
	return by + " " + c.What + " " + plain.Text(c.Object)
}

// String is the call and its verdict: "eventfd_write → wake_up_locked_poll
// (fs/eventfd.c:281), inlined".
func (e Edge) String() string {
	s := e.Caller + " → " + e.Callee
	switch {
	case e.Line > 0:
		s += sprintf(" (%s:%d)", e.File, e.Line)
	case e.File != "":
		s += " (" + e.File + ")"
	}
	if e.Verdict != "" {
		s += ", " + strings.ReplaceAll(string(e.Verdict), "_", " ")
	}
	return s
}

// verdicts is the order in which Path counts them.
var verdicts = [...]Verdict{Seen, Renamed, TailCall, Inlined, NotTaken, NotObservable, Inconclusive, Contradicted, Undocumented}

// String names the path and counts its edges: "eventfd_write on Linux 6.18: 21
// edges, 15 seen, 6 inlined".
func (p Path) String() string {
	if p.Name == "" {
		return "no path"
	}
	s := p.Name
	if p.Kernel != "" {
		s += " on Linux " + p.Kernel
	}
	s += ": " + count.Of(len(p.Edges), "edge")
	n := map[Verdict]int{}
	for _, e := range p.Edges {
		n[e.Verdict]++
	}
	for _, v := range verdicts {
		if n[v] > 0 {
			s += sprintf(", %d %s", n[v], strings.ReplaceAll(string(v), "_", " "))
		}
	}
	return s
}

// shownWakes is how many wakes a Report prints.
const shownWakes = 16

// String is a line of counts, and one for each of the newest wakes, 16 at most.
func (r Report) String() string {
	var b strings.Builder
	b.WriteString(count.Of(r.Total, "wake"))
	if r.Kernel != "" {
		b.WriteString(" on Linux " + r.Kernel)
	}
	if r.TotalChanges > 0 {
		b.WriteString(", " + count.Of(r.TotalChanges, "change"))
	}
	b.WriteString(", " + count.Of(r.Lost, "record") + " lost")
	for _, why := range r.Unobservable {
		b.WriteString("\n\tnot observable: " + plain.Text(why))
	}
	wakes := r.Wakes
	if more := r.Total - shownWakes; more > 0 {
		b.WriteString("\n\t… " + count.Of(more, "wake") + " before these")
		wakes = wakes[max(0, len(wakes)-shownWakes):]
	}
	for _, w := range wakes {
		b.WriteString("\n\t" + w.String())
	}
	return b.String()
}
