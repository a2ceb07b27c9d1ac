//go:build linux

package efdtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/catalog"
	"golang.org/x/sys/unix"
)

// report fails the test, or makes it inconclusive.
func (k *K) report(f *finding) {
	k.Helper()
	if f.doubt != "" {
		k.doubt(f.doubt)
		return
	}
	k.mu.Lock()
	k.failed = true
	k.mu.Unlock()
	text := k.block(f)
	if f.fatal {
		k.TB.Fatalf("%s", text)
	} else {
		k.TB.Errorf("%s", text)
	}
}

// fatal ends the test over a wrong use of the package.
func (k *K) fatal(format string, args ...any) {
	k.Helper()
	k.mu.Lock()
	k.failed = true
	k.mu.Unlock()
	k.TB.Fatalf("efdtest: "+format, args...)
}

// block is the text of a failure: one sentence, the table, the objects, the
// evidence, and the command that repeats it.
func (k *K) block(f *finding) string {
	var b strings.Builder
	b.WriteString(f.head)
	if f.at != "" {
		fmt.Fprintf(&b, " (asserted at %s)", f.at)
	}
	switch {
	case !k.adds(f):
		return b.String()
	case f.detail != "":
		b.WriteString("\n\n" + indent(f.detail))
	default:
		if k.evidence == Kernel {
			k.sync(mono())
		}
		b.WriteString("\n\n" + indent(k.table(f)))
	}
	b.WriteString("\n" + indent(k.footer(f)))
	return strings.TrimRight(b.String(), "\n")
}

// adds reports whether the table of a failure shows more than those before:
// later failures mostly follow from the first.
func (k *K) adds(f *finding) (more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	more = k.shown == nil || f.detail != ""
	if k.shown == nil {
		k.shown = map[wakeKey]bool{}
	}
	for key := range f.marks {
		more = more || !k.shown[key]
		k.shown[key] = true
	}
	return more
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("  ")
		}
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// footer has the objects, the evidence, the recording, and the command.
func (k *K) footer(f *finding) string {
	var b strings.Builder
	objects := slices.Clone(f.objects)
	if f.act != nil {
		for _, c := range f.act.calls() {
			for _, r := range c.refs {
				if r.o != nil {
					objects = append(objects, r.o)
				}
			}
		}
	}
	var seen []*Object
	for _, o := range objects {
		if !slices.Contains(seen, o) {
			seen = append(seen, o)
			fmt.Fprintf(&b, "%s, %s.\n", o, o.counter())
		}
	}
	if len(f.stack) > 0 {
		fmt.Fprintf(&b, "stack:\n  %s\n", strings.Join(f.stack, "\n  "))
	}
	if note := k.explain(f); note != "" {
		b.WriteString(note + "\n")
	}
	fmt.Fprintf(&b, "evidence: %s", k.evidence)
	if k.evidence == Kernel {
		fmt.Fprintf(&b, ", Linux %s, %s", release(), plural(k.lostSince(), "record lost", "records lost"))
		if files, err := k.record(); err != nil {
			fmt.Fprintf(&b, "\nno recording: %v", err)
		} else {
			b.WriteString("\n" + files)
		}
	} else {
		fmt.Fprintf(&b, "; for wakes and their ways: %s", k.why)
	}
	fmt.Fprintf(&b, "\nagain: go test %s-run '%s' -count=1 %s\n", again, pattern(k.TB.Name()), k.test.pkg)
	return b.String()
}

// explain adds a fact of the kernel's that such a failure mostly comes from.
func (k *K) explain(f *finding) string {
	if f.act == nil || len(f.marks) == 0 || k.evidence != Kernel {
		return ""
	}
	kinds, wakes := map[string]bool{}, f.act.wakes()
	for _, w := range wakes {
		if kind, ok := catalog.DefaultModel().Of(catalog.Callback, w.Callback); ok && f.marks[keyOf(&w)] != "" {
			kinds[kind] = true
		}
	}
	switch {
	case !strings.Contains(f.head, "; want") || len(wakes) < 2:
	case kinds["poller"]:
		return "Entries of poll and select are not exclusive: one write wakes all that sleep on the object."
	case kinds["epoll"]:
		return "Entries of epoll are exclusive only if they were added with EPOLLEXCLUSIVE: one write wakes a waiter of each other epoll."
	}
	return ""
}

// release is uname -r.
func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// pattern is the -run argument for one test.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + strings.ReplaceAll(regexp.QuoteMeta(p), "'", ".") + "$"
	}
	return strings.Join(parts, "/")
}
