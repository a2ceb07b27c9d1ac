package observe

import (
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// matchKey is what a verdict on a chain hangs on. Sources share the frames of
// chains that are alike, so that the first frame's address stands for all.
type matchKey struct {
	doc       *match.Doc
	first     *ktrace.Frame
	frames    int
	source    string
	truncated bool
	kind      ktrace.EventKind
}

// maxMatched bounds the memory of verdicts.
const maxMatched = 1 << 9

// match is d.Match, once for all events that took the same way. The result is
// shared and not to be changed.
func (k *Kernel) match(d *match.Doc, ev *ktrace.Event, leaf ...string) *match.Chain {
	if len(ev.Stack) == 0 {
		return d.Match(ev, leaf...)
	}
	key := matchKey{d, &ev.Stack[0], len(ev.Stack), ev.Source, ev.Truncated, ev.Kind}
	k.mu.Lock()
	c, ok := k.matched[key]
	k.mu.Unlock()
	if ok {
		return c
	}
	c = d.Match(ev, leaf...)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.matched == nil || len(k.matched) >= maxMatched {
		k.matched = map[matchKey]*match.Chain{}
	}
	k.matched[key] = c
	return c
}
