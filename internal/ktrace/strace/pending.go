package strace

// The bounds of what waits for its second half.
const (
	maxPending      = 8192
	maxPendingBytes = 8 << 20
	maxHalf         = 64 << 10
)

// half is the first half of a call.
type half struct {
	pid        int
	name       []byte
	text       []byte
	line       int
	time       int64
	cut        bool  // broken off by other output, not ended by strace
	prev, next *half // by age
}

// pending has the first halves by thread. A thread is in one call at a time.
// The oldest goes first when there are too many.
type pending struct {
	m          map[int]*half
	head, tail *half
	free       *half
	bytes      int
	dropped    int
	broken     int // thread of the last first half, for a second half that names no thread
	hasBroken  bool
}

func (p *pending) count() int { return len(p.m) }

func (p *pending) put(rec *Record, text []byte) {
	p.take(rec.PID)
	if len(text) > maxHalf {
		p.dropped++
		return
	}
	if p.m == nil {
		p.m = map[int]*half{}
	}
	h := p.free
	if h != nil {
		p.free = nil
	} else {
		h = &half{}
	}
	h.pid, h.line, h.time, h.cut = rec.PID, rec.Line, rec.Time, false
	h.text = append(h.text[:0], text...)
	h.name = h.text[:nameLen(h.text)]
	p.link(h)
	for len(p.m) > maxPending || p.bytes > maxPendingBytes {
		p.dropped++
		p.take(p.head.pid)
	}
}

func (p *pending) link(h *half) {
	p.m[h.pid] = h
	p.bytes += len(h.text)
	h.prev, h.next = p.tail, nil
	if p.tail != nil {
		p.tail.next = h
	} else {
		p.head = h
	}
	p.tail = h
}

// take removes a thread's half. The half stays readable until the next put.
func (p *pending) take(pid int) {
	h := p.m[pid]
	if h == nil {
		return
	}
	delete(p.m, pid)
	p.bytes -= len(h.text)
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		p.head = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	} else {
		p.tail = h.prev
	}
	if cap(h.text) <= 4096 {
		p.free = h
	}
	if p.hasBroken && p.broken == pid {
		p.hasBroken = false
	}
}

// restore puts a half back that has just been taken.
func (p *pending) restore(h *half) {
	if p.free == h {
		p.free = nil
	}
	p.link(h)
	p.broken, p.hasBroken = h.pid, true
}

// match takes the half of a thread if it is of that call.
func (p *pending) match(pid int, name []byte) *half {
	h := p.m[pid]
	if h == nil || string(h.name) != string(name) {
		return nil
	}
	p.take(pid)
	return h
}

func (p *pending) lastBroken() *half {
	if !p.hasBroken {
		return nil
	}
	return p.m[p.broken]
}

func (p *pending) unbreak() { p.hasBroken = false }

// cut reports whether the last first half was broken off in the middle.
func (p *pending) cut() bool {
	h := p.lastBroken()
	return h != nil && h.cut
}
