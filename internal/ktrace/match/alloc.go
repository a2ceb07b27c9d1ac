//go:build linux

package match

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// allocators returns the documented functions whose call a tracepoint shows. It
// is a function, because a map would be made at the start of every program.
func allocators(tracepoint string) []string {
	switch tracepoint {
	case "kmem:kmalloc":
		return []string{"kmalloc", "kzalloc", "kmalloc_obj", "kvmalloc"}
	case "kmem:kmem_cache_alloc":
		return []string{"kmem_cache_alloc", "kmem_cache_zalloc"}
	case "kmem:mm_page_alloc":
		return []string{"__get_free_page"}
	}
	return nil
}

// MatchAlloc is Match for the chain of an allocation, from the innermost
// documented function on, which asked for the memory: that the event is there
// shows that it called the allocator. nil: no documented function did.
func (d *Doc) MatchAlloc(ev *ktrace.Event) *Chain {
	inner := Split(ev.Stack).Inner
	n := slices.IndexFunc(inner, func(f ktrace.Frame) bool { return len(d.known(f)) > 0 })
	if n < 0 || slices.ContainsFunc(inner[:n], func(f ktrace.Frame) bool { return !allocates(f.Name) }) {
		return nil
	}
	own := *ev
	own.Stack, own.Source = ev.Stack[len(ev.Stack)-len(Split(ev.Stack).Outer)-len(inner)+n:], ev.Source+" allocation"
	c := d.Match(&own)
	for _, from := range d.known(inner[n]) {
		for _, a := range allocators(ev.Source) {
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
	name = strings.TrimLeft(name, "_")
	return slices.ContainsFunc([]string{"kmalloc", "kmem_", "slab_", "alloc_pages", "alloc_frozen_pages", "alloc_page", "get_free_page", "get_free_pages", "folio_alloc"}, func(p string) bool { return strings.HasPrefix(name, p) })
}
