//go:build linux

package observe

import (
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// chainKey stands for a chain: sources share the frames of chains that are
// alike, and do not change them.
type chainKey struct {
	first *ktrace.Frame
	n     int
}

func chainOf(stack []ktrace.Frame) chainKey {
	if len(stack) == 0 {
		return chainKey{}
	}
	return chainKey{&stack[0], len(stack)}
}

// matchKey identifies the inputs of a verdict on a chain.
type matchKey struct {
	doc       *match.Doc
	chain     chainKey
	source    string
	truncated bool
	kind      ktrace.EventKind
}

// maxMatched bounds the memory of verdicts: their number, and the frames of the
// chains that they are about.
const (
	maxMatched = 1 << 9
	maxJudged  = 1 << 14
)

// match is d.Match, once for all events that took the same way. The result is
// shared and not to be changed.
func (k *Kernel) match(d *match.Doc, ev *ktrace.Event, leaf ...string) *match.Chain {
	key := matchKey{d, chainOf(ev.Stack), ev.Source, ev.Truncated, ev.Kind}
	k.mu.Lock()
	c, ok := k.matched[key]
	k.mu.Unlock()
	if ok {
		return c
	}
	c = d.Match(ev, leaf...)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frames += len(ev.Stack)
	if k.matched == nil || len(k.matched) >= maxMatched || k.frames > maxJudged {
		k.matched, k.frames = map[matchKey]*match.Chain{}, len(ev.Stack)
	}
	k.matched[key] = c
	return c
}

// judgeKey identifies the inputs of the judgement of a wake.
type judgeKey struct {
	waking, sleep    chainKey
	truncated, slept bool // whether chains were cut
	waker, wakee     int  // numbers of the calls, -1 for none and for those in doubt
}

// judge is Judge, once for all wakes that are alike and of which nothing is
// stated.
func (p *Pipeline) judge(w *Wake, stated *Statement) *Judged {
	if stated != nil {
		return p.k.Judge(w, *stated)
	}
	key := judgeKey{waking: chainOf(w.Waking.Stack), truncated: w.Waking.Truncated, waker: callNumber(w.Waker.Call), wakee: callNumber(w.Wakee.Call)}
	if w.Sleep != nil && w.Sleep.Chain != nil {
		key.sleep, key.slept = chainOf(w.Sleep.Chain.Stack), w.Sleep.Chain.Truncated
	}
	known, ok := p.judged[key]
	if !ok {
		known = p.k.Judge(w, Statement{})
		frames := key.waking.n + key.sleep.n
		if p.frames += frames; len(p.judged) >= maxMatched || p.frames > maxJudged {
			clear(p.judged)
			p.frames = frames
		}
		p.judged[key] = known
	}
	j := *known
	j.Wake = w
	return &j
}

func callNumber(c *Call) int {
	if c == nil || c.Doubtful {
		return -1
	}
	return c.Nr
}
