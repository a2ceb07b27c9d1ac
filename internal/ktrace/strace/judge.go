//go:build linux

package strace

import "bytes"

// verdict is how far a text is a record of strace.
type verdict uint8

const (
	noRecord verdict = iota
	partRecord
	wholeRecord
)

// judge says how far s, in strace's own form, is a record. Nothing is kept.
func (r *Reader) judge(s []byte) verdict {
	rec := &r.scratch
	args := rec.Call.Args
	*rec = Record{}
	rec.Call.Args = args[:0]
	body := rec.prefix(s)
	if len(body) == 0 {
		if rec.PID != 0 || rec.Clock != NoClock {
			return partRecord
		}
		return noRecord
	}
	if len(body) == len(s) && isPidPart(s) || (isDigit(body[0]) || body[0] == '[') && r.bare(s) {
		return partRecord
	}
	return r.judgeBody(body)
}

// bare reports whether s is nothing but what stands before a record.
func (r *Reader) bare(s []byte) bool {
	r.trial = append(append(r.trial[:0], s...), ' ')
	return len(r.scratch.prefix(r.trial)) == 0
}

// isPidPart reports whether s is the beginning of "[pid 1234] ".
func isPidPart(s []byte) bool {
	rest, ok := bytes.CutPrefix(s, []byte("[pid"))
	if !ok {
		return bytes.Equal(s, []byte("[pi")) || bytes.Equal(s, []byte("[p"))
	}
	rest = trimLeft(rest)
	n := digits(rest)
	return n == len(rest) || n+1 == len(rest) && rest[n] == ']'
}

func ends(s []byte, mark string) verdict {
	if bytes.HasSuffix(trim(s), []byte(mark)) {
		return wholeRecord
	}
	return partRecord
}

func (r *Reader) judgeBody(s []byte) verdict {
	switch s[0] {
	case '-':
		if bytes.HasPrefix(s, []byte("--- SIG")) || bytes.HasPrefix(s, []byte("--- stopped by ")) {
			return ends(s, " ---")
		}
		return noRecord
	case '+':
		if bytes.HasPrefix(s, []byte("+++ exited")) || bytes.HasPrefix(s, []byte("+++ killed")) || bytes.HasPrefix(s, []byte("+++ superseded")) {
			return ends(s, " +++")
		}
		return noRecord
	case '<':
		if bytes.HasPrefix(s, resumeMark) {
			return r.judgeResumed(s)
		}
		if bytes.Equal(s, []byte("<...")) {
			return partRecord
		}
		return noRecord
	case '[':
		if bytes.HasPrefix(s, personality) {
			return ends(s, "]")
		}
		return noRecord
	case ' ':
		if bytes.HasPrefix(s, []byte(" > ")) || bytes.HasPrefix(s, []byte(" | ")) {
			return wholeRecord
		}
		return noRecord
	case 'P':
		if processLine(s) != 0 {
			return wholeRecord
		}
	}
	if text, ok := bytes.CutPrefix(s, ownWords); ok {
		if rest, ok := bytes.CutPrefix(text, []byte("Process")); ok && processLine(text) == 0 && digits(trim(rest)) == len(trim(rest)) {
			return partRecord
		}
		return wholeRecord
	}
	return r.judgeCall(s)
}

// judgeResumed judges "<... NAME resumed>...". Its first half decides nothing
// here: what stands behind the name has to end in a result.
func (r *Reader) judgeResumed(s []byte) verdict {
	body := s[len(resumeMark):]
	i := bytes.Index(body, resumedMark)
	if i < 0 {
		if n := nameLen(body); n > 0 && n >= len(body)-len(" resumed") {
			return partRecord
		}
		return noRecord
	}
	if i == 0 || nameLen(body[:i]) != i {
		return noRecord
	}
	rest := body[i+len(resumedMark):]
	if bytes.HasSuffix(rest, unfinishedMark) {
		return wholeRecord
	}
	c := &r.scratch.Call
	if half := r.pending.of(r.scratch.PID); half != nil && half.name == string(body[:i]) {
		r.trial = append(append(r.trial[:0], half.text...), rest...)
		if r.parseCall(c, r.trial) && c.Whole {
			return wholeRecord
		}
	}
	if after, ok := lastResult(rest); ok {
		c.reset()
		if c.result(after) {
			return wholeRecord
		}
	}
	return partRecord
}

func (r *Reader) judgeCall(s []byte) verdict {
	n := nameLen(s)
	if n == 0 || n >= len(s) || s[n] != '(' {
		return noRecord
	}
	if bytes.HasSuffix(s, unfinishedMark) || bytes.HasSuffix(s, detachedMark) {
		return wholeRecord
	}
	if bytes.HasSuffix(s, markEnd) {
		if _, _, ok := pidChanged(s); ok {
			return wholeRecord
		}
	}
	c := &r.scratch.Call
	if !r.parseCall(c, s) {
		return noRecord
	}
	if c.Whole {
		return wholeRecord
	}
	return partRecord
}

// startsRecord reports whether a line is, or begins, a record of its own.
func (r *Reader) startsRecord(s []byte) bool {
	switch r.judge(s) {
	case wholeRecord:
		return true
	case noRecord:
		return false
	}
	t := r.scratch.prefix(s)
	n := nameLen(t)
	return n == 0 || n < len(t) && t[n] == '(' && isCall(t[:n])
}
