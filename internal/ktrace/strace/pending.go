//go:build linux

package strace

import "github.com/efd-go/efd/internal/aged"

// The bounds of what waits for its second half.
const (
	maxPending      = 8192
	maxPendingBytes = 8 << 20
	maxHalf         = 64 << 10
	maxFree         = 64 // halves that are kept to be used again
)

// half is the first half of a call.
type half struct {
	pid   int
	name  string
	text  []byte
	line  int
	time  int64
	cut   bool // broken off by other output, not ended by strace
	place aged.Node[*half]
}

// pending has the first halves by thread. A thread is in one call at a time.
// The oldest goes first when there are too many.
type pending struct {
	near      [64]*half     // by the last bits of the thread's ID
	m         map[int]*half // of those whose place in near is taken
	waiting   int
	byAge     aged.List[*half]
	free      []*half
	bytes     int
	dropped   int
	broken    int // thread of the last first half, for a second half that names no thread
	hasBroken bool
}

func (p *pending) count() int { return p.waiting }

// of returns the half of a thread, nil if it has none.
func (p *pending) of(pid int) *half {
	switch h := p.near[pid&(len(p.near)-1)]; {
	case h != nil && h.pid == pid:
		return h
	case len(p.m) == 0:
		return nil
	}
	return p.m[pid]
}

func (p *pending) put(rec *Record, text []byte) {
	p.take(rec.PID)
	if len(text) > maxHalf {
		p.dropped++
		return
	}
	h := p.unused()
	h.pid, h.name, h.line, h.time, h.cut = rec.PID, rec.Call.Name, rec.Line, rec.Time, false
	h.text = append(h.text[:0], text...)
	p.add(h)
	for p.waiting > maxPending || p.bytes > maxPendingBytes {
		p.dropped++
		p.take(p.byAge.Oldest().Of.pid)
	}
}

func (p *pending) unused() *half {
	if last := len(p.free) - 1; last >= 0 {
		h := p.free[last]
		p.free = p.free[:last]
		return h
	}
	h := &half{}
	h.place.Of = h
	return h
}

func (p *pending) add(h *half) {
	switch near := &p.near[h.pid&(len(p.near)-1)]; {
	case *near == nil:
		*near = h
	case p.m == nil:
		p.m = map[int]*half{}
		fallthrough
	default:
		p.m[h.pid] = h
	}
	p.waiting++
	p.bytes += len(h.text)
	p.byAge.Add(&h.place)
}

// take removes a thread's half. The half stays readable until the next put.
func (p *pending) take(pid int) {
	h := p.of(pid)
	if h == nil {
		return
	}
	if near := &p.near[pid&(len(p.near)-1)]; *near == h {
		*near = nil
	} else {
		delete(p.m, pid)
	}
	p.waiting--
	p.bytes -= len(h.text)
	p.byAge.Remove(&h.place)
	if cap(h.text) <= 4096 && len(p.free) < maxFree {
		p.free = append(p.free, h)
	}
	if p.hasBroken && p.broken == pid {
		p.hasBroken = false
	}
}

// restore puts a half back that has just been taken.
func (p *pending) restore(h *half) {
	if last := len(p.free) - 1; last >= 0 && p.free[last] == h {
		p.free = p.free[:last]
	}
	p.add(h)
	p.broken, p.hasBroken = h.pid, true
}

// match takes the half of a thread if it is of that call.
func (p *pending) match(pid int, name string) *half {
	h := p.of(pid)
	if h == nil || h.name != name {
		return nil
	}
	p.take(pid)
	return h
}

func (p *pending) lastBroken() *half {
	if !p.hasBroken {
		return nil
	}
	return p.of(p.broken)
}

func (p *pending) unbreak() { p.hasBroken = false }

// cut reports whether the last first half was broken off in the middle.
func (p *pending) cut() bool {
	h := p.lastBroken()
	return h != nil && h.cut
}
