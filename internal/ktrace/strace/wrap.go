//go:build linux

package strace

import (
	"bytes"
	"iter"
	"unicode/utf8"
)

// The bounds of a line that was wrapped.
const (
	maxPieces   = 64
	maxWrapped  = 32 << 10
	leastWidth  = 38 // narrower lines are not wrapped
	firstWindow = 64 // lines
)

// wrap is what is known of lines that were cut to a width.
type wrap struct {
	width   int // at which a terminal cuts, 0 for not known
	own     int // at which it cut strace's own text, before something was put ahead of it
	longest int // of the first lines
	joined  bool
	failed  int // in a row, without any success
	text    []byte
	left    int // lines to come of text
	next    []byte
	soft    []byte
}

// learnWidth looks at the first lines for a width at which they are cut: the
// longest are equally long, and one of them is open or no record follows it.
func (r *Reader) learnWidth(first []byte) {
	r.extract(trimRight(r.freed(r.unnumbered(bytes.TrimSuffix(first, r.tail)))))
	before := bytes.Clone(r.before)
	var whole, own longest
	for at, raw := range r.firstLines() {
		body, width := r.piece(raw, before)
		open := isOpen(body) || !r.recordAt(at, before)
		whole.add(width, open)
		own.add(utf8.RuneCount(body), open)
	}
	r.wrap.longest = whole.width
	r.wrap.width = whole.cut()
	if before != nil || r.foreign.numbered != nil {
		r.wrap.own = own.cut()
	}
}

// firstLines yields the first lines as far as they have been read, each with the
// offset of the next line.
func (r *Reader) firstLines() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		at := 0
		for range firstWindow {
			raw, ok := r.in.peek(at, false)
			if !ok {
				return
			}
			if at += len(raw); !yield(at, raw) {
				return
			}
		}
	}
}

// longest counts the lines of the greatest width.
type longest struct {
	width, count int
	open         bool
}

func (l *longest) add(width int, open bool) {
	if width > l.width {
		*l = longest{width: width}
	}
	if width == l.width {
		l.count++
		l.open = l.open || open
	}
}

// cut is the width at which the lines are cut, 0 for none.
func (l *longest) cut() int {
	if l.count > 1 && l.open && l.width >= leastWidth {
		return l.width
	}
	return 0
}

// recordAt reports whether the line at bytes further on starts a record.
func (r *Reader) recordAt(at int, before []byte) bool {
	raw, ok := r.in.peek(at, false)
	if !ok {
		return true
	}
	next, _ := r.piece(raw, before)
	return r.startsRecord(next)
}

// isOpen reports whether a bracket or string does not close in a line.
func isOpen(line []byte) bool {
	i := bytes.IndexByte(line, '(')
	if i < 0 {
		return false
	}
	depth := 0
	for i < len(line) {
		switch class[line[i]] {
		case skipped:
			if line[i] == '"' {
				var ok bool
				if i, ok = skipString(line, i); !ok {
					return true
				}
				continue
			}
		case opens:
			depth++
		case closes:
			depth--
		}
		i++
	}
	return depth > 0
}

// wrapped finds out whether the line of n bytes that is being read goes on in
// the next ones, and returns in how many. full is its text, body what is
// strace's own in it, without the blanks at the end.
func (r *Reader) wrapped(n int, full, body []byte, v verdict) int {
	if len(body) == 0 {
		return 0
	}
	w := &r.wrap
	width := utf8.RuneCount(trimEnd(r.in.buf[r.in.r : r.in.r+n]))
	own := utf8.RuneCount(full) - utf8.RuneCount(r.before)
	if r.inLiteral != nil { // it was cut before it came to be one
		full = r.inLiteral
		width, own = utf8.RuneCount(full), utf8.RuneCount(full)
	}
	cut := w.width > 0 && width == w.width || w.own > 0 && own == w.own
	switch {
	case v == wholeRecord && closed(body):
		return 0
	case cut:
	case v == partRecord:
		if bytes.Contains(body, []byte("strace: Process ")) {
			return 0 // strace's own message broke it
		}
	case v == wholeRecord && r.resultFollows(n):
	default:
		return 0
	}
	j := joining{r: r, cut: cut, first: v, widths: append(r.widths[:0], width), hard: append(w.text[:0], body...), soft: append(w.soft[:0], body...)}
	if len(full) > 0 && full[len(full)-1] == ' ' {
		j.hard = append(j.hard, ' ')
	}
	before := bytes.Clone(r.before)
	lines := j.run(n, before)
	r.widths, w.text, w.soft = j.widths, j.hard, j.soft
	if lines == 0 {
		if w.failed++; cut && !w.joined && w.failed > 8 {
			w.width, w.own = 0, 0
		}
		return 0
	}
	if r.newBefore {
		r.foreign.learn(before)
	}
	if before != nil {
		r.foreign.lines++
	}
	w.joined, w.failed = true, 0
	if j.asSoft {
		w.text = append(w.text[:0], j.soft...)
	} else if w.width == 0 && lines > 1 {
		w.width = width
	}
	return lines
}

// closed reports whether a record ends in a mark of strace's own.
func closed(s []byte) bool {
	return bytes.HasSuffix(s, markEnd) || bytes.HasSuffix(s, []byte(" ---")) || bytes.HasSuffix(s, []byte(" +++")) || bytes.HasPrefix(s, []byte(" | "))
}

// resultFollows reports whether the line behind the next n bytes begins with
// what can only be the end of a result: a reason, a duration, an error's name.
func (r *Reader) resultFollows(n int) bool {
	if r.before != nil || r.foreign.numbered != nil {
		return r.resultAfter(n, r.before)
	}
	return r.brokenResult(n)
}

// endsResult reports whether a line that begins with these bytes may be the end
// of a result.
func endsResult(a, b byte) bool {
	return a == '(' || a == '<' && isDigit(b) || a == 'E' && b >= 'A' && b <= 'Z'
}

// joining puts the pieces of a record together: as a terminal cuts them, and
// as programs do that break at blanks.
type joining struct {
	r          *Reader
	cut        bool
	first      verdict
	widths     []int
	words      []int // of each piece but the first: the length of its first word
	hard, soft []byte
	asSoft     bool
}

// run returns how many more lines belong to the record, 0 if it is none.
func (j *joining) run(n int, before []byte) (lines int) {
	r, at := j.r, n
	whole, hardLen, softLen := 0, 0, 0
	inObject := bytes.HasPrefix(before, []byte("{")) && bytes.HasSuffix(before, []byte("\"")) && r.inLiteral == nil
	for k := 1; k <= maxPieces && len(j.hard) < maxWrapped; k++ {
		raw, ok := r.in.peek(at, true)
		if !ok || len(raw) > maxWrapped {
			break
		}
		at += len(raw)
		next, width := r.piece(raw, before)
		if !j.goesOn(next, k, whole) {
			break
		}
		j.append(next)
		j.words = append(j.words, firstWord(next))
		j.widths = append(j.widths, width)
		if inObject {
			if j.unquoted() {
				return k
			}
			continue
		}
		switch ok, soft := j.complete(); {
		case ok:
			whole, j.asSoft = k, soft
			hardLen, softLen = len(j.hard), len(j.soft)
			if !j.mayGoOn(width, next) && !r.resultAfter(at, before) {
				return j.accept(whole, hardLen, softLen)
			}
		case whole > 0:
			return j.accept(whole, hardLen, softLen)
		}
	}
	return j.accept(whole, hardLen, softLen)
}

// unquoted takes the record out of a literal that was cut with the JSON object
// around it.
func (j *joining) unquoted() bool {
	if j.hard[len(j.hard)-1] != '}' {
		return false
	}
	in, ok := j.r.unliteral(j.hard)
	if !ok {
		return false
	}
	_, body, v := j.r.within(in)
	if v == wholeRecord {
		j.hard, j.soft, j.asSoft = append(j.hard[:0], body...), append(j.soft[:0], body...), false
	}
	return v == wholeRecord
}

func (j *joining) accept(lines, hard, soft int) int {
	if lines > 0 {
		j.hard, j.soft = j.hard[:hard], j.soft[:soft]
	}
	return lines
}

// mayGoOn reports whether a record that is whole may go on in one more line,
// since its last piece is as wide as a line can be.
func (j *joining) mayGoOn(width int, piece []byte) bool {
	w := &j.r.wrap
	return w.width > 0 && width == w.width || w.own > 0 && utf8.RuneCount(piece) == w.own
}

// resultAfter is resultFollows for a line further on.
func (r *Reader) resultAfter(at int, before []byte) bool {
	raw, ok := r.in.peek(at, false)
	if !ok {
		return false
	}
	next, _ := r.piece(raw, before)
	return len(next) > 1 && endsResult(next[0], next[1])
}

// goesOn reports whether the line next can be the k-th further piece.
func (j *joining) goesOn(next []byte, k, whole int) bool {
	if len(trim(next)) == 0 {
		return false
	}
	if k == 1 && j.first != wholeRecord && (j.cut || j.r.bare(j.soft)) {
		return true
	}
	if j.r.startsRecord(next) {
		return false
	}
	if whole > 0 || j.first == wholeRecord || j.cut {
		return true
	}
	if k == 1 && (next[0] == ')' || next[0] == ',') {
		return false // a program's output broke it
	}
	return k > 1 || j.widths[0] >= leastWidth || j.widths[0]+firstWord(next) > 60
}

func firstWord(s []byte) int {
	if i := bytes.IndexByte(trimLeft(s), ' '); i >= 0 {
		return i
	}
	return len(trimLeft(s))
}

// append adds a piece to both texts.
func (j *joining) append(next []byte) {
	hanging := len(next) > 1 && next[0] == ' ' && next[1] == ' ' && !openString(j.hard)
	last := j.hard[len(j.hard)-1]
	result := isDigit(last) && next[0] == '<' && len(next) > 1 && isDigit(next[1])
	if hanging || result || last != ' ' && bytes.HasPrefix(next, []byte("...>")) || isLetter(last) && next[0] == '[' || last == ',' && next[0] != ' ' && !openString(j.hard) {
		j.hard = append(j.hard, ' ')
	}
	j.hard = append(j.hard, next...)
	if j.soft[len(j.soft)-1] != ' ' {
		j.soft = append(j.soft, ' ')
	}
	j.soft = append(j.soft, trimLeft(next)...)
}

func openString(s []byte) bool {
	for i := 0; i < len(s); {
		q := bytes.IndexByte(s[i:], '"')
		if q < 0 {
			return false
		}
		var ok bool
		if i, ok = skipString(s, i+q); !ok {
			return true
		}
	}
	return false
}

// complete reports whether the pieces make a whole record, and in which way.
func (j *joining) complete() (ok, soft bool) {
	last := trimRight(j.hard)
	if bytes.IndexByte(last, '=') < 0 && last[len(last)-1] != '>' && last[len(last)-1] != '-' && last[len(last)-1] != '+' && last[len(last)-1] != 'd' && last[len(last)-1] != ']' {
		return false, false
	}
	hardFits, softFits := j.fits()
	hard := hardFits && j.r.judge(last) == wholeRecord
	softOK := softFits && j.r.judge(trimRight(j.soft)) == wholeRecord
	switch {
	case hard && softOK:
		w := j.r.wrap.width
		return true, !j.cut && (w > 0 || j.r.wrap.own > 0 || j.widths[0] < j.r.wrap.longest) && j.widths[0] != w
	case hard, softOK:
		return true, softOK
	}
	return false, false
}

// fits reports in which way the lines can have been cut: all at one width, or
// each before the word that would have passed it.
func (j *joining) fits() (hard, soft bool) {
	if j.cut {
		return true, true
	}
	most, broad := 0, leastWidth // of all lines; of those with a blank at which they could have been cut
	for i, w := range j.widths {
		most = max(most, w)
		if i > 0 && w > j.words[i-1] {
			broad = max(broad, w)
		}
	}
	hard, soft = true, true
	for i, w := range j.widths[:len(j.widths)-1] {
		hard = hard && w == most
		soft = soft && w+1+j.words[i] > broad
	}
	return hard, soft
}

// piece is a line further on as a piece of a record: without what stands before
// it, should it have that too.
func (r *Reader) piece(raw, before []byte) (s []byte, width int) {
	line := trimEnd(raw)
	width = utf8.RuneCount(line)
	r.wrap.next = cleaned(r.wrap.next[:0], line)
	s = r.wrap.next
	s = r.unnumbered(bytes.TrimSuffix(r.freed(s), r.tail))
	if r.quoted != nil {
		if n, ok := matchForeign(r.quoted, s); ok {
			if in, ok := r.unliteral(s[n:]); ok {
				in = r.freed(cleaned(nil, in))
				return in, utf8.RuneCount(in)
			}
		}
	}
	if before != nil {
		if n, ok := matchForeign(before, s); ok {
			return s[n:], width
		}
	}
	for _, p := range r.foreign.patterns {
		if n, ok := matchForeign(p, s); ok {
			return s[n:], width
		}
	}
	return s, width
}
