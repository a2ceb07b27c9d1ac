//go:build linux

package waiters

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/plain"
)

// Write writes a report for people: findings first, then the objects that
// somebody waits for; all of them if all is set.
func Write(t *render.Text, r *Report, all bool) {
	r.findingsText(t, all)
	if len(r.Objects) == 0 {
		t.Para("", "The kernel shows no open file with a wait queue of a known kind here.")
	}
	idle := 0
	for _, o := range r.Objects {
		if !all && len(o.Queue) == 0 {
			idle++
			continue
		}
		o.text(t)
	}
	if idle > 0 {
		t.Printf("\n")
		t.Para("", fmt.Sprintf("%s not shown: their queues are empty. With -p all of a process are.", count.Of(idle, "more object is", "more objects are")))
	}
}

func (r *Report) findingsText(t *render.Text, all bool) {
	left := 0
	for _, f := range r.Findings {
		if !all && (f.Code == WaitsFor || f.Code == Unattended) {
			left++
			continue
		}
		t.Hanging(t.Bold(f.Code)+": ", f.Text+".")
	}
	if left > 0 {
		t.Para("", fmt.Sprintf("%s by process: -p shows them.", count.Of(left, "conclusion is", "conclusions are")))
	}
	if len(r.Findings) > 0 {
		t.Printf("\n")
	}
}

func (o *Object) text(t *render.Text) {
	first := o.Holders[0]
	head := fmt.Sprintf("%s[%d] fd %d  %s", plain.Text(first.Comm), first.PID, first.FD, t.Bold(o.Kind))
	if o.ID != nil {
		head += fmt.Sprintf(" id %d", *o.ID)
	}
	t.Printf("%s%s\n", head, o.stateText())
	if len(o.Holders) > 1 {
		t.Hanging("    also held as ", holdersText(o.Holders[1:], first))
	}
	if o.Torn {
		t.Para("    ", "It changed each time that it was read: what follows may be incomplete.")
	}
	for _, e := range o.Queue {
		e.text(t)
	}
	if o.More > 0 {
		t.Printf("    … and more\n")
	}
}

func (o *Object) stateText() string {
	var s []string
	st := &o.State
	if st.Count != nil {
		s = append(s, fmt.Sprintf("counter %d", *st.Count))
		if o.semaphor {
			s = append(s, "EFD_SEMAPHORE")
		}
		if o.kernel > 0 {
			s = append(s, "held in the kernel too: "+count.Of(o.kernel, "reference"))
		}
	}
	if st.Items != nil {
		s = append(s, count.Of(*st.Items, "item"))
	}
	if len(st.Ready) > 0 {
		s = append(s, "ready: fd "+ints(st.Ready))
	}
	if st.Family != "" {
		s = append(s, st.Family)
	}
	if st.Queued != nil {
		noun := map[string]string{"pipe": "buffer to read", "socket": "packet to read", "timerfd": "expiration", "inotify": "event"}[o.Kind]
		plural := strings.Replace(noun, " ", "s ", 1)
		if plural == noun {
			plural += "s"
		}
		s = append(s, count.Of(*st.Queued, noun, plural))
	}
	if st.Readers != nil {
		s = append(s, count.Of(*st.Readers, "reader"), count.Of(*st.Writers, "writer"))
	}
	if s == nil {
		return ""
	}
	return ", " + strings.Join(s, ", ")
}

// queueNames are those of kinds that have several queues.
var queueNames = map[string][2]string{"pipe": {"readers", "writers"}, "terminal": {"readers", "writers"}, "epoll": {"in epoll_wait", "watching the epoll"}, "io_uring": {"for completions", "polling"}}

func (e *Entry) text(t *render.Text) {
	s := ""
	switch {
	case e.Epoll != nil:
		s = fmt.Sprintf("epoll %s has it as fd %d for %s", holdersText(e.Epoll.Holders, Holder{}), e.Epoll.FD, e.Epoll.Events)
		if e.noEvents() {
			s += ", handed out"
		}
		if n := len(e.Epoll.Sleepers); n > 0 {
			s += fmt.Sprintf("; %s %s %s in its epoll_wait", count.Word(n, "thread", "threads"), ints(e.Epoll.Sleepers), count.Word(n, "sleeps", "sleep"))
		} else if len(e.Epoll.Holders) > 0 {
			s += "; no thread sleeps in its epoll_wait"
		}
	case e.TID > 0:
		s = fmt.Sprintf("thread %d (%s)", e.TID, plain.Text(e.Comm))
		if e.PID != e.TID {
			s += fmt.Sprintf(" of process %d", e.PID)
		}
		if e.Syscall != "" {
			s += " in " + e.Syscall
		} else {
			s += ", awake"
		}
		if e.Events != "" {
			s += " for " + e.Events
		}
	default:
		s = "in the kernel"
	}
	if names, several := queueNames[e.object.Kind]; several {
		s += " (" + names[e.queue&1] + ")"
	}
	if e.Exclusive {
		s += ", exclusive"
	}
	t.Hanging(fmt.Sprintf("    %-27s ", e.Callback), s)
	if len(e.Path) > 0 {
		t.Para("        ", t.Dim("by "+strings.Join(e.Path, " → ")))
	}
}

// holdersText names descriptors; those of the process of first by their number
// alone.
func holdersText(of []Holder, first Holder) string {
	const most = 8
	var s []string
	for i, h := range of {
		if i == most {
			s = append(s, fmt.Sprintf("%d more", len(of)-most))
			break
		}
		text := fmt.Sprintf("fd %d", h.FD)
		if h.PID != first.PID {
			text = fmt.Sprintf("fd %d of %s[%d]", h.FD, plain.Text(h.Comm), h.PID)
		}
		s = append(s, text)
	}
	if s == nil {
		return "whose descriptors are not shown"
	}
	return strings.Join(s, ", ")
}

func ints(of []int) string {
	const most = 12
	s := make([]string, 0, len(of))
	for i, n := range slices.Sorted(slices.Values(of)) {
		if i == most {
			s = append(s, fmt.Sprintf("and %d more", len(of)-most))
			break
		}
		s = append(s, fmt.Sprint(n))
	}
	return strings.Join(s, ", ")
}
