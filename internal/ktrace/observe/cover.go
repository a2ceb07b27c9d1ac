package observe

import (
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// Points are the documented places in which the events of perf lie.
func Points() map[string]string {
	return map[string]string{"trace_sched_waking": "sched:sched_waking", "trace_sched_switch": "sched:sched_switch"}
}

// Seen is a wake, with what the function tracer saw of the call that woke and
// of the one that was woken.
type Seen struct {
	*Judged
	Sleep, Wake []*ktrace.Event
}

// Taken is what was observed of further calls of the same threads.
type Taken struct {
	Paths  []string
	Chains []*match.Chain
	Traced []*ktrace.Event
}

// Cover gives every edge of the documented paths of some wakes, of the sleeps
// that they ended and of further calls a verdict. tracer is nil where there
// was none.
func (k *Kernel) Cover(src *match.Sources, tracer *match.Tracer, wakes []Seen, more []Taken) []match.Step {
	var groups []match.Group
	for _, w := range wakes {
		groups = append(groups,
			k.group(Taken{w.SleepPaths, []*match.Chain{w.SleepChain}, w.Sleep}, nil, tracer),
			k.group(Taken{w.WakePaths, []*match.Chain{w.WakeChain}, w.Wake}, w.Without, tracer))
	}
	for _, t := range more {
		groups = append(groups, k.group(t, nil, tracer))
	}
	return match.Cover(groups, src)
}

// group has entries only where the tracer saw some of those calls: an
// interrupt may come in on top of a thread that is not traced.
func (k *Kernel) group(t Taken, without []string, tracer *match.Tracer) match.Group {
	g := match.Group{Paths: k.Paths(t.Paths...), Doc: k.Doc(t.Paths, without), Chains: t.Chains, Without: append(otherArchs(k.Arch), without...)}
	if tracer != nil && g.Doc != nil && len(t.Traced) > 0 {
		g.Entries = g.Doc.Trace(tracer, t.Traced)
	}
	return g
}
