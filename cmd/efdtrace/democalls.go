//go:build linux

package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/uapi"
)

// lines prints the calls of a scenario as strace -f does: in the order in which
// they began, and one that slept in two halves around the calls of others.
// wanted selects the calls.
func (d *demonstration) lines(r *scenario.Result, wanted func(*scenario.Line) bool, head func(tid int) string) {
	type line struct {
		at   int64
		tid  int
		text string
	}
	var out []line
	for i := range r.Calls {
		c := &r.Calls[i]
		if c.After || !wanted(c) {
			continue
		}
		during := func(o scenario.Line) bool { return o.TID != c.TID && c.Began < o.Began && o.Began < c.Ended }
		first, second := c.Text, ""
		if c.TID == r.Waiter && slices.ContainsFunc(r.Calls, during) {
			first, second = uapi.Halves(c.Text)
		}
		out = append(out, line{c.Began, c.TID, first})
		if second != "" {
			out = append(out, line{c.Ended, c.TID, second})
		}
	}
	slices.SortStableFunc(out, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	for _, l := range out {
		d.text.Hanging(head(l.tid), l.text)
	}
}

// calls prints all of a scenario's calls.
func (d *demonstration) calls(r *scenario.Result) {
	d.text.Printf("\n")
	width := 0
	for _, c := range r.Calls {
		width = max(width, len(fmt.Sprint(c.TID)))
	}
	d.lines(r, func(*scenario.Line) bool { return true }, func(tid int) string { return fmt.Sprintf("  thread %-*d  ", width, tid) })
}

// wakers prints the call that slept and the one that woke it, after a name.
func (d *demonstration) wakers(head string, r *scenario.Result) {
	name := head
	d.lines(r, func(c *scenario.Line) bool { return c.TID == r.Waiter || c.Acts }, func(tid int) string {
		defer func() { name = fmt.Sprintf("%*s", len(head), "") }()
		return fmt.Sprintf("%s %d ", cmp.Or(name, head), tid)
	})
}
