//go:build linux

package explain

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// waiting is a call that may be a thread's last.
type waiting struct {
	name    string // "" for none
	line    int
	pid     int
	table   *table
	ep      *file
	epfd    int
	limit   int64
	known   bool     // limit is
	endless bool     // the wait before it on the same epoll had no time-out
	members []member // of a poll or select, or the one descriptor
	more    int
	reads   bool
	sleeps  bool   // and waits for no descriptor
	what    []byte // the first argument, if it sleeps
	died    int    // the line in which its thread was killed in it, 0 if it was not
	words   string // what was known of it then
	back    bool   // a signal ended it
	signal  string // which that was, "" if it has not come yet
}

// lasts reports whether it is a call that has not returned.
func (w *waiting) lasts() bool { return w.name != "" && !w.back }

// open reports whether a descriptor was open as long as the call lasted. What
// closes with a process that is killed is no part of its wait.
func (w *waiting) open(d *descriptor) bool {
	return d.closed == 0 || w.died > 0 && d.closed >= w.died
}

type member struct {
	fd   int
	mask string
}

// maxNamed is how many members a sentence names.
const maxNamed = 8

// began keeps the first half of a call.
func (x *Explainer) began(rec *strace.Record, th *thread) {
	c := &rec.Call
	th.table.exits = th.table.exits || c.Name == "exit_group"
	w := &th.habits.open
	*w = waiting{name: c.Name, line: rec.Line, pid: rec.PID, table: th.table, epfd: -1, limit: -1, members: w.members[:0], what: w.what[:0]}
	switch kind := x.known.of(c.Name).classOf(c); {
	case isEpollWait(c.Name):
		w.epfd, w.ep = x.fileOf(c, th, 0)
		w.limit, w.known = epollLimit(c.Name, arg(c, 3)) // strace prints it when the call returns
		if r := th.habits.rounds[w.ep]; r != nil {
			w.endless = r.endless
		}
	case kind == doesWait && strings.Contains(c.Name, "poll"):
		w.limit, w.known = pollLimit(c)
		strace.PollFDs(arg(c, 0), func(p strace.PollFD) {
			if p.FD.N >= 0 {
				w.add(p.FD.N, string(p.Events))
			}
		})
	case kind == doesWait:
		w.limit, w.known = selectLimit(c)
		for i, set := range setNames {
			strace.FDSet(arg(c, i+1), func(fd strace.FD) { w.add(fd.N, strings.Trim(set, "()")) })
		}
	case kind == doesTake || kind == doesPut:
		w.reads = kind == doesTake && !isAccept(c)
		if fd, ok := c.FD(); ok {
			w.add(fd.N, "")
		}
	case kind == doesSleep:
		w.sleeps = true
		first := arg(c, 0)
		w.what = append(w.what, first[:min(len(first), 64)]...)
	default:
		w.name = ""
	}
	x.diagnosis.lastLine = rec.Line
	switch {
	case c.Detached:
		x.ended1(th)
	case c.Cut && printsResult(c): // so it has returned
		w.done()
	case c.Cut:
		x.diagnosis.cut = th
	}
}

// printsResult reports whether a call that is cut has an argument that strace
// prints only when the call returns.
func printsResult(c *strace.Call) bool {
	if !isEpollWait(c.Name) && classOf(c) != doesTake {
		return false
	}
	return len(c.Args) > 1 && len(c.Args[1]) > 0
}

// goesOn is a record after a call that its line's end cut. If it is not the rest
// of that call, the line was no last one: a program may have printed it.
func (x *Explainer) goesOn(rec *strace.Record) {
	switch rec.Type {
	case strace.CallLine, strace.Resumed, strace.Unfinished, strace.Signal, strace.Exit:
	default:
		return
	}
	w := &x.diagnosis.cut.habits.open
	if rec.Call.First == 0 || rec.Call.First != w.line {
		w.done()
	}
	x.diagnosis.cut = nil
}

// sleepsFor says what ends a call that sleeps and waits for no descriptor; ""
// if that is not known.
func (w *waiting) sleepsFor() string {
	switch {
	case !w.sleeps:
		return ""
	case strings.HasPrefix(w.name, "futex"):
		return "the futex at " + string(w.what)
	case strings.Contains(w.name, "nanosleep"):
		return "its time to pass"
	case strings.HasPrefix(w.name, "wait"):
		return "a child"
	case strings.Contains(w.name, "sig"), w.name == "pause":
		return "a signal"
	}
	return string(w.what)
}

func (w *waiting) add(fd int, mask string) {
	if len(w.members) >= maxNamed {
		w.more++
		return
	}
	w.members = append(w.members, member{fd, mask})
}

// done forgets a call that has returned, but for its room.
func (w *waiting) done() { w.name, w.line, w.back, w.signal = "", 0, false, "" }

// ends is a signal that comes right after a call that it ended.
func (w *waiting) ends(text []byte) {
	if w.back && w.signal == "" {
		name, _, _ := bytes.Cut(text, []byte(" "))
		w.signal = string(name)
	}
}

// ended1 keeps the call in which strace left a thread, or in which it died.
func (x *Explainer) ended1(th *thread) {
	d := &x.diagnosis
	if th.habits.open.lasts() && len(d.killed) < 64 {
		d.killed = append(d.killed, th.habits.open)
	}
	th.habits.open = waiting{}
}

// signalOf is the signal of "killed by SIGABRT (core dumped)".
func signalOf(text []byte) string {
	name, _, _ := bytes.Cut(bytes.TrimPrefix(text, []byte("killed by ")), []byte(" "))
	return string(name)
}

// gone takes the end of a thread into account, before it is forgotten.
func (x *Explainer) gone(rec *strace.Record) {
	th := x.state.find(rec.PID)
	if th == nil {
		return
	}
	if bytes.HasPrefix(rec.Text, []byte("killed by")) && !th.table.exits {
		w := &th.habits.open
		if w.back && w.signal != signalOf(rec.Text) {
			w.done()
		}
		if w.back = false; w.name != "" {
			w.died = rec.Line
			w.words = fmt.Sprintf("%s, when %s killed it (line %d)", w.is("was"), signalOf(rec.Text), rec.Line)
		}
		x.ended1(th)
	}
	x.settleClose(nil, th)
	if len(x.state.threads) == 1 {
		x.diagnosis.exited = true
	}
}

// atEnd raises the warnings that the end of the log completes.
func (x *Explainer) atEnd() {
	hung := slices.Clone(x.diagnosis.killed)
	for at := x.state.byUse.Oldest(); at != nil; at = at.Newer() {
		th := at.Of
		x.settleClose(nil, th)
		x.onlyLooks(th)
		if th.habits.open.lasts() && !th.table.exits {
			hung = append(hung, th.habits.open)
		}
	}
	slices.SortStableFunc(hung, func(a, b waiting) int { return a.line - b.line })
	for i := range hung {
		x.lostEdges(&hung[i])
	}
	x.kernelBug(hung)
	x.keptBehind()
	if len(x.diagnosis.unseen) == 0 {
		for _, u := range x.diagnosis.unread {
			if u.file.open <= 0 { // nobody has got it since
				x.neverRead(u.fd, u.file, u.line)
			}
		}
	}
	for i := range hung {
		if i < maxThreadsTold {
			x.waitsFor(&hung[i])
		}
	}
}

// maxThreadsTold bounds the threads of a hang that are described.
const maxThreadsTold = 64

// onlyLooks warns of a thread that does nothing in the whole log but look.
func (x *Explainer) onlyLooks(th *thread) {
	h := &th.habits
	if h.others || h.made || h.sleeps > 0 || h.open.lasts() || x.diagnosis.sawMaking {
		return
	}
	if h.idle.count < 3 || h.idle.count >= x.idleRuns() { // the latter was raised before
		return
	}
	rec := strace.Record{Line: h.idle.lines[len(h.idle.lines)-1]}
	rec.Call.Name = h.idleName
	x.idleLoop(&rec, th, -1, &h.idle)
}

// waitsFor says what would end a call that never returned.
func (x *Explainer) waitsFor(w *waiting) {
	words := w.words
	if words == "" {
		words = w.is("is")
	}
	fd := -1
	if w.ep == nil && len(w.members) == 1 {
		fd = w.members[0].fd
	}
	x.raiseAtEnd(cause{code: "waits-for", about: w.table, n: int64(w.pid)<<32 | int64(w.line)}, fd, w.epfd, []int{w.line}, words)
}

// is says in which call a thread is or was, and what would end it.
func (w *waiting) is(verb string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s in %s (line %d)", threadName(w.pid), verb, w.name, w.line)
	switch {
	case w.ep != nil:
		fmt.Fprintf(&b, " on epoll %d%s", w.epfd, limitWords(w))
		w.epollMembers(&b)
	case len(w.members) > 0:
		b.WriteString(limitWords(w))
		b.WriteString(", for ")
		for i, m := range w.members {
			if i > 0 {
				b.WriteString("; ")
			}
			b.WriteString(describeMember(w.table, m, w.reads))
		}
		if w.more > 0 {
			fmt.Fprintf(&b, "; and %d more", w.more)
		}
	case w.sleepsFor() != "":
		b.WriteString(", for " + w.sleepsFor())
	default:
		b.WriteString(limitWords(w))
		b.WriteString(", for nothing but time or a signal")
	}
	return b.String()
}

func limitWords(w *waiting) string {
	switch {
	case !w.known:
		return ""
	case w.limit < 0:
		return ", without a time-out"
	case w.limit == 0:
		return ", with a time-out of 0"
	}
	return fmt.Sprintf(", at most %s", appendTime(nil, w.limit))
}

// epollMembers names what is registered, and what was refused or went.
func (w *waiting) epollMembers(b *strings.Builder) {
	regs := sorted(w.ep.traits.regs)
	n := 0
	for _, r := range regs {
		if r.d != nil && r.d.closed != 0 && r.d.file.open <= 0 {
			continue // it went with the last close
		}
		if n++; n > maxNamed {
			continue
		}
		if n == 1 {
			b.WriteString(", for ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(describeMember(w.table, member{r.fd, r.mask.name(true)}, false))
		if r.mask&evOnce != 0 && r.disarmed > 0 {
			fmt.Fprintf(b, ", used up at line %d", r.disarmed)
		}
	}
	if n > maxNamed {
		fmt.Fprintf(b, "; and %d more", n-maxNamed)
	}
	if n == 0 {
		if w.ep.made > 0 {
			b.WriteString(": nothing is registered in it, only a signal or the time-out ends it")
		} else {
			b.WriteString(": what is registered was registered before the log")
		}
	} else if w.ep.made == 0 {
		b.WriteString(", and what was registered before the log")
	}
	for i, r := range w.ep.traits.refusals {
		if i < maxNamed {
			fmt.Fprintf(b, "; %s was refused with EPERM at line %d", r.name, r.line)
		}
	}
}

// describeMember says of a descriptor what the log shows of it last.
func describeMember(t *table, m member, reads bool) string {
	d := t.get(m.fd)
	kind := ""
	if d != nil {
		kind = d.file.kind
	}
	out := fmt.Sprintf("%s %d", kindOr(kind), m.fd)
	if m.mask != "" {
		out += " (" + m.mask + ")"
	}
	if d == nil {
		return out
	}
	f := d.file
	if reads && f.peer != nil {
		for other := range t.open(0, math.MaxInt) {
			if other.file == f.peer {
				out += fmt.Sprintf(", whose other end is fd %d of the same process (while that is open, the end of the file does not come)", other.fd)
				break
			}
		}
	}
	counter, known := f.counter()
	switch last := f.traits.lastRead; {
	case d.closed != 0:
		out += fmt.Sprintf(", closed at line %d%s", d.closed, closer(d))
	case known:
		out += fmt.Sprintf(", its counter at %d by what the log shows", counter)
	case last.ok && last.n == 0:
		out += fmt.Sprintf(", at its end since line %d", last.line)
	case last.ok:
		out += fmt.Sprintf(", last read at line %d (%d bytes)", last.line, last.n)
	}
	return out
}

// counter is that of an eventfd, if the log shows all that changes it.
func (f *file) counter() (n uint64, known bool) {
	if f.kind != "eventfd" || f.made == 0 || f.unvalued || f.kernel != "" || sum(f.initial, f.added) < f.taken {
		return 0, false
	}
	return sum(f.initial, f.added) - f.taken, true
}

func sorted(regs map[int]*reg) []*reg {
	out := make([]*reg, 0, len(regs))
	for _, r := range regs {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *reg) int { return a.fd - b.fd })
	return out
}

// kernelBug warns if the log is of a kernel that is known to lose the
// expiry of epoll_wait's time-out.
func (x *Explainer) kernelBug(hung []waiting) {
	d := &x.diagnosis
	version := x.Kernel
	if version == "" {
		version = d.release
	}
	if !epollHangs(version) {
		return
	}
	const fix = "the fix is fs/eventpoll: fix endless busy loop after timeout has expired"
	for i := range hung {
		w := &hung[i]
		if w.ep == nil || w.endless || w.known && w.limit <= 0 {
			continue
		}
		x.raiseAtEnd(cause{code: "kernel-bug", about: x}, -1, w.epfd, []int{w.line},
			fmt.Sprintf("%s does not return (line %d), and Linux %s has a bug that makes such a wait loop in the kernel once its time-out has passed, if it has one (%s)", w.name, w.line, version, fix))
		return
	}
	if d.waited == 0 && d.woken.count >= 2 {
		x.raiseAtEnd(cause{code: "kernel-bug", about: x}, -1, -1, d.woken.lines,
			fmt.Sprintf("eventfds are written, and no epoll_wait that can sleep returns in this log; Linux %s has a bug that makes one with a time-out loop in the kernel once its time has passed (%s)", version, fix))
	}
}

// epollHangs reports whether a version is one of 6.14.6 to 6.14.8.
func epollHangs(version string) bool {
	var a, b, c int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &a, &b, &c); n < 3 {
		return false
	}
	return a == 6 && b == 14 && c >= 6 && c <= 8
}
