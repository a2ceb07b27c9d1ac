//go:build linux

package render

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Formats are the names that Write knows.
var Formats = []string{"jsonl", "trace-event", "folded", "html"}

// Write writes a timeline in one of Formats. The text for terminals is not
// among them: it is written as things happen.
func Write(w io.Writer, format string, t *Timeline) error {
	switch format {
	case "jsonl":
		return JSONLines(w, t)
	case "trace-event":
		return TraceEvents(w, t)
	case "folded":
		return Folded(w, t)
	case "html":
		return HTML(w, t)
	}
	return fmt.Errorf("format %q: there are %s", format, strings.Join(Formats, ", "))
}

// start is the time of the first thing in a timeline: outputs count from it.
func (t *Timeline) start() int64 {
	var first int64
	for i, c := range t.Calls {
		if i == 0 || c.Start < first {
			first = c.Start
		}
	}
	for i, w := range t.Wakes {
		if i == 0 && len(t.Calls) == 0 || w.Time < first {
			first = w.Time
		}
	}
	return first
}

// thread finds the thread of a tid.
func (t *Timeline) thread(tid int) *Thread {
	if t.byTID == nil || t.indexed != len(t.Threads) {
		t.byTID, t.indexed = map[int]int{}, len(t.Threads)
		for i := range slices.Backward(t.Threads) { // the first of several
			t.byTID[t.Threads[i].TID] = i
		}
	}
	if i, ok := t.byTID[tid]; ok {
		return &t.Threads[i]
	}
	return nil
}

// name returns the title of a track.
func (th *Thread) name() string {
	s := th.Comm
	if s == "" {
		s = "thread"
	}
	s = fmt.Sprintf("%s %d", s, th.TID)
	if th.Note != "" {
		s += " (" + th.Note + ")"
	}
	return s
}
