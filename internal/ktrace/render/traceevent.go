//go:build linux

package render

import (
	"bufio"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"
)

// event is one trace event. Viewers count in microseconds; three decimals keep
// the nanoseconds.
type event struct {
	Name string         `json:"name"`
	Cat  string         `json:"cat,omitempty"`
	Ph   string         `json:"ph"`
	TS   json.Number    `json:"ts"`
	Dur  json.Number    `json:"dur,omitempty"`
	PID  int            `json:"pid"`
	TID  int            `json:"tid"`
	ID   string         `json:"id,omitempty"`
	BP   string         `json:"bp,omitempty"`
	Args map[string]any `json:"args,omitempty"`
}

// micros writes nanoseconds as microseconds.
func micros(ns int64) json.Number {
	var b []byte
	us, f := ns/1000, ns%1000
	if ns < 0 {
		b, us, f = append(b, '-'), -us, -f
	}
	b = strconv.AppendInt(b, us, 10)
	return json.Number(append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10)))
}

// TraceEvents writes the trace-event JSON that Perfetto and Chrome's viewer
// open: a track per thread, a slice per call with its sleeps inside, and an
// arrow from each waker to whom it woke.
//
// The viewers have rules that the format does not state: slices of a track
// have to nest, an arrow starts and ends at the slice around its time and
// vanishes if there is none, and times have to be small numbers.
func TraceEvents(w io.Writer, t *Timeline) error {
	tr := &tracer{t: t, base: t.start(), tracks: map[int]*track{}}
	tr.threads()
	tr.calls()
	tr.wakes()
	return tr.write(w)
}

type tracer struct {
	t      *Timeline
	base   int64
	events []event
	tracks map[int]*track
	slices []span // of the call with the same index, as drawn
}

// track is one thread's row.
type track struct {
	pid, tid int
	end      int64 // of the last slice
}

// span is a slice on the viewer's clock.
type span struct{ from, to int64 }

// irqTrack is the row of interrupts, under a process that cannot exist.
const irqTrack = 1 << 30

func (tr *tracer) add(e event) { tr.events = append(tr.events, e) }

func (tr *tracer) name(kind string, pid, tid int, name string) {
	tr.add(event{Name: kind, Ph: "M", TS: "0", PID: pid, TID: tid, Args: map[string]any{"name": name}})
}

func (tr *tracer) track(tid int) *track {
	if k := tr.tracks[tid]; k != nil {
		return k
	}
	k := &track{pid: tid, tid: tid}
	if th := tr.t.thread(tid); th != nil && th.PID != 0 {
		k.pid = th.PID
	}
	tr.tracks[tid] = k
	return k
}

func (tr *tracer) threads() {
	named := map[int]bool{}
	for i := range tr.t.Threads {
		th := &tr.t.Threads[i]
		k := tr.track(th.TID)
		if !named[k.pid] {
			named[k.pid] = true
			tr.name("process_name", k.pid, k.tid, cmp.Or(th.Comm, tr.t.Title))
		}
		tr.name("thread_name", k.pid, k.tid, th.name())
	}
}

// calls draws the calls. Those of one thread follow each other, so a start
// that lies before the end of the one before is a matter of clocks and moves.
func (tr *tracer) calls() {
	order := make([]int, len(tr.t.Calls))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(tr.t.Calls[a].Start, tr.t.Calls[b].Start) })
	tr.slices = make([]span, len(order))
	for _, i := range order {
		c := &tr.t.Calls[i]
		k := tr.track(c.TID)
		s := span{max(c.Start-tr.base, k.end), 0}
		s.to = max(c.End-tr.base, s.from+1)
		k.end = s.to
		tr.slices[i] = s
		tr.add(event{Name: c.Name, Cat: "syscall", Ph: "X", TS: micros(s.from), Dur: micros(s.to - s.from), PID: k.pid, TID: k.tid, Args: tr.callArgs(c)})
		end := s.from
		for _, sl := range c.Sleeps {
			from, to := max(sl.From-tr.base, end), min(sl.To-tr.base, s.to)
			if to <= from {
				continue
			}
			end = to
			e := event{Name: "asleep", Cat: "sleep", Ph: "X", TS: micros(from), Dur: micros(to - from), PID: k.pid, TID: k.tid}
			if len(sl.Chain) > 0 {
				e.Args = map[string]any{"chain": sl.Chain}
			}
			tr.add(e)
		}
	}
}

func (tr *tracer) callArgs(c *Call) map[string]any {
	args := map[string]any{}
	put := func(k, v string) {
		if v != "" {
			args[k] = v
		}
	}
	put("call", c.Text)
	put("object", c.Object)
	put("outcome", c.Outcome)
	put("what", c.Summary)
	if c.Path >= 0 && c.Path < len(tr.t.Paths) {
		put("path", tr.t.Paths[c.Path].Name)
	}
	if c.Line > 0 {
		args["line"] = c.Line
	}
	if c.Open {
		args["open"] = "had not returned"
	}
	return args
}

// wakes draws an arrow for each wake. An end that lies in no call gets a slice
// of its own to hold on to.
func (tr *tracer) wakes() {
	for i := range tr.t.Wakes {
		w := &tr.t.Wakes[i]
		at := w.Time - tr.base
		args := map[string]any{"callback": w.Callback}
		if w.Object != "" {
			args["object"] = w.Object
		}
		if w.Running > w.Time {
			args["latency_us"] = micros(w.Running - w.Time)
		}
		id := "wake-" + strconv.Itoa(i)
		k, from := tr.wakerSide(w, at)
		tr.add(event{Name: "wake", Cat: "wake", Ph: "s", TS: micros(from), PID: k.pid, TID: k.tid, ID: id, Args: args})
		k, to := tr.hold(w.Wakee.TID, w.WakeeCall, max(w.Running-tr.base, at), "woken")
		tr.add(event{Name: "wake", Cat: "wake", Ph: "f", BP: "e", TS: micros(to), PID: k.pid, TID: k.tid, ID: id})
	}
}

// wakerSide is where an arrow starts: in the waker's call, or on the row of
// interrupts, which is not to be blamed on whom they interrupted.
func (tr *tracer) wakerSide(w *Wake, at int64) (*track, int64) {
	if w.Waker.acts() {
		return tr.hold(w.Waker.TID, w.WakerCall, at, "wakes")
	}
	if tr.tracks[irqTrack] == nil {
		tr.tracks[irqTrack] = &track{pid: irqTrack, tid: irqTrack}
		tr.name("process_name", irqTrack, irqTrack, "interrupts")
		tr.name("thread_name", irqTrack, irqTrack, "interrupts")
	}
	return tr.hold(irqTrack, -1, at, w.Waker.Context)
}

// hold returns the time inside a call's slice that is nearest to at; without a
// call it draws a slice of one nanosecond.
func (tr *tracer) hold(tid, call int, at int64, name string) (*track, int64) {
	if call >= 0 && call < len(tr.slices) {
		s := tr.slices[call]
		return tr.track(tr.t.Calls[call].TID), min(max(at, s.from), s.to-1)
	}
	k := tr.track(tid)
	tr.add(event{Name: name, Cat: "wake", Ph: "X", TS: micros(at), Dur: micros(1), PID: k.pid, TID: k.tid})
	return k, at
}

func (tr *tracer) write(w io.Writer) error {
	buf := bufio.NewWriter(w)
	meta, err := json.Marshal(map[string]any{"title": tr.t.Title, "kernel": tr.t.Kernel, "origin": tr.t.Origin, "clock": tr.t.Clock, "lost": tr.t.Lost})
	if err != nil {
		return err
	}
	buf.WriteString("{\"displayTimeUnit\":\"ns\",\"otherData\":")
	buf.Write(meta)
	buf.WriteString(",\"traceEvents\":[\n")
	for i := range tr.events {
		b, err := json.Marshal(&tr.events[i])
		if err != nil {
			return err
		}
		if i > 0 {
			buf.WriteString(",\n")
		}
		if _, err := buf.Write(b); err != nil {
			return err
		}
	}
	buf.WriteString("\n]}\n")
	return buf.Flush()
}
