//go:build linux

package waiters

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/plain"
)

// The codes of findings.
const (
	LostWake   = "lost-wake"        // ready, and a waiter that wants it sleeps
	Unattended = "ready-unattended" // ready, and nothing makes a thread look at it
	NoWaker    = "no-waker"         // nobody else has the other end
	WaitsFor   = "waits-for"        // a sleeping thread, and all that it waits for
)

// Finding is a conclusion from the state of the queues. Its JSON is a contract.
type Finding struct {
	Code string `json:"code"`
	Text string `json:"text"`
	PID  int    `json:"pid"`
	FD   int    `json:"fd"`

	objects  []*Object
	entry    uint64
	tid      int
	switches int
}

// wait is a thread that sleeps, and the objects that can wake it.
type wait struct {
	tid     int
	thread  Thread
	syscall string
	entries []*Entry // on the objects; an epoll's for a thread in epoll_wait
	objects []*Object
}

// waits gathers the sleeping threads, in the order of their numbers.
func (b *builder) waits(rep *Report) []*wait {
	of := map[int]*wait{}
	get := func(e *Entry) *wait {
		w := of[e.TID]
		if w == nil {
			w = &wait{tid: e.TID, thread: b.s.Threads[e.TID], syscall: e.Syscall}
			of[e.TID] = w
		}
		return w
	}
	inside := map[*Object][]*wait{} // by the epoll that they sleep in
	for _, o := range rep.Objects {
		for _, e := range o.Queue {
			if e.TID == 0 || e.Syscall == "" || e.triggered {
				continue
			}
			w := get(e)
			if o.Kind == "epoll" && e.queue == 0 {
				if !slices.Contains(inside[o], w) {
					inside[o] = append(inside[o], w)
				}
				continue
			}
			w.add(e, o)
		}
	}
	for _, o := range rep.Objects {
		for _, e := range o.Queue {
			if e.Epoll == nil {
				continue
			}
			for _, w := range inside[b.files[e.ep]] {
				w.add(e, o)
			}
		}
	}
	return slices.SortedFunc(maps.Values(of), func(a, c *wait) int { return cmp.Compare(a.tid, c.tid) })
}

func (w *wait) add(e *Entry, o *Object) {
	w.entries = append(w.entries, e)
	if !slices.Contains(w.objects, o) {
		w.objects = append(w.objects, o)
	}
}

// readable reports whether an object has something to read, for the kinds whose
// state says so exactly.
func (o *Object) readable() (is, known bool) {
	switch o.Kind {
	case "eventfd":
		return *o.State.Count > 0, true
	case "pipe", "timerfd", "inotify":
		return *o.State.Queued > 0, true
	}
	return false, false
}

// reads are the calls that sleep until there is something to read, and writes
// until there is room. Some do both.
var (
	reads  = []string{"read", "readv", "preadv", "preadv2", "splice", "tee"}
	writes = []string{"write", "writev", "pwritev", "pwritev2", "splice", "tee", "vmsplice"}
)

// wantsInput reports whether the entry is of a waiter that something to read
// wakes.
func (e *Entry) wantsInput() bool {
	switch {
	case e.Epoll != nil, e.Events != "":
		return e.mask&uint32(efd.POLLIN|efd.POLLRDNORM) != 0
	case e.object.Kind == "pipe":
		return e.queue == 0 && slices.Contains(reads, e.Syscall)
	}
	return slices.Contains(reads, e.Syscall)
}

// satisfied reports whether the object is known to have what the waiter wants,
// and would be handed out for it.
func (e *Entry) satisfied() bool {
	is, known := e.object.readable()
	return known && is && e.wantsInput() && (e.Epoll == nil || e.mask&uint32(efd.EPOLLET) == 0)
}

// noEvents reports whether an item of an epoll waits for nothing: EPOLLONESHOT
// has handed it out.
func (e *Entry) noEvents() bool {
	const private = uint32(efd.EPOLLONESHOT | efd.EPOLLET | efd.EPOLLEXCLUSIVE | efd.EPOLLWAKEUP)
	return e.Epoll != nil && e.mask&^private == 0 && e.mask&uint32(efd.EPOLLONESHOT) != 0
}

// findings draws the conclusions, the most serious first.
func (b *builder) findings(rep *Report) []Finding {
	out := []Finding{}
	waits := b.waits(rep)
	for _, o := range rep.Objects {
		if is, known := o.readable(); known && is && !o.Torn {
			out = append(out, b.readyObject(o)...)
		}
	}
	for _, w := range waits {
		if f := b.noWaker(w); f != nil {
			out = append(out, *f)
		}
	}
	for _, w := range waits {
		if f := b.waitsFor(w); f != nil {
			out = append(out, *f)
		}
	}
	rank := []string{LostWake, NoWaker, Unattended, WaitsFor}
	slices.SortStableFunc(out, func(a, c Finding) int { return cmp.Compare(slices.Index(rank, a.Code), slices.Index(rank, c.Code)) })
	return out
}

// readyObject draws the conclusions of an object that has something to read.
func (b *builder) readyObject(o *Object) (out []Finding) {
	attended := false
	for _, e := range o.Queue {
		ep := b.files[e.ep]
		switch {
		case e.noEvents():
			out = append(out, b.finding(Unattended, o, e, fmt.Sprintf("%s: %s watches it, and handed it out once (EPOLLONESHOT): it comes again after EPOLL_CTL_MOD", o.readyText(), nameOr(ep, "an epoll"))))
			attended = true
		case !e.wantsInput():
		case e.Epoll != nil && e.mask&uint32(efd.EPOLLET) != 0:
			if ep != nil && !slices.Contains(ep.State.Ready, e.Epoll.FD) {
				out = append(out, b.finding(Unattended, o, e, fmt.Sprintf("%s: %s watches it with EPOLLET and does not have it on its ready list: it was handed out before, and comes again with the next write",
					o.readyText(), name(ep, 0))))
			}
			attended = true
		case e.Epoll != nil:
			attended = true
			if len(e.Epoll.Sleepers) > 0 && b.quiet(o) && !e.Exclusive {
				tid := e.Epoll.Sleepers[0]
				if t := b.s.Threads[tid]; t.Nr >= 0 && t.State == "S" {
					f := b.finding(LostWake, o, e, fmt.Sprintf("%s, and thread %d (%s) sleeps in its epoll_wait on %s, which watches it for %s: it was not woken, or the wake was lost",
						o.readyText(), tid, plain.Text(t.Comm), nameOr(ep, "an epoll"), e.Epoll.Events))
					f.tid, f.switches, f.PID = tid, t.Switches, t.PID
					out = append(out, f)
				}
			}
		default:
			attended = true
			t := b.s.Threads[e.TID]
			if e.triggered || e.Exclusive || e.Syscall == "" || t.State != "S" || !b.quiet(o) {
				continue // it, or the one that was woken in its place, is on its way
			}
			f := b.finding(LostWake, o, e, fmt.Sprintf("%s, and thread %d (%s) sleeps in its %s on it: it was not woken, or the wake was lost", o.readyText(), e.TID, plain.Text(e.Comm), e.Syscall))
			f.tid, f.switches, f.PID = e.TID, t.Switches, t.PID
			out = append(out, f)
		}
	}
	if !attended && o.More == 0 && o.Kind == "eventfd" {
		out = append(out, b.finding(Unattended, o, nil, o.readyText()+", and no entry on its queue wants to know"))
	}
	return out
}

// of makes a finding one about a thread.
func (f *Finding) of(w *wait) {
	f.PID, f.tid, f.switches, f.objects = w.thread.PID, w.tid, w.thread.Switches, w.objects
	for _, h := range w.objects[0].Holders {
		if h.PID == f.PID {
			f.FD = h.FD
			return
		}
	}
}

// quiet reports whether no process that holds an object has a thread that runs:
// such a one may be about to read.
func (b *builder) quiet(o *Object) bool {
	return !slices.ContainsFunc(o.Holders, func(h Holder) bool { return b.s.Processes[h.PID].Running != 0 })
}

func (b *builder) finding(code string, o *Object, e *Entry, text string) Finding {
	f := Finding{Code: code, Text: text, PID: o.Holders[0].PID, FD: o.Holders[0].FD, objects: []*Object{o}}
	if e != nil {
		f.entry = e.at
	}
	return f
}

// name is an object as a sentence names it, by a descriptor of the process pid
// if that has one.
func name(o *Object, pid int) string {
	h := o.Holders[0]
	if i := slices.IndexFunc(o.Holders, func(h Holder) bool { return h.PID == pid }); i >= 0 {
		h = o.Holders[i]
	}
	s := fmt.Sprintf("%s %d", o.Kind, h.FD)
	if o.ID != nil {
		s += fmt.Sprintf(" (id %d)", *o.ID)
	}
	if h.PID == pid {
		return s
	}
	return fmt.Sprintf("%s of process %d", s, h.PID)
}

func nameOr(o *Object, other string) string {
	if o == nil {
		return other
	}
	return name(o, 0)
}

// readyText says what an object has to read.
func (o *Object) readyText() string {
	switch o.Kind {
	case "eventfd":
		return fmt.Sprintf("%s has the counter %d", name(o, 0), *o.State.Count)
	case "timerfd":
		return fmt.Sprintf("%s has expired %d times", name(o, 0), *o.State.Queued)
	case "inotify":
		return fmt.Sprintf("%s has %s", name(o, 0), count.Of(*o.State.Queued, "event"))
	}
	return fmt.Sprintf("%s has %s to read", name(o, 0), count.Of(*o.State.Queued, "buffer"))
}

// givers are the descriptors through which the waiter of an entry is woken, if
// they are all known: for input those that write, for output those that read.
func (b *builder) givers(e *Entry) (of []Holder, known bool) {
	switch o := e.object; o.Kind {
	case "eventfd":
		return o.Holders, o.kernel == 0
	case "pipe":
		other := "r"
		if !e.wantsInput() {
			other = "w"
		}
		for _, h := range o.Holders {
			if h.Mode != other {
				of = append(of, h)
			}
		}
		return of, len(of) > 0
	case "socket":
		if peer := b.socks[o.peer]; o.State.Family == "unix" && peer != nil {
			return peer.Holders, true
		}
	}
	return nil, false
}

// forever reports whether the call that a thread sleeps in has no time-out.
func (w *wait) forever() bool {
	arg := w.thread.Args
	if len(arg) == 0 {
		return false // it was in another call when they were read
	}
	switch w.syscall {
	case "poll":
		return int32(arg[2]) < 0
	case "epoll_wait", "epoll_pwait":
		return int32(arg[3]) < 0
	case "ppoll":
		return arg[2] == 0
	case "epoll_pwait2":
		return arg[3] == 0
	case "select", "pselect6":
		return arg[4] == 0
	}
	return slices.Contains(reads, w.syscall) || slices.Contains(writes, w.syscall)
}

// noWaker finds a thread that nobody can wake: it is the only one of its
// process, and all that it waits for is written through its own descriptors
// alone.
func (b *builder) noWaker(w *wait) *Finding {
	if !w.forever() || len(w.objects) == 0 || b.s.Processes[w.thread.PID].Threads != 1 {
		return nil
	}
	for _, e := range w.entries {
		givers, known := b.givers(e)
		if e.object.Kind == "socket" && e.Epoll == nil && e.Events == "" {
			return nil // its own call, which SO_RCVTIMEO may end
		}
		if e.object.Torn || !known || e.satisfied() || slices.ContainsFunc(givers, func(h Holder) bool { return h.PID != w.thread.PID }) {
			return nil
		}
	}
	names := make([]string, len(w.objects))
	for i, o := range w.objects {
		names[i] = name(o, w.thread.PID)
	}
	f := b.finding(NoWaker, w.objects[0], w.entries[0], fmt.Sprintf("thread %d (%s), the only one of its process, sleeps in its %s without a time-out on %s, and no other process has a descriptor that wakes it: "+
		"only a signal handler of its own could, or a descriptor on its way in a socket", w.tid, plain.Text(w.thread.Comm), w.syscall, list(names)))
	f.of(w)
	return &f
}

// waitsFor names the files that a sleeping thread waits for, if none is known to
// be ready.
func (b *builder) waitsFor(w *wait) *Finding {
	if len(w.entries) == 0 || slices.ContainsFunc(w.entries, (*Entry).satisfied) {
		return nil
	}
	var names []string
	for i, e := range w.entries {
		if slices.ContainsFunc(w.entries[:i], func(before *Entry) bool { return before.object == e.object }) {
			continue
		}
		s := name(e.object, w.thread.PID)
		if e.object.Kind == "pipe" && !e.wantsInput() {
			s += fmt.Sprintf(" to take more than its %s", count.Of(*e.object.State.Queued, "buffer"))
		}
		if givers, known := b.givers(e); known {
			s += b.held(w, givers)
		}
		names = append(names, s)
	}
	f := b.finding(WaitsFor, w.objects[0], w.entries[0], fmt.Sprintf("thread %d (%s) sleeps in its %s on %s: %s", w.tid, plain.Text(w.thread.Comm), w.syscall, count.Of(len(names), "file"), list(names)))
	f.of(w)
	return &f
}

// held names the processes, apart from a waiter's own, that have the other end.
func (b *builder) held(w *wait, givers []Holder) string {
	var by []string
	for _, h := range givers {
		s := fmt.Sprintf("%d (%s)", h.PID, plain.Text(h.Comm))
		if h.PID != w.thread.PID && !slices.Contains(by, s) {
			by = append(by, s)
		}
	}
	if by == nil {
		return ", whose other end its own process alone has"
	}
	return ", whose other end has " + list(by)
}

// list joins the first few of some names.
func list(names []string) string {
	const most = 6
	if n := len(names) - most; n > 1 {
		return strings.Join(names[:most], "; ") + fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(names, "; ")
}

// Confirm drops from the findings of r those about a sleeping thread that was
// not asleep without a break until later, a report of the same system: a wake
// that was under way is no finding.
func (r *Report) Confirm(later *Report) {
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool {
		if f.Code == WaitsFor {
			return false
		}
		return !slices.ContainsFunc(later.Findings, func(g Finding) bool {
			return g.Code == f.Code && g.entry == f.entry && g.tid == f.tid && g.switches == f.switches && g.objects[0].at == f.objects[0].at
		})
	})
}

// Doubtful reports whether there are findings that Confirm has to decide.
func (r *Report) Doubtful() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code != WaitsFor })
}
