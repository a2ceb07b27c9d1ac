//go:build linux

package match

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// MatchAlloc is Match for the chain of an allocation, from the innermost
// documented function on, which asked for the memory: that the event is there
// shows that it called the allocator. nil: no documented function did.
func (d *Doc) MatchAlloc(ev *ktrace.Event) *Chain {
	inner := Split(ev.Stack).Inner
	n := slices.IndexFunc(inner, func(f ktrace.Frame) bool { return !allocates(f.Name) })
	if n < 0 || len(d.known(inner[n])) == 0 {
		return nil
	}
	own := *ev
	own.Stack, own.Source = ev.Stack[len(ev.Stack)-len(Split(ev.Stack).Outer)-len(inner)+n:], ev.Source+" allocation"
	c := d.Match(&own)
	for _, from := range d.known(inner[n]) {
		for _, a := range catalog.DefaultModel().Functions(catalog.Allocator, ev.Source) {
			if w := d.find(from, a); w != nil && w.bad == 0 {
				c.Steps = append(c.Steps, w.steps(ktrace.Frame{Name: a}, own.Source)...)
				return c
			}
		}
	}
	return c
}

// allocates reports whether a function is a part of the allocators.
func allocates(name string) bool {
	return catalog.DefaultModel().Is(catalog.Allocates, strings.TrimLeft(name, "_"))
}
