//go:build linux

package observe

import (
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/source/ftrace"
	"github.com/efd-go/efd/internal/order"
)

// Functions lists the documented names whose symbols a recording needs: all of
// every reviewed kernel, so that a catalogue that was corrected later can be
// applied to it, the functions that choose between variants, and the syscall
// entry points.
func (k *Kernel) Functions() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.functions == nil { // to find them takes a while
		k.functions = k.findFunctions()
	}
	return k.functions
}

func (k *Kernel) findFunctions() []string {
	names := map[string]bool{}
	asked := &askedSet{k.Symbols, names}
	versions := []ktrace.Version{k.Version}
	for _, t := range catalog.Default().Trees() {
		versions = append(versions, t.Version)
	}
	for _, v := range versions {
		for _, n := range catalog.Default().Names() {
			p, err := catalog.Default().Path(n, v, nil)
			if err != nil {
				continue
			}
			for _, e := range p.Edges {
				names[e.Caller], names[e.Callee] = true, true
			}
		}
	}
	for _, n := range catalog.Default().Names() {
		catalog.Default().Path(n, k.Version, asked)
	}
	for _, nr := range k.Numbers() {
		for _, p := range catalog.DefaultModel().TablePrefixes() {
			names[p+SyscallName(k.Arch, nr)] = true
		}
	}
	return order.Names(names)
}

// askedSet notes which symbols were asked for.
type askedSet struct {
	ktrace.SymbolSet
	names map[string]bool
}

func (a *askedSet) Variants(name string) []string {
	a.names[name] = true
	if a.SymbolSet == nil {
		return nil
	}
	return a.SymbolSet.Variants(name)
}

// Functions traces the documented functions, if the kernel has a function
// tracer. It implements source.Source.
type Functions struct {
	Source  *ftrace.Source
	Witness *match.Tracer // the functions that it can show
}

// Read implements source.Source.
func (f *Functions) Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	return f.Source.Read(until, buf)
}

// Losses implements source.Source.
func (f *Functions) Losses() []ktrace.Loss { return f.Source.Losses() }

// Stop implements source.Source.
func (f *Functions) Stop() error { return f.Source.Stop() }

// Close implements source.Source.
func (f *Functions) Close() error { return f.Source.Close() }

// OpenFunctions opens the function tracer, and traces nothing yet. most bounds
// the bytes of one reading, 0 leaves that to it.
func (k *Kernel) OpenFunctions(table *ksym.Table, most int) (*Functions, error) {
	s, err := ftrace.Open(ftrace.Config{Symbols: table, Functions: k.Functions(), Paused: true, Most: most})
	if err != nil {
		return nil, err
	}
	return &Functions{s, Witness(s.Tracer(), s.Traced())}, nil
}

// Witness describes the function tracer of that name that traced those
// functions.
func Witness(name string, traced []string) *match.Tracer {
	t := &match.Tracer{Name: name, Graph: name == ftrace.Graph, Traced: map[string]bool{}}
	for _, s := range traced {
		t.Traced[s] = true
	}
	return t
}

// OfFunctions reports whether a source is the function tracer.
func OfFunctions(source string) bool { return source == ftrace.Graph || source == ftrace.Function }
