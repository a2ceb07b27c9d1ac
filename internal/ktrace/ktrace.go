//go:build linux

// Package ktrace has the words that the tracing layer shares: kernel versions,
// documented paths and their edges, verdicts, and the events that a source
// sees, and says which kernel this is. It imports nothing of the project.
package ktrace

import (
	"maps"
	"slices"
	"strings"
)

// Verdict is the result for one documented edge of comparing it with an
// observed call chain.
type Verdict string

const (
	Seen          Verdict = "seen"           // caller directly above callee in an observed chain
	TailCall      Verdict = "tail_call"      // the caller jumps to the callee and so leaves no frame
	Inlined       Verdict = "inlined"        // the callee is compiled into its caller on this kernel
	Renamed       Verdict = "renamed"        // seen under a compiler's name: .constprop.0, .isra.0, .part.0, or an alias
	NotTaken      Verdict = "not_taken"      // belongs to a branch that this call did not take
	Contradicted  Verdict = "contradicted"   // the observed chain says otherwise
	NotObservable Verdict = "not_observable" // no source can see it here; the evidence says why
	Inconclusive  Verdict = "inconclusive"   // records were lost
	Undocumented  Verdict = "undocumented"   // observed and in no documented path
)

// Finding reports whether the verdict needs attention.
func (v Verdict) Finding() bool { return v == Contradicted || v == Undocumented }

// Kind says how a caller reaches its callee in the source.
type Kind string

const (
	Direct     Kind = "direct"
	Inline     Kind = "inline" // static inline of a header
	Macro      Kind = "macro"
	Pointer    Kind = "pointer" // through a function pointer: Edge.Pointer, Edge.SetBy
	Tracepoint Kind = "tracepoint"
)

// Edge is one call of a documented path: Caller calls Callee.
type Edge struct {
	Caller, Callee string
	File           string // where the call is written, relative to the kernel tree
	Line           int    // of the call in the reviewed tree, 0 if no line is claimed
	Kind           Kind
	Pointer        string // for Kind Pointer: the expression, such as "entry->func"
	SetBy          string // for Kind Pointer: the function that sets it
	Branch         string // name of the branch that takes this edge, "" if all do
	Since, Until   string // kernel versions: first that has it, first that no longer has it; "" is open, "A|B" a bracket
	Note           string // the callee's role here, in one plain sentence

	// Proved: this version's source was checked by a machine to hold the call.
	// Only then may a missing frame be put down to inlining.
	Proved bool
	// Tail are the reviewed builds in which the call is compiled to a jump.
	Tail Builds
	// Inlined are those in which the callee is compiled into this caller although
	// the kernel has a symbol for it.
	Inlined Builds
}

// Builds are kernels in which something was found, and how, by machine:
// "x86-64" has "text of 6.18.44". nil: none.
type Builds map[string]string

// On returns the builds for a machine.
func (b Builds) On(machine string) Builds {
	if found, ok := b[machine]; ok {
		return Builds{machine: found}
	}
	return nil
}

func (b Builds) String() string {
	var out []string
	for _, machine := range slices.Sorted(maps.Keys(b)) {
		out = append(out, machine+": "+b[machine])
	}
	return strings.Join(out, "; ")
}

// Branch is a way through a path that its outcome decides: slept, timed out,
// EAGAIN and so on.
type Branch struct{ Name, Text string }

// Way is how far a path goes with one outcome: an errno, or another name in the
// catalogue. Of the functions below the system call it enters Only these and
// those on the way to them, or all but those in Without and those that only
// they lead to. A name that ends in * stands for all below it too.
type Way struct {
	Name          string
	Only, Without []string
	Limited       bool // Only holds, even if it is empty
}

// Struct is a kernel structure that a path runs over.
type Struct struct{ Name, Text string }

// Correction is a wrong statement about a path in a widely read text, and the
// truth; About names the text.
type Correction struct{ About, Wrong, Text string }

// Path is a named set of edges as it holds for one kernel version.
type Path struct {
	Name      string
	Title     string   // one line
	Intro     string   // a paragraph
	Kernel    string   // the version it was asked for
	DecidedBy string   // the criterion between variants: the version, a bracket, symbols
	Roots     []string // the functions it starts at, outermost first
	Branches  []Branch
	Ways      []Way
	Edges     []Edge
	Functions map[string]Function

	Tree        string // the reviewed tree that Edge.Line counts in: of this version, or the nearest of its series; "" if no line is given
	Structs     []Struct
	Limits      []string
	Corrections []Correction
}

// Function describes one kernel function for a reader.
type Function struct{ Name, File, Text string }

// SymbolSet is the known part of a kernel's symbols. Its type is comparable, mostly a
// pointer: paths are kept by the set that they were resolved with.
type SymbolSet interface {
	// Variants returns the symbols that stand for the source function name:
	// itself, its compiler variants (.constprop.0, .isra.0, .part.0) and the
	// aliases at their addresses. Empty: the kernel has no such symbol.
	Variants(name string) []string
}

// TextProof proves facts that no call chain can show, from the running kernel's
// machine code.
type TextProof interface {
	// TailCall reports whether the code of caller jumps to callee, and says in
	// words where that was read.
	TailCall(caller, callee string) (ground string, ok bool)
	// Calls reports whether the code of caller calls callee, and says in words
	// where that was read.
	Calls(caller, callee string) (ground string, ok bool)
	// Lacks reports whether all code of caller could be read and has no call of
	// callee and no jump to it, and says in words where that was read.
	Lacks(caller, callee string) (ground string, ok bool)
}
