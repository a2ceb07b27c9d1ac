//go:build linux

// Package ktext reads the running kernel's machine code and tells which
// functions a function calls and which it jumps to. A jump to another function
// is a tail call: the caller leaves no frame behind, and a call chain that
// lacks it is explained by that and by nothing less.
//
// The code is read from /proc/kcore where that can be opened, and otherwise by
// a small BPF program. The processor's own jumps through pointers are not
// followed: such an edge only an observation can prove.
package ktext

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
)

// Text is access to the kernel's code. It is for one goroutine.
type Text struct {
	syms  *ksym.Table
	from  memory
	known map[string][]Branch
}

type memory interface {
	read(p []byte, addr uint64) error
	close() error
	name() string
}

// Branch is a call of or a jump to another function, in the code of one.
type Branch struct {
	Jump bool     // a tail call
	Off  uint64   // of the instruction, from the start of the function
	To   []string // the symbols at the target
}

// Open gets access. Its error is an *ktrace.AccessError.
func Open(syms *ksym.Table) (*Text, error) {
	if e := ksym.Missing(syms); e != nil {
		return nil, &ktrace.AccessError{Tier: "text", Missing: "kernel text cannot be searched without the addresses of kernel symbols: " + e.Missing, Change: e.Change, Root: e.Root, Err: e.Err}
	}
	if decode == nil {
		return nil, &ktrace.AccessError{Tier: "text", Missing: "kernel text of " + runtime.GOARCH + " cannot be disassembled by this program"}
	}
	t := &Text{syms: syms, known: map[string][]Branch{}}
	k, err := openKcore()
	if err == nil {
		t.from = k
	} else if b, berr := openBPF(); berr == nil {
		t.from = b
	} else {
		return nil, berr
	}
	if _, err := t.Branches(catalog.DefaultModel().Functions(catalog.Leaf, "sched:sched_switch")[0]); err != nil {
		// Reading may be refused although opening was not.
		t.from.close()
		return nil, &ktrace.AccessError{Tier: "text", Missing: "kernel text cannot be read: " + err.Error(), Err: err}
	}
	return t, nil
}

// Close ends the access.
func (t *Text) Close() error { return t.from.close() }

// Source names where the code is read from, as evidence does.
func (t *Text) Source() string { return t.from.name() }

// maxCode bounds what is read of one function.
const maxCode = 64 << 10

// Branches lists the calls and jumps of the function with exactly this symbol
// to others, those of its cold parts included.
func (t *Text) Branches(symbol string) ([]Branch, error) {
	if b, ok := t.known[symbol]; ok {
		return b, nil
	}
	start, end, ok := t.syms.Range(symbol)
	if !ok {
		return nil, fmt.Errorf("kernel symbol %s: not there, or more than once", symbol)
	}
	out, err := t.scan(symbol, start, end)
	if err != nil {
		return nil, err
	}
	for _, part := range t.syms.Cold(symbol) {
		start, end, ok := t.syms.Range(part)
		if !ok {
			return nil, fmt.Errorf("kernel symbol %s: more than once", part)
		}
		cold, err := t.scan(symbol, start, end)
		if err != nil {
			return nil, err
		}
		out = append(out, cold...)
	}
	t.known[symbol] = out
	return out, nil
}

func (t *Text) scan(symbol string, start, end uint64) ([]Branch, error) {
	code := make([]byte, min(end-start, maxCode))
	if err := t.from.read(code, start); err != nil {
		return nil, err
	}
	var out []Branch
	decode(code, start, func(at, target uint64, jump bool) {
		if target >= start && target < end {
			return
		}
		to := slices.DeleteFunc(t.syms.At(target), func(n string) bool {
			return thunk(n) || ksym.Uncold(n) == symbol
		})
		if len(to) > 0 {
			out = append(out, Branch{jump, at - start, to})
		}
	})
	return out, nil
}

// thunk reports whether a function is a part of the processor's mitigations: a
// jump to one is a return or a jump through a pointer.
func thunk(name string) bool {
	return strings.HasPrefix(name, "__x86_") || strings.HasSuffix(name, "_return_thunk") || strings.HasPrefix(name, "__SCT__") ||
		strings.HasPrefix(name, "srso_") || strings.HasPrefix(name, "its_") || strings.HasPrefix(name, "__fentry__")
}

// TailCall implements ktrace.TextProof.
func (t *Text) TailCall(caller, callee string) (ground string, ok bool) {
	for _, symbol := range t.syms.Variants(caller) {
		branches, err := t.Branches(symbol)
		if err != nil {
			continue
		}
		for _, b := range branches {
			if b.Jump && slices.ContainsFunc(b.To, func(n string) bool { return ksym.Base(n) == callee }) {
				return fmt.Sprintf("%s, %s+%#x jumps to %s", t.from.name(), symbol, b.Off, b.To[0]), true
			}
		}
	}
	return "", false
}

// Calls reports whether the code of caller has a call of callee, and where.
func (t *Text) Calls(caller, callee string) (ground string, ok bool) {
	for _, symbol := range t.syms.Variants(caller) {
		branches, err := t.Branches(symbol)
		if err != nil {
			continue
		}
		for _, b := range branches {
			if !b.Jump && slices.ContainsFunc(b.To, func(n string) bool { return ksym.Base(n) == callee }) {
				return fmt.Sprintf("%s, %s+%#x calls %s", t.from.name(), symbol, b.Off, b.To[0]), true
			}
		}
	}
	return "", false
}

// Lacks reports whether the whole code of caller was read and goes nowhere to
// callee. Of a jump or a call through a pointer nothing is known.
func (t *Text) Lacks(caller, callee string) (ground string, ok bool) {
	read := false
	for _, symbol := range t.syms.Variants(caller) {
		start, end, there := t.syms.Range(symbol)
		branches, err := t.Branches(symbol)
		if err != nil || !there || end-start > maxCode {
			return "", false
		}
		read = true
		for _, b := range branches {
			if slices.ContainsFunc(b.To, func(n string) bool { return ksym.Base(n) == callee }) {
				return "", false
			}
		}
	}
	return fmt.Sprintf("%s, %s goes nowhere to %s", t.from.name(), caller, callee), read
}
