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
	m         map[int]*half
	sparse    [64]uint16 // how many are in m, by the last bits of the thread's ID
	byAge     aged.List[*half]
	free      []*half
	bytes     int
	dropped   int
	broken    int // thread of the last first half, for a second half that names no thread
	hasBroken bool
}

func (p *pending) count() int { return len(p.m) }

// of returns the half of a thread, nil where it has none.
func (p *pending) of(pid int) *half {
	if p.sparse[pid&(len(p.sparse)-1)] == 0 {
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
	for len(p.m) > maxPending || p.bytes > maxPendingBytes {
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
	if p.m == nil {
		p.m = map[int]*half{}
	}
	p.m[h.pid] = h
	p.sparse[h.pid&(len(p.sparse)-1)]++
	p.bytes += len(h.text)
	p.byAge.Add(&h.place)
}

// take removes a thread's half. The half stays readable until the next put.
func (p *pending) take(pid int) {
	h := p.of(pid)
	if h == nil {
		return
	}
	delete(p.m, pid)
	p.sparse[pid&(len(p.sparse)-1)]--
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
