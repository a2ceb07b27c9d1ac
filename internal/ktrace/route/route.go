//go:build linux

// Package route finds documented ways: from a call that wakes, or sleeps, to the
// scheduler, before anything was observed. The library does not import it.
package route

import (
	"cmp"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/observe"
)

// Callbacks are the functions of the wait-queue entries of some kinds of waiters.
func Callbacks(kinds []string) []string {
	out := slices.Clone(kinds)
	for i, kind := range kinds {
		if f := catalog.DefaultModel().Functions(catalog.Callback, kind); len(f) > 0 {
			out[i] = f[0]
		}
	}
	return out
}

// Wake is the documented way of a wake: from the call that wakes, over
// the callbacks, to the scheduler. branches are those that it takes if the
// documents have several.
func Wake(k *observe.Kernel, source, waiter string, callbacks, branches []string) []ktrace.Edge {
	d := k.Doc(observe.WakePaths(source, waiter, callbacks), observe.NotWoken(source, waiter, callbacks))
	if d == nil {
		return nil
	}
	return fromBody(Find(d, d.Roots(), branches, append(Callbacks(callbacks), observe.Leaves(observe.Waking)...)...))
}

// Sleep is the documented way from a system call to the scheduler.
func Sleep(k *observe.Kernel, name, sleepPath string) []ktrace.Edge {
	paths := []string{sleepPath}
	if sleepPath == "" {
		paths = observe.SleepPaths(name, nil)
	}
	d := k.Doc(paths, nil)
	if d == nil {
		return nil
	}
	// A file's own functions are roots too: a sleep in read is in its reading one.
	roots := slices.DeleteFunc(d.Roots(), func(r string) bool { return !strings.HasSuffix(r, "_"+name) || strings.Contains(r, "_sys_") })
	if len(roots) == 0 {
		roots = d.Roots()
	}
	return fromBody(Find(d, roots, nil, Entry(k, name), observe.Leaves(observe.Switching)[0]))
}

// Entry is the function that the kernel's table has for a system call, or for
// the one that libraries make in its place.
func Entry(k *observe.Kernel, name string) string {
	if name == "epoll_wait" && !hasCall(k.Arch, name) {
		name = "epoll_pwait"
	}
	prefix := catalog.DefaultModel().Arch(k.Arch).Prefix
	return cmp.Or(prefix, "sys_") + name
}

// hasCall reports whether an architecture has a system call.
func hasCall(arch, name string) bool {
	return len(catalog.DefaultModel().Arch(arch).Numbers(func(c *catalog.Call) bool { return c.Name == name })) > 0
}

// fromBody drops the way from user space to the system call's own function,
// which is the same for all.
func fromBody(edges []ktrace.Edge) []ktrace.Edge {
	for i, e := range edges {
		if catalog.DefaultModel().InTable(e.Caller) != "" {
			return edges[i:]
		}
	}
	return edges
}
