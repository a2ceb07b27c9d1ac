//go:build linux

package strace

import "bytes"

// Trackers, chats and copying by hand lose brackets. One is put back if there
// is a single place in which it can have stood; other lines stay unread.

// mend returns a line with its lost brackets, nil if that makes no whole record
// of it.
func (r *Reader) mend(line []byte) []byte {
	s := (&Record{}).prefix(line)
	out := append(r.mended[:0], line[:len(line)-len(s)]...)
	if t, ok := bytes.CutPrefix(bytes.TrimPrefix(s, []byte("<")), []byte("... ")); ok {
		out = mendResumed(out, t)
	} else {
		out = mendCall(out, s)
	}
	if out == nil {
		return nil
	}
	r.mended = out
	if bytes.Equal(out, line) || r.judge(out) != wholeRecord {
		return nil
	}
	return out
}

// mendResumed appends "<... NAME resumed>" and the rest of a line; s begins with
// the name.
func mendResumed(dst, s []byte) []byte {
	n := nameLen(s)
	rest, ok := bytes.CutPrefix(s[n:], []byte(" resumed"))
	if n == 0 || !ok || !isCall(s[:n]) {
		return nil
	}
	rest = bytes.TrimPrefix(rest, []byte(">"))
	return append(append(append(append(dst, resumeMark...), s[:n]...), resumedMark...), mendDuration(rest)...)
}

// mendCall appends a call.
func mendCall(dst, s []byte) []byte {
	n := nameLen(s)
	if n == 0 || n >= len(s) || s[n] != '(' || !isCall(s[:n]) {
		return nil
	}
	for _, torn := range []string{" unfinished ...>", " <unfinished ...", " unfinished ..."} {
		if head, ok := bytes.CutSuffix(s, []byte(torn)); ok {
			return append(append(append(dst, head...), ' '), unfinishedMark...)
		}
	}
	m := mending{out: append(dst, s[:n]...), sets: bytes.Contains(s[:n], []byte("select"))}
	if !m.run(mendDuration(s[n:])) {
		return nil
	}
	return m.out
}

// mendDuration puts the bracket back that -T's time at the end has lost.
func mendDuration(s []byte) []byte {
	i := bytes.LastIndexByte(s, ' ') + 1
	word := bytes.TrimSuffix(bytes.TrimPrefix(s[i:], []byte("<")), []byte(">"))
	point := digits(word)
	if point == 0 || len(word)-point < 7 || len(word)-point > 10 || word[point] != '.' || digits(word[point+1:]) != len(word)-point-1 || len(word) == len(s[i:]) {
		return s
	}
	return append(append(append(bytes.Clone(s[:i]), '<'), word...), '>')
}

// mending copies the arguments and the result of a call, and puts the closing
// and opening brackets in that the others want.
type mending struct {
	out  []byte
	open []bracket
	sets bool // lists may be sets of descriptors, without a comma in them
	done bool // the arguments have ended
}

type bracket struct {
	sign byte
	at   int // the end of it in out
	run  int // the beginning of the structures that stand in a row up to here, -1 for none
}

var otherEnd = map[byte]byte{')': '(', ']': '[', '}': '{'}

func (m *mending) top() *bracket {
	if len(m.open) == 0 {
		return &bracket{}
	}
	return &m.open[len(m.open)-1]
}

func (m *mending) pop() { m.open = m.open[:len(m.open)-1] }

func (m *mending) run(s []byte) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if len(m.open) > maxNesting {
			return false
		}
		switch class[c] {
		case skipped:
			end, ok := skip(s, i)
			if !ok {
				return false
			}
			m.out = append(m.out, s[i:end]...)
			i = end
			continue
		case opens:
			if c == '{' && m.lostEnd(s[i:]) {
				m.out = append(m.out[:len(m.out)-len(", ")], "}, "...)
				m.pop()
			}
			if c == '{' && m.top().run < 0 {
				m.top().run = len(m.out)
			}
			m.out = append(m.out, c)
			m.open = append(m.open, bracket{c, len(m.out), -1})
		case closes:
			if !m.closes(c) {
				return false
			}
			m.out = append(m.out, c)
			if c == '}' {
				m.endOfList(s[i+1:])
			}
			m.done = m.done || len(m.open) == 0
		case comma:
			if t := m.top(); m.sets && t.sign == '[' && t.at < len(m.out) && isDigit(m.out[t.at]) {
				m.close(']') // numbers in a set have blanks between them
			}
			if !bytes.HasPrefix(s[i:], []byte(", {")) {
				m.top().run = -1
			}
			m.out = append(m.out, c)
		default:
			if !m.done && len(m.open) == 1 && c == ' ' && isResult(s[i:]) {
				m.close(')')
				m.done = true
			}
			m.out = append(m.out, c)
		}
		i++
	}
	if m.done && len(m.open) == 1 && m.top().sign == '(' {
		m.close(')') // of the note after the result
	}
	return len(m.open) == 0
}

// isResult reports whether s is " = " and a number or a question mark.
func isResult(s []byte) bool {
	s = trimLeft(s)
	return len(s) > 2 && s[0] == '=' && s[1] == ' ' && (isDigit(s[2]) || s[2] == '-' || s[2] == '?')
}

func (m *mending) close(c byte) {
	m.out = append(m.out, c)
	m.pop()
}

// lostEnd reports whether rest begins the next structure of a list, though the
// one before it has not ended.
func (m *mending) lostEnd(rest []byte) bool {
	n := len(m.open)
	return n > 1 && m.open[n-1].sign == '{' && m.open[n-2].sign == '[' && bytes.HasSuffix(m.out, []byte(", ")) &&
		(bytes.HasPrefix(rest, []byte("{fd=")) || bytes.HasPrefix(rest, []byte("{events=")) || bytes.HasPrefix(rest, []byte("{EPOLL")))
}

// closes takes the last bracket that c closes off, and puts in one that c shows
// to be missing.
func (m *mending) closes(c byte) bool {
	if len(m.open) == 0 {
		return false
	}
	last := m.top()
	if last.sign == otherEnd[c] {
		m.pop()
		return true
	}
	switch {
	case c == ']' && last.sign == '(' && last.run >= 0 && m.out[len(m.out)-1] == '}': // its list has lost its beginning
		at := last.run
		m.out = append(m.out, 0)
		copy(m.out[at+1:], m.out[at:])
		m.out[at] = '['
		last.run = -1
		return true
	case c == ']' && last.sign == '{' && len(m.open) > 1 && m.open[len(m.open)-2].sign == '[':
		m.close('}')
		m.pop()
		return true
	case c == ')' && last.sign == '[' && m.sets && last.at < len(m.out) && isDigit(m.out[last.at]):
		m.close(']')
		return m.closes(c)
	}
	return false
}

// endOfList closes a list of structures if something else follows: rest is
// the text after one of them.
func (m *mending) endOfList(rest []byte) {
	list := m.top()
	if list.sign != '[' || m.out[list.at] != '{' || bytes.HasPrefix(rest, []byte("]")) || bytes.HasPrefix(rest, []byte(", {")) || bytes.HasPrefix(rest, []byte(", ...")) {
		return
	}
	m.close(']')
}
