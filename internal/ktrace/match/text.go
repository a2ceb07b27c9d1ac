//go:build linux

package match

import (
	"fmt"

	"github.com/efd-go/efd/internal/ktrace"
)

// maxJump bounds how many documented functions a jump may have swallowed:
// those compiled into the one that jumps.
const maxJump = 3

// byText looks in the kernel's machine code for the reason why a function left
// no frame. It was called, and jumps on; or nothing goes to it, and its
// caller's code goes on in its place.
func (d *Doc) byText(way []ktrace.Edge, out ktrace.Edge) (cause, bool) {
	in := way[len(way)-1]
	g := in.Callee
	if d.text == nil || !d.hasSymbol(g) {
		return cause{}, false
	}
	next := d.next(out.Callee, maxJump)
	if in.Kind == ktrace.Pointer || d.goes(d.holder(way), g) != "" {
		for _, n := range next {
			if ground, ok := d.text.TailCall(g, n); ok {
				return cause{ktrace.TailCall, fmt.Sprintf("%s ends in a jump to %s (%s), so it leaves no frame", g, n, ground), "jumps to " + n, false}, true
			}
		}
		return cause{}, false
	}
	for _, n := range next {
		if ground := d.goes(d.holder(way), n); ground != "" && in.Proved {
			return cause{ktrace.Inlined, fmt.Sprintf("%s is compiled into %s (%s)%s", g, in.Caller, ground, at(in)), "compiled into " + in.Caller, false}, true
		}
	}
	if in.Proved && in.Kind != ktrace.Pointer {
		if ground, ok := d.text.Lacks(d.holder(way), g); ok {
			return cause{ktrace.Inlined, fmt.Sprintf("%s is compiled into %s (%s)%s", g, in.Caller, ground, at(in)), "compiled into " + in.Caller, false}, true
		}
	}
	return cause{}, false
}

// lacks reports whether the code that holds a call is known and does not go to
// the callee: that of the caller, or if the caller is no function of this
// kernel, of all that it is compiled into.
func (d *Doc) lacks(e ktrace.Edge, depth int) (ground string, ok bool) {
	if d.hasSymbol(e.Caller) {
		return d.text.Lacks(e.Caller, e.Callee)
	}
	if depth == 0 {
		return "", false
	}
	for _, edges := range d.out {
		for _, up := range edges {
			if up.Callee != e.Caller {
				continue
			}
			g, lacks := d.lacks(ktrace.Edge{Caller: up.Caller, Callee: e.Callee}, depth-1)
			if !lacks {
				return "", false
			}
			ground, ok = g, true
		}
	}
	return ground, ok
}

// goes says where the code of one function calls or jumps to another, "" if
// it does not.
func (d *Doc) goes(from, to string) string {
	if ground, ok := d.text.Calls(from, to); ok {
		return ground
	}
	ground, _ := d.text.TailCall(from, to)
	return ground
}

// called reports whether the code of a function is known to go to another.
func (d *Doc) called(from, to string) bool { return d.text != nil && d.goes(from, to) != "" }

// calls reports whether the code of a function is known to call another, which
// is no jump.
func (d *Doc) calls(from, to string) bool {
	if d.text == nil {
		return false
	}
	_, ok := d.text.Calls(from, to)
	return ok
}

// holder is the function of the way whose code holds the call: the last caller
// that the kernel has as a function.
func (d *Doc) holder(way []ktrace.Edge) string {
	for i := len(way) - 1; i > 0; i-- {
		if d.hasSymbol(way[i].Caller) {
			return way[i].Caller
		}
	}
	return way[0].Caller
}

// next is a function and those that it leads to within some documented calls.
func (d *Doc) next(name string, depth int) []string {
	out := []string{name}
	if depth == 0 {
		return out
	}
	for _, e := range d.out[name] {
		if e.Kind != ktrace.Pointer {
			out = append(out, d.next(e.Callee, depth-1)...)
		}
	}
	return out
}

func (d *Doc) hasSymbol(name string) bool {
	syms, _ := d.symbols(name)
	return len(syms) > 0
}

// into are the documented calls of a function.
func (d *Doc) into(name string) []ktrace.Edge {
	var in []ktrace.Edge
	for _, edges := range d.out {
		for _, e := range edges {
			if e.Callee == name {
				in = append(in, e)
			}
		}
	}
	return in
}
