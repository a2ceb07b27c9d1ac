//go:build linux

package match

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// unrelated names the purpose of a general kernel function, such as a page
// fault, or returns "" for any other function.
func unrelated(name string, sleep bool) string {
	m := catalog.DefaultModel()
	what, ok := m.Of(catalog.Aside, BaseName(name))
	if sleep && !ok {
		what, _ = m.Of(catalog.AsideWait, BaseName(name))
	}
	return strings.ReplaceAll(what, "_", " ")
}

// Unrelated looks for a general function of the kernel that has nothing to do
// with the documented purpose of the thread's call. It returns the function's
// purpose, "" for none, and the number of frames from the leaf inside it.
// Functions that d documents do not count. sleep is set if the thread left its
// CPU there, else it woke another.
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
