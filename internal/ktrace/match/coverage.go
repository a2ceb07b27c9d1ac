//go:build linux

package match

import (
	"github.com/efd-go/efd/internal/ktrace"
)

// Coverage is how many of some edges were shown, and which were not.
type Coverage struct {
	Edges, Shown int
	Taken        int // of CoverageOf: all edges of the branches taken, also those for which no source exists
	Borrowed     int // of Shown: those explained by the code of another build of the kernel
	Open         []Step
}

// CoverageOf counts the edges of the branches taken for which a source exists.
//
// An edge is of the branches taken if its caller is known to have run (it was
// on a chain, was entered, or is inlined into one that did), and the edge is on
// no branch or on one of which another edge was shown. A call through a pointer
// also needs a target that is known to have run, with no other target of the
// pointer shown.
//
// A source exists for an edge that was shown, and for one whose callee
//   - is traced by the function tracer,
//   - or comes, over edges of the branches taken, to a tracepoint or to watched
//     memory of which chains were recorded,
//   - or is proved to be in the source and is no function of its own there: the
//     kernel has no such symbol, or the code of the caller, which can be read,
//     goes nowhere to it.
//
// The others cannot be judged and are not counted: for example a leaf function
// on a kernel that refuses the function tracer. If records of a source were
// lost, the source does not exist for the edges that they would have shown.
// Shown are seen, renamed, tail_call and inlined.
//
// An edge that the function tracer shows not to have been taken is not open.
// That an event was not seen shows nothing, so a run with fewer sources has
// fewer edges shown and no smaller share of them open.
func CoverageOf(steps []Step) Coverage {
	var f Coverage
	for _, s := range steps {
		if !s.expected {
			continue
		}
		f.Taken++
		if s.source == "" || s.Verdict == ktrace.NotTaken {
			continue
		}
		f.Edges++
		if shown(s.Verdict) {
			f.Shown++
			if s.Borrowed {
				f.Borrowed++
			}
		} else {
			f.Open = append(f.Open, s)
		}
	}
	return f
}

// TracerCoverage counts the edges of the way that was taken that are calls between
// functions which the function tracer traces; shown are those that it saw
// itself. Apart are edges to functions of this kernel whose entry there is not
// to be seen: one of the two cannot be traced, or the callee is proved to be
// compiled into its caller.
func TracerCoverage(steps []Step) (f Coverage, apart []Step) {
	for _, s := range steps {
		switch {
		case !s.expected || s.Kind == ktrace.Tracepoint || s.Verdict == ktrace.Inconclusive:
			continue
		case !s.symbols:
			continue
		case !s.witnessed && s.byTracer != "": // a caller that has no entry of its own
			continue
		case !s.witnessed, s.Verdict == ktrace.Inlined:
			apart = append(apart, s)
			continue
		}
		f.Edges++
		if s.byTracer == ktrace.Seen || s.byTracer == ktrace.Renamed {
			f.Shown++
		} else {
			f.Open = append(f.Open, s)
		}
	}
	return f, apart
}

// Disagreement is an edge of which call chains and function tracer say
// different things.
type Disagreement struct {
	Step
	Chains, Tracer ktrace.Verdict
}

// Disagree lists them. Chains that explain a traced edge by a tail call do not
// disagree: the tracer is there for that. Nor does a tracer that lost records,
// or that saw the function entered and not by which caller.
func Disagree(steps []Step) []Disagreement {
	var out []Disagreement
	for _, s := range steps {
		if !s.witnessed {
			continue
		}
		saw := s.byTracer == ktrace.Seen || s.byTracer == ktrace.Renamed
		switch s.byChain {
		case ktrace.Seen, ktrace.Renamed, ktrace.TailCall:
			if !saw && !s.elsewhere {
				out = append(out, Disagreement{s, s.byChain, ktrace.NotTaken})
			}
		case ktrace.Inlined, ktrace.Contradicted, ktrace.Undocumented:
			if saw {
				out = append(out, Disagreement{s, s.byChain, s.byTracer})
			}
		}
	}
	return out
}
