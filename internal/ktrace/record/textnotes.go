//go:build linux

package record

import (
	"maps"
	"sync"

	"github.com/efd-go/efd/internal/ktrace"
)

// TextNotes answers from the kernel's machine code and keeps the answers, so
// that a recording can give them again.
type TextNotes struct {
	From ktrace.TextProof // nil: only the noted facts are known

	mu   sync.Mutex
	seen TextFacts
}

// TextFacts are the jumps and calls that were found, with their grounds, under
// "caller callee".
type TextFacts struct {
	Jumps map[string]string `json:"jumps,omitempty"`
	Calls map[string]string `json:"calls,omitempty"`
	Lacks map[string]string `json:"lacks,omitempty"` // neither
}

// TailCall implements ktrace.TextProof.
func (n *TextNotes) TailCall(caller, callee string) (string, bool) {
	return n.ask(&n.seen.Jumps, caller, callee, func() (string, bool) { return n.From.TailCall(caller, callee) })
}

// Calls implements ktrace.TextProof.
func (n *TextNotes) Calls(caller, callee string) (string, bool) {
	return n.ask(&n.seen.Calls, caller, callee, func() (string, bool) { return n.From.Calls(caller, callee) })
}

// Lacks implements ktrace.TextProof.
func (n *TextNotes) Lacks(caller, callee string) (string, bool) {
	return n.ask(&n.seen.Lacks, caller, callee, func() (string, bool) { return n.From.Lacks(caller, callee) })
}

func (n *TextNotes) ask(facts *map[string]string, caller, callee string, read func() (string, bool)) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := caller + " " + callee
	if ground, ok := (*facts)[key]; ok {
		return ground, true
	}
	if n.From == nil {
		return "", false
	}
	ground, ok := read()
	if ok {
		if *facts == nil {
			*facts = map[string]string{}
		}
		(*facts)[key] = ground
	}
	return ground, ok
}

// Facts are the answers so far.
func (n *TextNotes) Facts() TextFacts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return TextFacts{maps.Clone(n.seen.Jumps), maps.Clone(n.seen.Calls), maps.Clone(n.seen.Lacks)}
}

// Add takes over answers of a recording.
func (n *TextNotes) Add(f TextFacts) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range []struct {
		to   *map[string]string
		from map[string]string
	}{{&n.seen.Jumps, f.Jumps}, {&n.seen.Calls, f.Calls}, {&n.seen.Lacks, f.Lacks}} {
		if *m.to == nil {
			*m.to = map[string]string{}
		}
		maps.Copy(*m.to, m.from)
	}
}
