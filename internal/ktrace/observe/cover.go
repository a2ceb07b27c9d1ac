//go:build linux

package observe

import (
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// Points are the documented places in which the events of perf lie.
func Points() map[string]string {
	out := map[string]string{}
	for _, tracepoint := range []string{Waking, Switching} {
		_, name, _ := strings.Cut(tracepoint, ":")
		out["trace_"+name] = tracepoint
	}
	return out
}

// Taken holds the observations of some calls that took the same paths: call
// chains, and the function entries that the tracer recorded.
type Taken struct {
	Paths   []string
	Without []string // branches that cannot have been taken
	Chains  []*match.Chain
	Traced  []*ktrace.Event
	Around  []*ktrace.Event // function entries of the same threads in other calls too, nil for no more
}

// Slept returns the observations of the call whose sleep a wake ended.
func (j *Judged) Slept(traced []*ktrace.Event) Taken {
	return Taken{Paths: j.SleepPaths, Chains: []*match.Chain{j.SleepChain}, Traced: traced}
}

// Woke returns the observations of the waking call.
func (j *Judged) Woke(traced []*ktrace.Event) Taken {
	return Taken{Paths: j.WakePaths, Without: j.Without, Chains: []*match.Chain{j.WakeChain}, Traced: traced}
}

// Cover gives a verdict for every edge of the documented paths of the
// observations. tracer is nil if there was none.
func (k *Kernel) Cover(src *match.Sources, tracer *match.Tracer, taken ...Taken) []match.Step {
	var groups []match.Group
	for _, t := range taken {
		groups = append(groups, k.group(t, tracer))
	}
	return match.Doubted(match.Cover(groups, src), k.Doubt())
}

// group has entries only if the tracer saw some of those calls: an
// interrupt may come in on top of a thread that is not traced.
func (k *Kernel) group(t Taken, tracer *match.Tracer) match.Group {
	g := match.Group{Paths: k.Paths(t.Paths...), Doc: k.Doc(t.Paths, t.Without), Chains: t.Chains, Without: append(otherArchs(k.Arch), t.Without...)}
	if tracer != nil && g.Doc != nil && len(t.Traced) > 0 {
		g.Entries = g.Doc.Trace(tracer, t.Traced)
		g.Entries.Around = g.Doc.CountEntries(t.Around)
	}
	return g
}
