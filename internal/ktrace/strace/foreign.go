//go:build linux

package strace

import "bytes"

// What other programs put before each line (journald, docker, grep, editors,
// mail) is foreign. It is found in a line that has a record behind it, and then
// known by its shape: runs of digits and letters may differ.

const (
	maxForeign  = 200 // bytes before a record
	maxPatterns = 8
)

// foreign is the knowledge of what stands before strace's own text.
type foreign struct {
	patterns [][]byte // examples, the latest first
	numbered []byte   // an example of a line number and what is around it, that strace's own form would take for a thread
	lines    int      // that had something before them
	own      int      // that had nothing
}

// learn keeps an example.
func (f *foreign) learn(example []byte) {
	for i, p := range f.patterns {
		if n, ok := matchForeign(p, example); ok && n == len(example) {
			f.latest(i)
			return
		}
	}
	if len(f.patterns) < maxPatterns {
		f.patterns = append(f.patterns, nil)
	}
	last := len(f.patterns) - 1
	f.patterns[last] = bytes.Clone(example)
	f.latest(last)
}

func (f *foreign) latest(i int) {
	p := f.patterns[i]
	copy(f.patterns[1:i+1], f.patterns[:i])
	f.patterns[0] = p
}

// trusted reports whether one more line with something before it is no chance:
// a program that prints calls like strace's does so among many plain lines.
func (f *foreign) trusted() bool { return f.lines > 0 || f.own < 16 }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 }

func run(s []byte, i int, is func(byte) bool) int {
	for i < len(s) && is(s[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' }

// matchForeign returns how much of s is of the example's shape: the same signs,
// with numbers for numbers and words for words. Blanks at its end are as many,
// others any number.
func matchForeign(example, s []byte) (n int, ok bool) {
	i, j := 0, 0
	for i < len(example) {
		switch c := example[i]; {
		case isDigit(c):
			i2, j2 := run(example, i, isDigit), run(s, j, isDigit)
			if j2 == j {
				return 0, false
			}
			i, j = i2, j2
		case isLetter(c):
			i2, j2 := run(example, i, isLetter), run(s, j, isLetter)
			if j2 == j {
				return 0, false
			}
			i, j = i2, j2
		case c == ' ':
			i2, j2 := run(example, i, isSpace), run(s, j, isSpace)
			switch {
			case i2 == len(example): // its end
				if j == len(s) {
					return j, true // cut with the blanks at the line's end
				}
				if j2-j < i2-i {
					return 0, false
				}
				j2 = j + i2 - i
			case j2 == j && i > 0:
				return 0, false
			}
			i, j = i2, j2
		default:
			if j >= len(s) || s[j] != c {
				return 0, false
			}
			i, j = i+1, j+1
		}
	}
	return j, true
}

// discover finds a record of strace behind something else. It returns what
// stands before strace's own text.
func (r *Reader) discover(s []byte) (before []byte, v verdict) {
	tries := 0
	for p := 1; p < len(s) && p < maxForeign && tries < 12; p++ {
		if !candidate(s, p) {
			continue
		}
		tries++
		switch at := r.judgeBody(s[p:]); {
		case at == wholeRecord:
			return s[:r.ownStart(s, p)], wholeRecord
		case at == partRecord && v == noRecord:
			before, v = s[:r.ownStart(s, p)], partRecord
		}
	}
	return before, v
}

// candidate reports whether a record may start at s[p].
func candidate(s []byte, p int) bool {
	rest := s[p:]
	switch rest[0] {
	case '<':
		return bytes.HasPrefix(rest, resumeMark)
	case '-':
		return bytes.HasPrefix(rest, []byte("--- SIG")) || bytes.HasPrefix(rest, []byte("--- stopped by "))
	case '+':
		return bytes.HasPrefix(rest, []byte("+++ exited with ")) || bytes.HasPrefix(rest, []byte("+++ killed by ")) || bytes.HasPrefix(rest, []byte("+++ superseded by "))
	case '[':
		return bytes.HasPrefix(rest, personality)
	case 'P':
		return bytes.HasPrefix(rest, []byte("Process ")) && !inName[s[p-1]]
	}
	if !inName[rest[0]] || inName[s[p-1]] {
		return false
	}
	if bytes.HasPrefix(rest, []byte("strace: Process ")) {
		return true
	}
	n := nameLen(rest)
	return n < len(rest) && rest[n] == '(' && isCall(rest[:n])
}

// ownStart returns the start of strace's own columns that end at s[p]: the
// furthest left, but no time that belongs to a date.
func (r *Reader) ownStart(s []byte, p int) int {
	rec := &r.scratch
	for q := 0; q < p; q++ {
		if q > 0 && (isDigit(s[q-1]) || isLetter(s[q-1])) || s[q] == ' ' {
			continue
		}
		rec.PID, rec.Clock = 0, NoClock
		if rest := rec.prefix(s[q:]); len(s)-len(rest) != p {
			continue
		}
		if s[q] != '[' && rec.Clock == Wall && dated(s[:q], s[q:p], rec.PID != 0) {
			return p
		}
		if isDigit(s[q]) && rec.Clock == NoClock && partOfNumber(s[:q], s[q:]) {
			continue
		}
		return q
	}
	return p
}

// dated reports whether a time that begins s belongs to the date before it.
// day says that the time is preceded by a number that could be a thread's, or
// the day of a month.
func dated(before, s []byte, day bool) bool {
	before = trimRight(before)
	if len(before) == 0 {
		return false
	}
	i := bytes.LastIndexByte(before, ' ')
	word := before[i+1:]
	if day {
		n := digits(s)
		return n <= 2 && (isMonth(word) || isDigit(word[0]) && bytes.IndexByte([]byte("-/."), word[len(word)-1]) >= 0)
	}
	if isMonth(word) {
		return true
	}
	if digits(word) == len(word) && i > 0 { // a day or a year
		head := trimRight(before[:i])
		return isMonth(head[bytes.LastIndexByte(head, ' ')+1:])
	}
	word = bytes.TrimLeft(word, "[(<\"'")
	return len(word) >= 4 && isDigit(word[0]) && bytes.ContainsAny(word, "-/.") && !bytes.ContainsAny(word, ":|")
}

func isMonth(word []byte) bool {
	word = bytes.Trim(word, ".,[(<")
	if len(word) < 3 || !bytes.ContainsAny(word[:1], "JFMASOND") {
		return false
	}
	return bytes.Contains([]byte("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"), word[:3])
}

// partOfNumber reports whether the number that begins s is the end of a time,
// of a fraction or of an address.
func partOfNumber(before, s []byte) bool {
	n := len(before)
	if n < 2 || !isDigit(before[n-2]) {
		return false
	}
	switch before[n-1] {
	case '.', ',':
		return true
	case '-', '/':
		return digits(s) == 2 && (n == 3 || n > 3 && isDigit(before[n-3]) && !isDigit(before[n-4]))
	case ':': // "10:00:" before "07 read("
		return digits(s) == 2 && n >= 6 && before[n-4] == ':' && isDigit(before[n-5]) && isDigit(before[n-6]) && (n == 6 || !isDigit(before[n-7]))
	}
	return false
}

// lookForNumbers finds out from the first lines whether each begins with a
// line number: one more than in the line before, in all of them. Threads that
// an attached strace lists do so too, but their calls are unfinished.
func (r *Reader) lookForNumbers(first []byte) {
	const few, many = 4, 40
	start := bytes.IndexFunc(first, func(c rune) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' })
	if start < 0 || !isDigit(first[start]) || bytes.ContainsAny(first[:start], "[(<") {
		return
	}
	v, n := number(first[start:])
	end := start + n
	if n == 0 || n > 9 || end >= len(first) || first[end] != ' ' {
		return
	}
	rest := trimLeft(first[end:])
	if len(rest) == 0 {
		return
	}
	mark := trim(first[:start])
	at, lines := 0, 1
	for r.in.r+at < r.in.w && lines < many {
		raw, ok := r.in.peek(at, lines <= few)
		if !ok {
			break
		}
		at += len(raw)
		if lines == 1 && at == len(raw) { // the first line itself
			lines = 2
			if marksOfThreads(raw) {
				return
			}
			continue
		}
		s := trim(cleaned(r.trial[:0], trimEnd(raw)))
		s, ok = bytes.CutPrefix(s, mark)
		s = trimLeft(s)
		w, n := number(s)
		if !ok || n == 0 || w != v+int64(lines-1) || n < len(s) && s[n] != ' ' || marksOfThreads(raw) {
			return
		}
		lines++
	}
	if lines-1 < few {
		return
	}
	blanks := len(first) - end - len(rest)
	r.foreign.numbered = bytes.Clone(first[:end+min(blanks, 2)])
}

// marksOfThreads reports whether a line has a mark of strace that it uses only
// if it names the threads.
func marksOfThreads(s []byte) bool {
	i := bytes.LastIndex(s, unfinishedMark)
	return (i >= 0 || bytes.Contains(s, resumeMark)) && !bytes.Contains(s, []byte("[pid "))
}

// unnumbered cuts a line number off.
func (f *foreign) unnumbered(s []byte) []byte {
	mark := f.numbered
	i := run(mark, 0, func(c byte) bool { return !isDigit(c) })
	head := trim(mark[:i])
	rest, ok := bytes.CutPrefix(trimLeft(s), head)
	rest = trimLeft(rest)
	n := digits(rest)
	if !ok || n == 0 || n < len(rest) && rest[n] != ' ' {
		return s
	}
	rest = rest[n:]
	for blanks := len(mark) - run(mark, i, isDigit); blanks > 0 && len(rest) > 0 && rest[0] == ' '; blanks-- {
		rest = rest[1:]
	}
	return rest
}
