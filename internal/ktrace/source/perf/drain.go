//go:build linux

package perf

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
)

// queue holds one CPU's events that were read and are not yet passed on.
type queue struct {
	events  []ktrace.Event
	next    int
	last    int64 // time of the newest record seen
	backlog bool  // the ring has more
	lost    uint64
	from    int64 // time of the record before the first loss
	dedup   dedup
	onto    int  // the next task by the latest sched_switch, in the kernel's own numbering
	said    bool // and the CPU has not got there yet
	idle    int  // how often the idle task was switched to since it last left a record
	idled   bool // it has left one
}

// announced reports whether a sched_switch has announced that the task, which
// runs now, was to run. A kernel may omit the records of an idle task: then
// none has.
func (q *queue) announced(rs *Rings, tid int) bool {
	global, said := q.onto, q.said
	q.said = false
	if tid <= 0 {
		return true
	}
	if rs.local != nil {
		global = rs.local(global)
	}
	return said && global == tid
}

// note stores the facts of a record about the CPU's idle task.
func (q *queue) note(e *ktrace.Event) {
	if e.TID == 0 {
		q.idle, q.idled = 0, true
	}
	if e.Kind != ktrace.Switch {
		return
	}
	q.onto, q.said = e.GlobalTarget, true
	if e.GlobalTarget == 0 {
		q.idle++
	}
}

// add appends an event. Records of one CPU come in order, except those of an
// interrupt, which may end before the event that it interrupted.
func (q *queue) add(e ktrace.Event) {
	q.events = append(q.events, e)
	for i := len(q.events) - 1; i > q.next && q.events[i-1].Time > q.events[i].Time; i-- {
		q.events[i-1], q.events[i] = q.events[i], q.events[i-1]
	}
}

// compact frees the space of delivered events.
func (q *queue) compact() {
	if q.next == 0 {
		return
	}
	n := copy(q.events, q.events[q.next:])
	clear(q.events[n:])
	q.events = q.events[:n]
	q.next = 0
	if cap(q.events) > 8*batch && n < batch {
		q.events = append([]ktrace.Event(nil), q.events...)
	}
}

// drain moves at most n records from each ring to its queue.
func (rs *Rings) drain(final bool, n int) error {
	rs.full, rs.backlog = false, false
	for _, r := range rs.rings {
		q := rs.queues[r.at]
		if q == nil {
			q = &queue{}
			rs.queues[r.at] = q
		}
		if n == batch && !rs.stopped && len(q.events)-q.next > 4*batch && q.events[q.next].Time <= q.last-backlogAge {
			q.backlog, rs.backlog = true, true // another CPU's ring is not as far: later events wait in this one
			continue
		}
		fill, rest := r.each(n, func(rec []byte) { rs.record(q, rec) })
		q.backlog = rest > 0
		rs.backlog = rs.backlog || q.backlog
		rs.full = rs.full || fill > len(r.data)/2
		if rs.noLost && final && fill > len(r.data)-4096 {
			q.lost++ // no room was left, and this kernel does not say for how many
		}
	}
	return rs.account(final && !rs.backlog)
}

// record decodes one record.
func (rs *Rings) record(q *queue, rec []byte) {
	kind := binary.NativeEndian.Uint32(rec)
	s := &rs.sample
	if kind == recordSample {
		rs.sampled(q, rec)
		return
	}
	s.trailer(rec)
	switch r := (reader{b: rec[8:]}); kind {
	case recordLost:
		r.u64()
		if q.lost == 0 {
			q.from = q.last
		}
		q.lost += r.u64()
	case recordFork, recordExit:
		pid, ppid, tid := int(r.u32()), int(r.u32()), int(r.u32())
		e := ktrace.Event{Kind: kindFork, Time: s.Time, CPU: s.CPU, PID: pid, TID: tid, Target: ppid}
		if kind == recordExit {
			e.Kind = kindExit
		}
		q.add(e)
	case recordSwitch, recordSwitchCPU:
		if misc := binary.NativeEndian.Uint16(rec[4:]); misc&miscSwitchOut != 0 {
			break
		}
		q.dedup.ran(s.TID)
		if !q.announced(rs, s.TID) {
			q.add(ktrace.Event{Kind: ktrace.Switch, Source: switchIn, Time: s.Time, CPU: s.CPU, TID: -1, Target: s.TID})
		}
	case recordComm:
		pid, tid := int(r.u32()), int(r.u32())
		name, _, _ := bytes.Cut(r.b, []byte{0})
		q.add(ktrace.Event{Kind: kindComm, Time: s.Time, CPU: s.CPU, PID: pid, TID: tid, Comm: string(name)})
	}
	q.last = max(q.last, s.Time)
}

func (rs *Rings) sampled(q *queue, rec []byte) {
	s := &rs.sample
	r := reader{b: rec[8:]}
	s.head(&r)
	o := rs.byID[s.ID]
	if r.bad || o == nil {
		return // of an event that was closed since
	}
	s.rest(&r, o.bits, rs.chain)
	if r.bad {
		return
	}
	q.last = max(q.last, s.Time)
	e := &rs.event // shared: Decode's argument would escape to the heap
	*e = ktrace.Event{Source: o.spec.Name, Time: s.Time, CPU: s.CPU, PID: s.PID, TID: s.TID, Truncated: s.Cut}
	if !o.spec.Decode(s, e) {
		return
	}
	q.note(e)
	e.Stack = rs.stacks.Frames(s.Chain)
	if rs.perTask && !o.spec.System && q.dedup.again(s, e.Kind == ktrace.Waking) {
		return
	}
	if e.Time <= rs.until {
		// Its place in the order has been passed: it comes too late to be of use.
		rs.losses = append(rs.losses, ktrace.Loss{Source: o.spec.Name, Count: 1, From: e.Time, To: e.Time})
		return
	}
	q.add(*e)
}

// account turns the counts of the rings into losses per event.
func (rs *Rings) account(final bool) error {
	for _, r := range rs.rings {
		q := rs.queues[r.at]
		if q == nil || q.lost == 0 && (!final || rs.noLost) {
			continue // not read yet, or nothing was lost
		}
		if rs.noLost {
			rs.losses = append(rs.losses, ktrace.Loss{Source: "perf", Count: q.lost, From: q.from, To: q.last})
			q.lost = 0
			continue
		}
		from := q.from
		if q.lost == 0 {
			from = q.last
		}
		for _, o := range rs.events {
			if o.ring != r {
				continue
			}
			n, err := lostOf(o.fd)
			if err != nil {
				return err
			}
			if n > o.lost {
				to := q.last
				if final {
					to = max(to, source.Now())
				}
				rs.losses = append(rs.losses, ktrace.Loss{Source: o.spec.Name, Count: n - o.lost, From: from, To: to})
				o.lost = n
			}
		}
		q.lost = 0
	}
	return nil
}

// batch is how many records of a ring one Read takes, so that a reader that
// comes late does not need memory for all that has gathered.
const batch = 1 << 8

// backlogAge is how much older than the newest record that was taken from a ring
// the records that are still in it can be.
const backlogAge = int64(2 * time.Millisecond)

// Read drains the rings and passes on, in order, the events up to until. pass
// returns false for events that do not belong in the result. If there is much,
// it stops earlier, and Backlogged reports it; source.End always means all.
func (rs *Rings) Read(until int64, buf []ktrace.Event, pass func(*ktrace.Event) bool) ([]ktrace.Event, error) {
	for {
		if err := rs.drain(rs.stopped, batch); err != nil {
			return buf, err
		}
		buf = rs.merge(until, buf, pass)
		if until != source.End || !rs.backlog {
			return buf, nil
		}
	}
}

// merge passes on the queued events, in order.
func (rs *Rings) merge(until int64, buf []ktrace.Event, pass func(*ktrace.Event) bool) []ktrace.Event {
	for _, q := range rs.queues {
		if q.backlog {
			until = min(until, q.last-backlogAge)
		}
	}
	rs.merged = rs.merged[:0]
	for _, q := range rs.queues {
		if q.next < len(q.events) {
			rs.merged = append(rs.merged, q)
		}
	}
	h := byTime(rs.merged)
	heap.Init(&h)
	for len(h) > 0 {
		q := h[0]
		e := &q.events[q.next]
		if e.Time > until {
			break
		}
		if pass == nil && e.Kind < kindFork || pass != nil && pass(e) {
			buf = append(buf, *e)
		}
		if q.next++; q.next == len(q.events) {
			heap.Pop(&h)
		} else {
			heap.Fix(&h, 0)
		}
	}
	for _, q := range rs.queues {
		q.compact()
	}
	rs.until = max(rs.until, until)
	return buf
}

// byTime is a heap of queues by their next event.
type byTime []*queue

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].events[h[i].next].Time < h[j].events[h[j].next].Time }
func (h byTime) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(x any)        { *h = append(*h, x.(*queue)) }
func (h *byTime) Pop() any {
	old := *h
	q := old[len(old)-1]
	*h = old[:len(old)-1]
	return q
}
