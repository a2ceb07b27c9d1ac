//go:build linux

package explain

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// How what is said is laid out: folded if it has been said before, wrapped
// to a width, in the characters that the reader's terminal has.

// fold is what has been said of which line, and the lines in a row of which the
// same is to be said: of one line, or of some in turn.
type fold struct {
	said   map[string]int // the line of which a sentence was said first
	at     int            // line of the note that is to be printed
	recent []int          // of the sentences before, the lines of which they were said first
	cycle  []int          // the lines that the last ones are like in turn, nil for none
	n      int            // how many
	most   int64          // the longest of them took, -1 if one is not known
	key    []byte
}

// maxSentences bounds the sentences that are remembered.
const maxSentences = 4096

// maxCycle bounds the lines that come in turn.
const maxCycle = 8

// foldKey is the sentence of a call, apart from its length.
func (f *fold) foldKey(n *Note) []byte {
	s := n.Summary
	if n.bare > 0 {
		s = s[:n.bare]
	}
	f.key = n.appendPaths(append(f.key[:0], s...))
	return f.key
}

// foldable reports whether only the length of a call is left to be said when the
// line after it is known.
func (n *Note) foldable() bool {
	if len(n.Summary) == 0 || len(n.Warnings)+len(n.Stories) > 0 {
		return false
	}
	return !n.follows || n.Outcome != TimedOut && !(n.zero && n.limit < 0)
}

// folds reports whether there is to be said of line what has been said before,
// and counts it.
func (t *texter) folds(n *Note) bool {
	f := &t.fold
	if !t.o.Fold || t.o.EachPath || !n.foldable() {
		t.unfold()
		return false
	}
	as := f.said[string(f.foldKey(n))]
	switch p := len(f.cycle); {
	case as == 0:
		t.unfold()
		return false
	case p > 0 && f.cycle[f.n%p] == as:
	case p > 1 && f.n == 1 && f.cycle[0] == as: // it is the same again, not in turn
		f.cycle = f.cycle[:1]
	default:
		t.unfold()
		i := len(f.recent) - 1
		for i >= 0 && f.recent[i] != as {
			i--
		}
		if i >= 0 {
			f.cycle = append(f.cycle, f.recent[i:]...)
		} else {
			f.cycle = append(f.cycle, as)
		}
	}
	f.n++
	f.remember(as)
	return true
}

// length takes the length of a folded call into account.
func (f *fold) length(n *Note) {
	switch {
	case n.span.most < 0 || n.Outcome == AtOnce || n.Outcome == TimedOut || f.most < 0 && f.n > 1:
		f.most = -1
	default:
		f.most = max(f.most, n.span.most)
	}
}

func (f *fold) remember(line int) {
	if len(f.recent) == maxCycle {
		f.recent = append(f.recent[:0], f.recent[1:]...)
	}
	f.recent = append(f.recent, line)
}

// learn remembers the sentence of a line.
func (f *fold) learn(n *Note) {
	if f.at == 0 {
		return
	}
	first := f.said[string(f.foldKey(n))]
	if first == 0 {
		if first = f.at; len(f.said) < maxSentences {
			if f.said == nil {
				f.said = map[string]int{}
			}
			f.said[string(f.key)] = first
		}
	}
	f.remember(first)
}

// unfold says which lines the last ones are like.
func (t *texter) unfold() {
	f := &t.fold
	p := len(f.cycle)
	if p == 0 {
		return
	}
	b := append(t.b[:0], "as "...)
	times, rest := f.n/p, f.n%p
	switch {
	case p == 1:
		b = appendLines(b, f.cycle)
		if f.n > 1 {
			b = append(strconv.AppendInt(append(b, ", "...), int64(f.n), 10), " more"...)
		}
	case times == 0:
		b = appendLines(b, f.cycle[:rest])
	default:
		b = appendLines(b, f.cycle)
		if times > 1 {
			b = append(strconv.AppendInt(append(b, ", "...), int64(times), 10), " more times"...)
		}
		if rest > 0 {
			b = appendLines(append(b, ", then as "...), f.cycle[:rest])
		}
	}
	if f.most > 0 {
		b = appendTime(append(b, "; none takes more than "...), f.most)
	}
	t.b = b
	t.say(b)
	f.cycle, f.n, f.most = f.cycle[:0], 0, 0
}

// appendLines writes "line 3" or "lines 3, 4 and 5".
func appendLines(b []byte, lines []int) []byte {
	b = append(b, "line"...)
	if len(lines) > 1 {
		b = append(b, 's')
	}
	for i, l := range lines {
		switch {
		case i == 0:
			b = append(b, ' ')
		case i == len(lines)-1:
			b = append(b, " and "...)
		default:
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, int64(l), 10)
	}
	return b
}

// hanging begins the second and later lines of a sentence.
const hanging = "    "

// say writes a line of our own, wrapped and in ASCII if that is asked for.
func (t *texter) say(b []byte) {
	if t.o.ASCII {
		b = inASCII(b)
	}
	if t.o.Width <= 0 {
		t.start()
		t.w.Write(b)
		t.w.WriteByte('\n')
		return
	}
	for first := true; ; first = false {
		t.start()
		room := t.o.Width - len(mark)
		if !first {
			t.w.WriteString(hanging)
			room -= len(hanging)
		}
		n := cutAt(b, room)
		t.w.Write(b[:n])
		t.w.WriteByte('\n')
		if b = bytes.TrimLeft(b[n:], " "); len(b) == 0 {
			return
		}
	}
}

// cutAt returns how much of b goes into so many columns: up to a blank, all of
// it if there is no width or no blank.
func cutAt(b []byte, columns int) int {
	if columns <= 0 || utf8.RuneCount(b) <= columns {
		return len(b)
	}
	last, column := 0, 0
	for i := 0; i < len(b); {
		_, n := utf8.DecodeRune(b[i:])
		if b[i] == ' ' && len(bytes.TrimLeft(b[:i], " ")) > 0 {
			if column > columns && last > 0 {
				return last
			}
			last = i
		}
		if column >= columns && last > 0 {
			return last
		}
		column++
		i += n
	}
	return len(b)
}

var asciiSigns = strings.NewReplacer("µ", "u", "×", "x", "–", "-", "—", "-", "…", "...", "→", "->", "≥", ">=", "≤", "<=", "“", "\"", "”", "\"", "’", "'")

// inASCII is what is said with the nearest signs of ASCII, and escapes for the
// rest.
func inASCII(b []byte) []byte {
	if bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return b
	}
	var out []byte
	for _, r := range asciiSigns.Replace(string(b)) {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		} else {
			q := strconv.QuoteRuneToASCII(r)
			out = append(out, q[1:len(q)-1]...)
		}
	}
	return out
}

// Unread says how many lines of a log were not understood, and why; "" if none
// was left.
func Unread(r *strace.Reader) string {
	u := r.Unread()
	all := u.Foreign + u.Broken + u.Mixed + u.Long
	if all == 0 {
		return ""
	}
	var why []string
	for _, w := range []struct {
		n     int
		named string
	}{{u.Foreign, "in no form of strace's"}, {u.Broken, "broken off in a call"}, {u.Mixed, "with calls of several threads mixed, so that no result is known to be one's own"},
		{u.Long, "longer than 1 MiB"}} {
		if w.n > 0 {
			why = append(why, fmt.Sprintf("%d %s", w.n, w.named))
		}
	}
	return fmt.Sprintf("%d of %d lines: %s; the first is line %d", all, u.Lines, strings.Join(why, ", "), u.First)
}
