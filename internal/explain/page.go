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

// How what is said is laid out: folded where it has been said before, wrapped
// to a width, in the characters that the reader's terminal has.

// fold is what has been said of which line, and the lines in a row of which the
// same is to be said.
type fold struct {
	said map[string]int // the line of which a sentence was said first
	at   int            // line of the note that is to be printed
	as   int            // the line that the last ones are like, 0 for none
	more int            // how many
	key  []byte
	last []byte // key of the folded line before
}

// maxSentences bounds what is remembered.
const maxSentences = 4096

// folds reports whether there is to be said of line what has been said before,
// and counts it.
func (t *texter) folds(n *Note, line int) bool {
	f := &t.fold
	if !t.o.Fold || n.follows || len(n.Summary) == 0 || len(n.Warnings)+len(n.Stories) > 0 || t.o.EachPath {
		t.unfold()
		return false
	}
	f.key, f.last = n.appendPaths(append(f.last[:0], n.Summary...)), f.key
	if f.as != 0 && bytes.Equal(f.key, f.last) {
		f.more++
		return true
	}
	as := f.said[string(f.key)]
	if as == 0 || as != f.as {
		t.unfold()
	}
	if as == 0 {
		return false
	}
	f.as = as
	f.more++
	return true
}

// learn remembers what is said of a line.
func (f *fold) learn(n *Note, sentence []byte) {
	if f.at == 0 || len(f.said) >= maxSentences {
		return
	}
	if f.said == nil {
		f.said = map[string]int{}
	}
	if f.said[string(sentence)] == 0 {
		f.said[string(sentence)] = f.at
	}
}

// unfold says which line the last ones are like.
func (t *texter) unfold() {
	f := &t.fold
	if f.as == 0 {
		return
	}
	if f.more > 1 {
		t.line("as line ", strconv.Itoa(f.as), ", ", strconv.Itoa(f.more), " more")
	} else {
		t.line("as line ", strconv.Itoa(f.as))
	}
	f.as, f.more = 0, 0
}

// hanging begins the second and later lines of a sentence.
const hanging = "    "

// say writes a line of our own, wrapped and in ASCII if that is asked for.
func (t *texter) say(b []byte) {
	if t.o.ASCII {
		b = inASCII(b)
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
// it where there is no width or no blank.
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
	all := u.Foreign + u.Broken + u.Long
	if all == 0 {
		return ""
	}
	var why []string
	for _, w := range []struct {
		n    int
		what string
	}{{u.Foreign, "in no form of strace's"}, {u.Broken, "broken off in a call"}, {u.Long, "longer than 1 MiB"}} {
		if w.n > 0 {
			why = append(why, fmt.Sprintf("%d %s", w.n, w.what))
		}
	}
	return fmt.Sprintf("%d of %d lines: %s; the first is line %d", all, u.Lines, strings.Join(why, ", "), u.First)
}
