//go:build linux

package render

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/efd-go/efd/internal/ktrace"
)

// Documented marks an edge that is shown as documented alone, in the place of a
// verdict.
const Documented ktrace.Verdict = "documented"

// Width is the widest that text for a terminal gets.
const Width = 100

// Text writes for a terminal: wrapped, and in colour if it may be.
type Text struct {
	W     io.Writer
	Color bool

	explained map[string]bool // functions whose sentence was shown
}

// NewText writes to w.
func NewText(w io.Writer, color bool) *Text {
	return &Text{W: w, Color: color, explained: map[string]bool{}}
}

// Row is one function of a chain for a reader: the verdict of the edge that
// leads to it.
type Row struct {
	Verdict  ktrace.Verdict // "" for the start of a chain
	Function string
	Symbol   string // the kernel's own name, if it is another
	Sentence string // the function's role in the path
	Cause    string // why the edge has its verdict, if that needs saying
	Common   bool   // on every chain: the entry of a system call, the inside of the scheduler
}

const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	reset  = "\x1b[0m"
)

// paint colours s if colour is on.
func (t *Text) paint(style, s string) string {
	if !t.Color || s == "" {
		return s
	}
	return style + s + reset
}

// Printf writes plain text.
func (t *Text) Printf(format string, a ...any) { fmt.Fprintf(t.W, format, a...) }

// Heading writes a line that stands out, filled up with a rule.
func (t *Text) Heading(s string) {
	fill := max(Width-utf8.RuneCountInString(s)-4, 0)
	t.Printf("\n%s %s\n", t.paint(bold, "── "+s), t.paint(dim, strings.Repeat("─", fill)))
}

// Bold marks a piece of a line.
func (t *Text) Bold(s string) string { return t.paint(bold, s) }

// Dim takes a piece of a line back.
func (t *Text) Dim(s string) string { return t.paint(dim, s) }

// Para writes a paragraph, wrapped, every line after indent.
func (t *Text) Para(indent, s string) {
	for _, l := range Wrap(s, Width-utf8.RuneCountInString(indent)) {
		t.Printf("%s%s\n", indent, l)
	}
}

// Hanging writes a paragraph whose first line begins with head and whose
// others are indented as far.
func (t *Text) Hanging(head, s string) {
	n := visible(head)
	for _, l := range Wrap(s, Width-n) {
		t.Printf("%s%s\n", head, l)
		head = strings.Repeat(" ", n)
	}
}

// visible is the number of characters of s that a terminal shows.
func visible(s string) int {
	n, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n++
		}
	}
	return n
}

// unbroken is a blank at which no line is broken.
const unbroken = "\u00a0"

// Unbroken keeps a few words on one line.
func Unbroken(s string) string { return strings.ReplaceAll(s, " ", unbroken) }

// Wrap breaks s at blanks into lines of at most width characters; a word that
// is longer has a line of its own.
func Wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' }) {
		switch {
		case line == "":
			line = w
		case visible(line)+1+visible(w) <= width:
			line += " " + w
		default:
			lines = append(lines, line)
			line = w
		}
	}
	lines = append(lines, line)
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], unbroken, " ")
	}
	return lines
}

// mark is how a verdict looks in a chain.
func mark(v ktrace.Verdict) (sign, word, style string) {
	switch v {
	case ktrace.Seen:
		return "✓", "seen", green
	case ktrace.Renamed:
		return "✓", "renamed", green
	case ktrace.TailCall:
		return "↪", "tail call", cyan
	case ktrace.Inlined:
		return "⊂", "inlined", cyan
	case ktrace.Contradicted:
		return "✗", "contradicted", red
	case ktrace.Undocumented:
		return "✗", "undocumented", red
	case ktrace.Inconclusive:
		return "?", "inconclusive", yellow
	case ktrace.NotTaken:
		return "-", "not taken", dim
	case ktrace.NotObservable:
		return "-", "not observable", dim
	case Documented:
		return "·", "documented", dim
	}
	return "│", "", dim
}

// Legend explains a verdict's sign.
func (t *Text) Legend(v ktrace.Verdict, text string) {
	sign, word, style := mark(v)
	t.Hanging(fmt.Sprintf("  %s %s ", t.paint(style, sign), t.paint(style, fmt.Sprintf("%-*s", verdictWidth, word))), text)
}

// foldSign stands for functions that were shown before.
const foldSign = "⋮"

// Fold explains the sign of folded functions.
func (t *Text) Fold(text string) {
	t.Hanging(fmt.Sprintf("  %s %-*s ", t.paint(dim, foldSign), verdictWidth, ""), text)
}

// nameWidth is the room for a function's name.
const (
	nameWidth    = 30
	verdictWidth = 10
)

// Chain writes a chain, each caller above its callee. A function is explained
// once, and rows that every chain has in common (Common) are folded to one line
// once they were shown.
func (t *Text) Chain(indent string, rows []Row) {
	for i := 0; i < len(rows); {
		if n := t.familiar(rows[i:]); n > 2 {
			t.Printf("%s%s\n", indent, t.paint(dim, fmt.Sprintf(foldSign+" %-*s %s … %s, as above", verdictWidth, "", rows[i].Function, rows[i+n-1].Function)))
			i += n
			continue
		}
		t.row(indent, rows[i])
		i++
	}
}

// familiar counts the leading rows that need not be shown again.
func (t *Text) familiar(rows []Row) int {
	n := 0
	for n < len(rows) && rows[n].Common && t.explained[rows[n].Function] && !rows[n].Verdict.Finding() {
		n++
	}
	return n
}

func (t *Text) row(indent string, r Row) {
	rest := Width - utf8.RuneCountInString(indent) - 2 - verdictWidth - 1 - nameWidth - 1
	sign, word, style := mark(r.Verdict)
	text := r.Sentence
	if t.explained[r.Function] {
		text = ""
	}
	t.explained[r.Function] = true
	if r.Cause != "" {
		cause := "[" + r.Cause + "]"
		if utf8.RuneCountInString(cause) < rest {
			cause = Unbroken(cause)
		}
		text += " " + cause
	}
	pad := strings.Repeat(" ", max(nameWidth-utf8.RuneCountInString(r.Function), 0))
	head := fmt.Sprintf("%s%s %s %s%s ", indent, t.paint(style, sign), t.paint(style, fmt.Sprintf("%-*s", verdictWidth, word)), t.paint(bold, r.Function), pad)
	tail := strings.Repeat(" ", Width-rest)
	if utf8.RuneCountInString(r.Function) > nameWidth && text != "" {
		t.Printf("%s\n", strings.TrimRight(head, " "))
		head = tail
	}
	for _, l := range Wrap(text, rest) {
		if i := strings.Index(l, "["); t.Color && i >= 0 {
			l = l[:i] + t.paint(dim, l[i:])
		}
		t.Printf("%s\n", strings.TrimRight(head+l, " "))
		head = tail
	}
}
