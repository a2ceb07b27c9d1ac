//go:build linux

package strace

import "bytes"

// The classes of bytes at which scanning has to stop and think.
const (
	plain = iota
	opens
	closes
	comma
	skipped // with what it starts
)

var class = [256]uint8{'(': opens, '[': opens, '{': opens, ')': closes, ']': closes, '}': closes, ',': comma, '"': skipped, '<': skipped, '/': skipped, '\\': skipped}

// skip returns the index behind the string, <...> or comment that starts at
// s[i]; ok is false if a string does not end.
func skip(s []byte, i int) (end int, ok bool) {
	switch s[i] {
	case '"':
		return skipString(s, i)
	case '<':
		return skipAngle(s, i), true
	case '\\': // strace prints none outside of strings
		return i + 1, false
	}
	return skipComment(s, i), true
}

// skipString returns the index behind the string literal that starts at
// s[i] == '"'; ok is false if it does not end.
func skipString(s []byte, i int) (end int, ok bool) {
	i++
	for i < len(s) {
		j := bytes.IndexByte(s[i:], '"')
		if j < 0 {
			return len(s), false
		}
		i += j
		n := 0
		for k := i - 1; k >= 0 && s[k] == '\\'; k-- {
			n++
		}
		i++
		if n%2 == 0 {
			return i, true
		}
	}
	return len(s), false
}

// The lengths after which a <...> or a comment is none: a path of 4096 bytes,
// each printed as four, and what stands around it. Without them a line of
// nothing but '<' would take the square of its length.
const (
	maxAngle   = 20 << 10
	maxComment = 1 << 10
	maxNesting = 16
	maxArrows  = 64
)

// skipAngle returns the index behind the <...> that starts at s[i] == '<':
// what -y says of a descriptor, or a mark such as <unavailable>. Arrows of
// socket pairs (->) are no ends, and device numbers nest. A '<' that opens
// nothing is stepped over.
func skipAngle(s []byte, i int) int {
	if i+1 < len(s) && s[i+1] == '<' { // 21<<MAP_HUGE_SHIFT
		return i + 2
	}
	if len(s) > i+maxAngle {
		s = s[:i+maxAngle]
	}
	n := bytes.IndexByte(s[i:], '>')
	if n < 0 {
		return i + 1
	}
	if in := s[i+1 : i+n]; bytes.IndexByte(in, '<') < 0 && bytes.IndexByte(in, '\\') < 0 && s[i+n-1] != '-' {
		return i + n + 1
	}
	depth, arrows := 0, 0
	for j := i; j < len(s) && depth < maxNesting && arrows < maxArrows; j++ {
		switch s[j] {
		case '\\':
			j++
		case '<':
			depth++
		case '>':
			if s[j-1] == '-' {
				arrows++
				continue
			}
			if depth--; depth == 0 {
				return j + 1
			}
		}
	}
	// Old versions do not escape '<' in a path.
	for j := i + 1; arrows < maxArrows; arrows++ {
		n := bytes.IndexByte(s[j:], '>')
		if n < 0 {
			break
		}
		if j += n + 1; s[j-2] != '-' {
			return j
		}
	}
	return i + 1
}

// skipComment returns the index behind a /* comment */ at s[i], or i+1 if
// there is none.
func skipComment(s []byte, i int) int {
	if i+2 < len(s) && s[i+1] == '*' {
		if j := bytes.Index(s[i+2:min(len(s), i+maxComment)], []byte("*/")); j >= 0 {
			return i + 2 + j + 2
		}
	}
	return i + 1
}

// part returns where the part of s that starts at i ends: the index of a comma
// of the outermost level, or of a bracket that closes none in the part; len(s)
// if neither comes. ok is false if a string does not end.
func part(s []byte, i int) (end int, ok bool) {
	depth, ok := 0, true
	for i < len(s) {
		switch class[s[i]] {
		case plain:
			i++
			continue
		case skipped:
			if i, ok = skip(s, i); !ok {
				return i, false
			}
			continue
		case opens:
			depth++
		case comma:
			if depth == 0 {
				return i, true
			}
		case closes:
			if depth == 0 {
				return i, true
			}
			depth--
		}
		i++
	}
	return i, true
}

// split cuts s at the commas of its outermost level and appends the parts to
// parts. It ends at the ')' that matches no opening one; end is the index
// behind it. ok is false if s ends before, or nests wrongly.
func split(s []byte, parts [][]byte) (out [][]byte, end int, ok bool) {
	whole := true
	for start, i := 0, 0; ; i++ {
		i, ok = part(s, i)
		whole = whole && ok
		switch {
		case i >= len(s):
			if last := trim(s[start:]); len(last) > 0 {
				parts = append(parts, last)
			}
			return parts, len(s), false
		case s[i] == ',':
			parts = append(parts, trim(s[start:i]))
			start = i + 1
		case s[i] == ')':
			if last := trim(s[start:i]); len(last) > 0 || len(parts) > 0 {
				parts = append(parts, last)
			}
			return parts, i + 1, whole
		default:
			whole = false
		}
	}
}

// closing returns the index behind the ')' that closes the '(' at s[0]. Other
// brackets do not count: strace prints one too many behind the sets of select.
func closing(s []byte) (end int, ok bool) {
	depth := 0
	for i := 0; i < len(s); {
		switch {
		case class[s[i]] == skipped:
			if i, ok = skip(s, i); !ok {
				return 0, false
			}
			continue
		case s[i] == '(':
			depth++
		case s[i] == ')':
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
		i++
	}
	return 0, false
}

// trim takes blanks off both ends.
func trim(s []byte) []byte {
	for len(s) > 0 && isBlank(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// digits returns how many decimal digits s starts with.
func digits(s []byte) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// number reads the decimal number that s starts with.
func number(s []byte) (v int64, n int) {
	for n < len(s) {
		d := s[n] - '0'
		if d > 9 {
			break
		}
		if n >= 18 && v > (1<<63-1-9)/10 {
			return 0, 0
		}
		v = v*10 + int64(d)
		n++
	}
	return v, n
}
