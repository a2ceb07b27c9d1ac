//go:build linux

package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/picture"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/plain"
)

// formats are those of run and verify; replay has no recording to write.
var formats = append([]string{"text", "recording"}, render.Formats...)

// checkFormat reports a form that is not among those that there are.
func checkFormat(f string, there []string) error {
	if !slices.Contains(there, f) {
		return fmt.Errorf("-format %q: there are: %s", f, strings.Join(there, " "))
	}
	return nil
}

// view shows the results of run, verify and replay: text during the
// observation, the other formats at its end.
type view struct {
	env       *env
	format    string
	title     string
	origin    string // "observed" or "recording"
	tier      string // of the observation, "" for tracepoints
	goRuntime bool
	kernel    *observe.Kernel
	rec       *record.Writer

	file *outFile // nil: standard output
	w    *bufio.Writer
	text *render.Text
	live bool // the output may be read as it comes
	line *picture.Timeline

	mu        sync.Mutex
	unseen    []string          // parts that could not be observed, with the reasons
	watched   string            // how many eventfds were watched
	losses    map[string]uint64 // by source
	first     int64
	wakes     int
	runtime   int
	changes   int
	findings  int
	groups    map[kind]*group
	latencies int // in groups
	ways      ways
}

// kind is a kind of wake, for the summary.
type kind struct{ waker, callback, wakee string }

// Bounds of the summary: kinds of wakes, and the latencies of all of them.
const (
	maxGroups    = 1 << 10
	maxLatencies = 1 << 20
)

type group struct {
	kind
	n         int
	latencies []int64
}

// newView makes a view that writes to file, or to standard output if that is
// nil.
func newView(e *env, file *outFile, format string, goRuntime bool) *view {
	v := &view{env: e, file: file, format: format, goRuntime: goRuntime, groups: map[kind]*group{}}
	to := e.stdout
	if file != nil {
		to = file
	}
	if format == "recording" {
		to = io.Discard
	}
	v.w = bufio.NewWriter(to)
	v.live = v.file == nil
	v.text = render.NewText(v.w, v.file == nil && colour(e.stdout))
	if format != "text" && format != "recording" {
		v.line = picture.New()
	}
	return v
}

// abandon leaves no file that was made for nothing.
func (v *view) abandon() {
	if v.file != nil {
		v.file.abandon()
	}
}

// flush writes the buffered output. A write per line would cost the reader of
// the kernel's records too much.
func (v *view) flush() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live {
		v.w.Flush()
	}
}

func (v *view) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wakes
}

// since is a time of the kernel's clock as one of the picture.
func (v *view) since(t int64) string {
	if v.first == 0 {
		v.first = t
	}
	return fmt.Sprintf("%12.6f", float64(t-v.first)/1e9)
}

// wake shows a wake.
func (v *view) wake(j *observe.Judged) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.rec != nil && j.Object != "" && (!v.rec.Options().NoArgs || pathless(j.Object)) {
		v.rec.Note(recorded.ObjectNote(j))
	}
	if v.rec != nil && j.By != "" && (!v.rec.Options().NoArgs || pathless(j.By)) {
		v.rec.Note(recorded.ByNote(j))
	}
	if j.Runtime && !v.goRuntime {
		v.runtime++
		return
	}
	v.wakes++
	v.tally(j)
	if v.line != nil {
		v.line.Wake(j)
		v.findings += len(findings(j))
		return
	}
	v.withWays(v.since(j.Time)+"  "+wakeLine(j), took{j.WakerSyscall, j.Waked}, took{j.WakeeSyscall, j.Sleeping})
	v.found(findings(j)...)
}

// pathless reports whether the name of an object is a kind and numbers. Others
// may be a file's.
func pathless(object string) bool {
	kind, _, _ := strings.Cut(object, " ")
	return slices.Contains([]string{"eventfd", "epoll", "pipe", "socket", "timerfd", "signalfd", "inotify", "pidfd"}, kind)
}

// found shows where the kernel differed from the documented paths.
func (v *view) found(steps ...match.Step) {
	for _, s := range steps {
		v.findings++
		v.text.Printf("%14s%s %s -> %s: %s\n", "", s.Verdict, plain.Text(s.Caller), plain.Text(s.Callee), plain.Text(s.Evidence))
	}
}

// change shows a change of a watched eventfd, with the functions that made it.
func (v *view) change(c *observe.Change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changes++
	name := fmt.Sprintf("a %s", c.Context)
	if !c.Interrupted {
		name = sideName(c.Side.TID, c.Side.Comm, c.Syscall, c.FD)
	}
	line := fmt.Sprintf("%s %s %s", name, c.What, plain.Text(c.Object))
	if v.line != nil {
		v.line.Change(c, line)
		if c.Chain != nil {
			v.findings += len(c.Chain.Findings())
		}
		return
	}
	v.text.Printf("%s  %s\n", v.since(c.Event.Time), line)
	v.text.Printf("%14s%s\n", "", v.text.Dim(c.Event.Source+": "+picture.ChainText(c)))
	if c.Chain != nil {
		v.found(c.Chain.Findings()...)
	}
}

// wakeLine describes the waker and the wakee, in one line.
func wakeLine(j *observe.Judged) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s woke %s", wakerName(j), sideName(j.Wakee.TID, j.Wakee.Comm, j.WakeeSyscall, j.WakeeFD()))
	if len(j.Callbacks) > 0 {
		fmt.Fprintf(&b, " through %s", strings.Join(j.Callbacks, ", "))
	}
	if j.Object != "" {
		fmt.Fprintf(&b, " on %s", plain.Text(j.Object))
	}
	if j.By != "" {
		fmt.Fprintf(&b, " by its %s", plain.Text(j.By))
	}
	if l := j.Latency(); l >= 0 {
		fmt.Fprintf(&b, ", running after %s", micro(l))
	}
	if j.WakeAside != "" {
		fmt.Fprintf(&b, " [for %s, unrelated to the call]", j.WakeAside)
	}
	if j.SleepAside != "" {
		fmt.Fprintf(&b, " [had waited for %s]", j.SleepAside)
	}
	if j.Runtime {
		b.WriteString(" [the Go runtime's poller]")
	}
	if j.Context == match.Unknown {
		b.WriteString(" [inconclusive: " + j.NoWaker() + "]")
	}
	if j.Lost {
		b.WriteString(" [records were lost beside it]")
	}
	return b.String()
}

// wakerName names the waker: an interrupt is not the thread that it hit.
func wakerName(j *observe.Judged) string {
	what := ""
	if len(j.WakePaths) > 0 {
		what = j.WakePaths[0]
	}
	switch {
	case j.Context == match.Unknown:
		return "something"
	case j.Interrupted && what == "timeout":
		return "the timer of its time-out"
	case j.RanIn():
		return fmt.Sprintf("a %s (%s), which ran in %s,", j.Context, cmp.Or(what, "unknown"), sideName(j.Waker.TID, j.Waker.Comm, "", -1))
	case j.Interrupted:
		return fmt.Sprintf("a %s (%s)", j.Context, cmp.Or(what, "unknown"))
	case j.Context == match.KWorker:
		return fmt.Sprintf("%d %s (%s)", j.Waker.TID, plain.Text(j.Waker.Comm), cmp.Or(what, "kworker"))
	}
	return sideName(j.Waker.TID, j.Waker.Comm, j.WakerSyscall, j.FD)
}

func sideName(tid int, comm, call string, fd int) string {
	s := strings.TrimSpace(fmt.Sprintf("%d %s", tid, plain.Text(comm)))
	switch {
	case tid == 0:
		s = "a thread elsewhere"
	case tid < 0:
		s = "a thread that has ended"
	}
	if call == "" {
		return s
	}
	if fd >= 0 {
		return fmt.Sprintf("%s in %s(%d)", s, call, fd)
	}
	return s + " in " + call
}

func (v *view) tally(j *observe.Judged) {
	k := kind{wakee: cmp.Or(j.WakeeSyscall, "no call")}
	k.waker = j.WakerSyscall
	if k.waker == "" {
		k.waker = string(j.Context)
		if len(j.WakePaths) > 0 {
			k.waker = j.WakePaths[0]
		}
	}
	k.callback = strings.Join(j.Callbacks, ", ")
	g := v.groups[k]
	if g == nil && len(v.groups) >= maxGroups {
		k = kind{waker: "others"}
		g = v.groups[k]
	}
	if g == nil {
		g = &group{kind: k}
		v.groups[k] = g
	}
	g.n++
	if l := j.Latency(); l >= 0 && len(g.latencies) < 1<<16 && v.latencies < maxLatencies {
		g.latencies = append(g.latencies, l)
		v.latencies++
	}
}

// call shows a system call that waits for descriptors or makes them.
func (v *view) call(c *observe.Call) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.line != nil {
		v.line.Call(v.kernel, c)
		return
	}
	name := observe.SyscallName(v.kernel.Arch, c.Nr)
	if name == "read" || name == "write" || name == "" {
		return // of files of any kind: those that woke or slept are in the lines of wakes
	}
	text := picture.FormatCall(v.kernel, c)
	if text == "" {
		return
	}
	slept := int64(0)
	for _, s := range c.Sleeps {
		if s.To > s.From {
			slept += s.To - s.From
		}
	}
	if slept > 0 {
		text += ", slept " + micro(slept)
	}
	v.withWays(fmt.Sprintf("%s  %d %s", v.since(cmp.Or(c.Exit, c.Enter)), c.TID, v.text.Dim(text)), took{name, c.Way})
}

// end writes the end of an observation's report.
func (v *view) end(p *observe.Pipeline) error {
	v.losses = p.LostBy
	v.unseen = append(v.unseen, p.Unobservable()...)
	v.watched = watchedText(p)
	if v.rec != nil && p.Watching {
		if err := v.rec.Note(recorded.WatchNote(p)); err != nil {
			return v.file.spoilt(err)
		}
	}
	return v.finish(p.Lost)
}

// watchedText says how many eventfds were watched, "" if none was to be.
func watchedText(p *observe.Pipeline) string {
	switch {
	case !p.Watching && p.Changes == 0:
		return ""
	case !p.Watching: // a recording that does not say how many
		return count.Of(p.Changes, "change") + " of watched eventfds."
	}
	text := count.Of(p.Watched, "eventfd") + " watched, " + count.Of(p.Changes, "change")
	if p.Watched == 0 && len(p.Unobservable()) == 0 {
		text += ": only eventfds that are made during the observation can be watched"
	}
	return text + "."
}

// finish writes the end.
func (v *view) finish(lost uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var err error
	var kept string
	switch {
	case v.rec != nil:
		if text, ok := v.kernel.Text.(*record.TextNotes); ok {
			err = v.rec.Note(recorded.TextNote(text))
		}
		if err = cmp.Or(err, v.rec.Close()); err == nil {
			kept = fmt.Sprintf("efdtrace: %s, %s lost, kept in %s\n", count.Of(v.wakes, "wake"), count.Of(lost, "record"), v.file.name)
		}
	case v.line != nil:
		err = v.writeTimeline(lost)
	default:
		v.summary(lost)
	}
	err = cmp.Or(err, v.w.Flush()) // which has the same error again
	if v.file != nil {
		if err != nil {
			return v.file.spoilt(err)
		}
		if err = v.file.keep(); err != nil {
			return err
		}
	}
	fmt.Fprint(v.env.stderr, kept)
	return nil
}

// lostText describes the losses, and the facts that they may have carried.
func lostText(lost uint64, by map[string]uint64) string {
	var parts []string
	for _, source := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%d of %s", by[source], source))
	}
	text := count.Of(lost, "record was lost", "records were lost")
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	if by["sched:sched_waking"] > 0 {
		text += ": of this program or of any other, so that there may have been more wakes than these"
	}
	return text + "."
}

func (v *view) summary(lost uint64) {
	t := v.text
	t.Printf("\n%s\n", t.Bold(fmt.Sprintf("%s of threads that waited in poll, select or epoll, or for an eventfd, on Linux %s", count.Of(v.wakes, "wake"), v.kernel.Release)))
	var gs []*group
	for _, g := range v.groups {
		gs = append(gs, g)
	}
	slices.SortFunc(gs, func(a, b *group) int {
		return cmp.Or(b.n-a.n, strings.Compare(a.waker+a.callback+a.wakee, b.waker+b.callback+b.wakee))
	})
	if len(gs) > 0 {
		t.Printf("  %7s  %-14s %-14s %10s %10s  %s\n", "wakes", "woken by", "waiting in", "median", "longest", "through")
	}
	for _, g := range gs {
		slices.Sort(g.latencies)
		med, most := "", ""
		if n := len(g.latencies); n > 0 {
			med, most = micro((g.latencies[(n-1)/2]+g.latencies[n/2])/2), micro(g.latencies[n-1])
		}
		t.Printf("  %7d  %-14s %-14s %10s %10s  %s\n", g.n, g.waker, g.wakee, med, most, g.callback)
	}
	if v.runtime > 0 {
		t.Para("", count.Of(v.runtime, "wake of the Go runtime's own poller is not among them; -runtime shows it.", "wakes of the Go runtime's own poller are not among them; -runtime shows them."))
	}
	if v.watched != "" {
		t.Para("", v.watched)
	}
	for _, n := range v.unseen {
		t.Para("", "not observable: "+plain.Text(n)+".")
	}
	if lost > 0 {
		t.Para("", lostText(lost, v.losses))
	}
	if v.findings > 0 {
		t.Para("", fmt.Sprintf("%s a call was seen that no documented path has, or one was missing: see the lines above.", count.Of(v.findings, "time")))
	}
}

// writeTimeline writes one of the forms that take the whole picture.
func (v *view) writeTimeline(lost uint64) error {
	if v.watched != "" {
		v.line.Note("note", v.watched)
	}
	for _, n := range v.unseen {
		v.line.Note("warning", "not observable: "+n)
	}
	if lost > 0 {
		v.line.Note("lost", lostText(lost, v.losses))
	}
	t := v.line.Finish(v.kernel, lost)
	t.Title, t.Origin, t.Tier = cmp.Or(v.title, "efdtrace"), v.origin, cmp.Or(v.tier, "tracepoints")
	return render.Write(v.w, v.format, t)
}
