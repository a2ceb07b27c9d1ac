//go:build linux

package match

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// aside is what a function is there for, "" where it is none of the general
// ones.
func unrelated(name string, sleep bool) string {
	m := catalog.DefaultModel()
	what, ok := m.Of(catalog.Aside, BaseName(name))
	if sleep && !ok {
		what, _ = m.Of(catalog.AsideWait, BaseName(name))
	}
	return strings.ReplaceAll(what, "_", " ")
}

// Aside looks for a general function of the kernel that the thread was in
// beside what its call is documented for, and returns what it was there for,
// "" for none, and how many frames from the leaf lie in it. What d documents
// itself is none. sleep: the thread left its CPU there, else it woke another.
func (d *Doc) Unrelated(frames []ktrace.Frame, sleep bool) (what string, n int) {
	for i, f := range slices.Backward(frames) {
		if d != nil && len(d.known(f)) > 0 {
			continue
		}
		if what := unrelated(f.Name, sleep); what != "" {
			return what, i
		}
	}
	return "", 0
}
