//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/efd-go/efd/internal/ktrace"
)

// textWidth is the width to which texts are wrapped.
const textWidth = 100

// pathText writes a path for a person: texts, then the calls as a tree.
type pathText struct {
	w      io.Writer
	colour bool
	p      *ktrace.Path
	out    map[string][]ktrace.Edge // by caller
	shown  map[string]bool
}

func (t *pathText) path(p *ktrace.Path) {
	t.p, t.shown, t.out = p, map[string]bool{}, map[string][]ktrace.Edge{}
	for _, e := range p.Edges {
		t.out[e.Caller] = append(t.out[e.Caller], e)
	}
	fmt.Fprintf(t.w, "%s: %s\n", t.bold(p.Name), p.Title)
	writeWrapped(t.w, fmt.Sprintf("Linux %s, decided by %s", p.Kernel, p.DecidedBy), 2, textWidth)
	for _, para := range strings.Split(p.Intro, "\n\n") {
		fmt.Fprintln(t.w)
		writeWrapped(t.w, para, 0, textWidth)
	}
	if len(p.Edges) == 0 {
		fmt.Fprintf(t.w, "\nThis kernel has nothing of this path.\n")
	}
	if len(p.Edges) > 0 {
		fmt.Fprintln(t.w)
		writeWrapped(t.w, lines(p), 0, textWidth)
	}
	for _, r := range p.Roots {
		if !t.shown[r] {
			fmt.Fprintf(t.w, "\n%s  ", t.bold(r))
			writeWrapped(t.w, p.Functions[r].Text, utf8.RuneCountInString(r)+2, textWidth)
			t.below(r, "")
		}
	}
	t.section("Branches", len(p.Branches), func(i int) (string, string) { return "[" + p.Branches[i].Name + "]", p.Branches[i].Text })
	t.section("Structures", len(p.Structs), func(i int) (string, string) { return p.Structs[i].Name, p.Structs[i].Text })
	t.section("Limits", len(p.Limits), func(i int) (string, string) { return "-", p.Limits[i] })
	t.section("What articles get wrong", len(p.Corrections), func(i int) (string, string) {
		return "-", "\"" + p.Corrections[i].Wrong + "\" In truth: " + p.Corrections[i].Text
	})
}

// below writes the calls of a function, and theirs.
func (t *pathText) below(caller, prefix string) {
	t.shown[caller] = true
	edges := t.out[caller]
	for i, e := range edges {
		branch, next := "├─ ", "│  "
		if i == len(edges)-1 {
			branch, next = "└─ ", "   "
		}
		again := t.shown[e.Callee] && len(t.out[e.Callee]) > 0
		fmt.Fprintf(t.w, "%s%s%s%s\n", prefix, branch, t.bold(e.Callee), marks(e, again))
		deeper := len(t.out[e.Callee]) > 0 && !again
		bar := "   "
		if deeper {
			bar = "│  "
		}
		indent := prefix + next + bar
		if !again {
			writeIndented(t.w, e.Note, indent, textWidth)
		}
		fmt.Fprintf(t.w, "%s%s\n", indent, t.dim(link(t.p, e)))
		if deeper {
			t.below(e.Callee, prefix+next)
		}
	}
}

// marks says how the call is made and when.
func marks(e ktrace.Edge, again bool) string {
	var m []string
	switch e.Kind {
	case ktrace.Pointer:
		m = append(m, fmt.Sprintf("through %s, set in %s", e.Pointer, e.SetBy))
	case ktrace.Inline, ktrace.Macro, ktrace.Tracepoint:
		m = append(m, string(e.Kind))
	}
	if e.Tail != nil {
		m = append(m, "a jump that leaves no frame")
	}
	if e.Since != "" {
		m = append(m, "here "+when("since", e.Since))
	}
	if e.Until != "" {
		m = append(m, "here "+when("until", e.Until))
	}
	if again {
		m = append(m, "see above")
	}
	s := ""
	if e.Branch != "" {
		s = " [" + e.Branch + "]"
	}
	if len(m) > 0 {
		s += " (" + strings.Join(m, "; ") + ")"
	}
	return s
}

// when writes since or until "5.9", or "5.7|5.9" if nothing between was
// read.
func when(word, s string) string {
	if a, b, ok := strings.Cut(s, "|"); ok {
		return fmt.Sprintf("%s a version between %s and %s", word, a, b)
	}
	return word + " " + s
}

// lines says where the links lead.
func lines(p *ktrace.Path) string {
	s := "A link leads to the place where the function above it is called, not to the function itself"
	if p.Tree != "" && p.Tree != p.Kernel {
		s += ": it stands in the source of " + p.Tree + ", the nearest tree that was read"
	}
	return s + ". \"here since\" and \"here until\" are the versions that have the call in that place; a file that moved ends it too."
}

// link is the address of the call in the kernel's source: with the line where
// a tree of that version was reviewed, else of the file.
func link(p *ktrace.Path, e ktrace.Edge) string {
	version := p.Tree
	if version == "" {
		version = p.Kernel
	}
	at := ""
	if e.Line > 0 {
		at = fmt.Sprintf("#L%d", e.Line)
	}
	return "https://elixir.bootlin.com/linux/v" + version + "/source/" + e.File + at
}

func (t *pathText) section(title string, n int, item func(i int) (name, text string)) {
	if n == 0 {
		return
	}
	fmt.Fprintf(t.w, "\n%s\n", t.bold(title))
	width := 0
	for i := range n {
		name, _ := item(i)
		width = max(width, utf8.RuneCountInString(name))
	}
	for i := range n {
		name, text := item(i)
		fmt.Fprintf(t.w, "  %-*s ", width, name)
		writeWrapped(t.w, text, width+3, textWidth)
	}
}

func (t *pathText) bold(s string) string { return t.style("1", s) }
func (t *pathText) dim(s string) string  { return t.style("2", s) }

func (t *pathText) style(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// writeWrapped writes a text whose first line starts at column indent, and
// the further ones indented to it.
func writeWrapped(w io.Writer, text string, indent, width int) {
	lines := wrap(text, width-indent)
	fmt.Fprintln(w, strings.Join(lines, "\n"+strings.Repeat(" ", indent)))
}

// writeIndented writes a text with a prefix before each line.
func writeIndented(w io.Writer, text, prefix string, width int) {
	if text == "" {
		return
	}
	for _, l := range wrap(text, max(width-utf8.RuneCountInString(prefix), 40)) {
		fmt.Fprintf(w, "%s%s\n", prefix, l)
	}
}

func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
