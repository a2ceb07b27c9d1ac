//go:build linux

package render

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Folded writes stacks that flame graph tools read: frames joined by ';', then
// nanoseconds. A call's time is its own, and that of its sleeps. If the waker
// of a sleep was observed, its stack is above the sleeper's, after "--" and
// upside down, as in an off-wake-time graph.
func Folded(w io.Writer, t *Timeline) error {
	sums := map[string]int64{}
	wakers := t.wakersByCall()
	for i := range t.Calls {
		c := &t.Calls[i]
		own := c.End - c.Start
		base := frames(t.trackName(c.TID), c.Name)
		for _, s := range c.Sleeps {
			slept := s.To - s.From
			own -= slept
			stack := append(slices.Clone(base), frames(slices.Clone(s.Chain)...)...)
			stack = append(stack, "asleep")
			if k := wakerOf(wakers[i], s); k != nil {
				stack = append(stack, t.wakerFrames(k)...)
			}
			sums[strings.Join(stack, ";")] += slept
		}
		if own > 0 {
			if c.Outcome != "" {
				base = append(base, clean(c.Outcome))
			}
			sums[strings.Join(base, ";")] += own
		}
	}
	lines := make([]string, 0, len(sums))
	for s, ns := range sums {
		lines = append(lines, fmt.Sprintf("%s %d\n", s, ns))
	}
	slices.Sort(lines)
	buf := bufio.NewWriter(w)
	for _, l := range lines {
		buf.WriteString(l)
	}
	return buf.Flush()
}

func frames(names ...string) []string {
	for i := range names {
		names[i] = clean(names[i])
	}
	return names
}

// clean removes the separators of frames and the control characters of
// terminals.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ';':
			return ','
		case !unicode.IsGraphic(r):
			return ' '
		}
		return r
	}, s)
}

func (t *Timeline) trackName(tid int) string {
	if th := t.thread(tid); th != nil {
		return th.name()
	}
	return fmt.Sprintf("thread %d", tid)
}

func (t *Timeline) wakersByCall() map[int][]*Wake {
	m := map[int][]*Wake{}
	for i := range t.Wakes {
		if w := &t.Wakes[i]; w.WakeeCall >= 0 {
			m[w.WakeeCall] = append(m[w.WakeeCall], w)
		}
	}
	return m
}

// wakerOf is the wake that ended a sleep.
func wakerOf(wakes []*Wake, s Sleep) *Wake {
	for _, w := range wakes {
		if w.Time >= s.From && w.Time <= s.To {
			return w
		}
	}
	return nil
}

func (t *Timeline) wakerFrames(w *Wake) []string {
	out := []string{"--"}
	if w.Path >= 0 && w.Path < len(t.Paths) {
		chain := frames(slices.Clone(t.Paths[w.Path].Chain)...)
		slices.Reverse(chain)
		out = append(out, chain...)
	} else if w.Callback != "" {
		out = append(out, clean(w.Callback))
	}
	if w.Waker.Syscall != "" {
		out = append(out, clean(w.Waker.Syscall))
	}
	if !w.Waker.acts() {
		return append(out, clean(w.Waker.Context))
	}
	return append(out, clean(fmt.Sprintf("%s %d", w.Waker.Comm, w.Waker.TID)))
}
