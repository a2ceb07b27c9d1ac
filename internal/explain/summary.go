//go:build linux

package explain

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/efd-go/efd/internal/plain"
)

// found starts the lines of the list at the end.
const found = "found: "

// summary lists at the end of a log what was found, the most serious first.
func (t *texter) summary(all []*Warning) {
	for _, f := range findings(all) {
		t.line(found, plain.Text(f.text), plain.Text(f.andRemedy()))
	}
	if len(all) > 0 {
		t.line("efdtrace explain -code CODE says more of each")
	}
}

// finding is a paragraph of the list.
type finding struct {
	*Warning
	text string
}

// mostListed is how many paragraphs there are that differ in numbers alone.
const mostListed = 5

// findings are the paragraphs of the list. Of many that differ in numbers alone the
// first ones stand there, and the lines of the others: each has its own warning in
// the log, and its own object in JSON.
func findings(all []*Warning) (out []finding) {
	groups := alike(all)
	count, listed := map[string]int{}, map[string]int{}
	for _, g := range groups {
		count[shapeOfText(g[0])]++
	}
	more := map[string][]int{}
	for _, g := range groups {
		w, shape := g[0], shapeOfText(g[0])
		if w.Code == "waits-for" || count[shape] <= mostListed || listed[shape] < mostListed-1 {
			listed[shape]++
			out = append(out, finding{w, entry(g)})
			continue
		}
		more[shape] = append(more[shape], w.Lines[len(w.Lines)-1])
		if lines := more[shape]; len(lines) == count[shape]-listed[shape] {
			slices.Sort(lines)
			out = append(out, finding{w, fmt.Sprintf("%s: %d more like these (lines %d to %d)", w.Code, len(lines), lines[0], lines[len(lines)-1])})
		}
	}
	return out
}

// shapeOfText is a warning's text without its numbers.
func shapeOfText(w *Warning) string {
	return w.Code + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, w.Text)
}

// entry is a group of warnings in the list at the end.
func entry(group []*Warning) string {
	w := group[0]
	s := w.Code + ": " + together(group)
	if w.Code == "waits-for" { // its words name the line
		return s
	}
	return s + " (" + w.where() + ")"
}

// alike puts warnings into groups that differ in nothing but the descriptor:
// the same lines and times show them.
func alike(all []*Warning) (groups [][]*Warning) {
next:
	for _, w := range all {
		for i, g := range groups {
			if len(g) < maxTogether && g[0].sameAs(w) && together(append(slices.Clone(g), w)) != "" {
				groups[i] = append(g, w)
				continue next
			}
		}
		groups = append(groups, []*Warning{w})
	}
	return groups
}

// maxTogether bounds the descriptors that one paragraph names.
const maxTogether = 32

func (w *Warning) sameAs(o *Warning) bool {
	return w.Code == o.Code && w.Code != "waits-for" && w.Epoll == o.Epoll && w.FD >= 0 && o.FD >= 0 && w.FD != o.FD &&
		w.Count == o.Count && w.first == o.first && w.last == o.last && slices.Equal(w.Lines, o.Lines)
}

// together is the text of a group: the beginning and the end that the texts share
// stand once. It is "" if that is the lesser part of them.
func together(group []*Warning) string {
	first := group[0].Text
	if len(group) == 1 {
		return first
	}
	front, back := len(first), len(first)
	for _, w := range group[1:] {
		i, j := 0, 0
		for i < min(front, len(w.Text)) && w.Text[i] == first[i] {
			i++
		}
		for j < min(back, len(w.Text)) && w.Text[len(w.Text)-1-j] == first[len(first)-1-j] {
			j++
		}
		front, back = i, j
	}
	front = wordBefore(first[:front])
	if i := strings.IndexByte(first[len(first)-back:], ' '); i >= 0 {
		back -= i
	} else {
		back = 0
	}
	rest := first[len(first)-back:]
	var names []string
	for _, w := range group {
		if front+back >= len(w.Text) || len(w.Text) > 2*(front+back) {
			return ""
		}
		name := w.Text[front : len(w.Text)-back]
		if strings.Contains(name, " was ") || strings.Contains(name, " is ") {
			return "" // each is a sentence of its own
		}
		names = append(names, name)
	}
	last := len(names) - 1
	return first[:front] + strings.Join(names[:last], ", ") + " and " + names[last] + " each" + rest
}

// wordBefore is the index of the last whole word of s: "fd" of "epoll 7 found
// fd 1".
func wordBefore(s string) int {
	s = s[:strings.LastIndexByte(s, ' ')+1]
	return strings.LastIndexByte(strings.TrimRight(s, " "), ' ') + 1
}

// all reads a log to its end.
func (x *Explainer) all(r *strace.Reader) error {
	for {
		rec, err := r.Next()
		switch {
		case err == io.EOF:
			x.Finish(r.Dropped())
			return nil
		case err != nil:
			return err
		case !rec.Part:
			x.Explain(rec)
		}
	}
}

// textWarnings writes nothing but the warnings of a log, the most serious
// first.
func textWarnings(w io.Writer, r *strace.Reader, x *Explainer, o *Options) error {
	if err := x.all(r); err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, f := range findings(x.Warnings()) {
		s, code, remedy := plain.Text(f.text), f.Code, f.Remedy
		if o.Color {
			s = "\x1b[33m" + code + "\x1b[0m" + s[len(code):]
		}
		out.WriteString(s + "\n")
		if remedy != "" {
			out.WriteString("    " + remedy + "\n")
		}
	}
	return out.Flush()
}
