//go:build linux

package strace

import (
	"bytes"
	"unicode/utf8"
)

// slow makes out a line that is not, as it is, a whole call: one that something
// stands before or behind, that was wrapped or escaped, and all that is no call.
func (r *Reader) slow(rec *Record, n int, line []byte) {
	r.own = cleaned(r.own[:0], line)
	s := r.own
	if r.html && hasEntity(s, true) || hasEntity(s, false) {
		s = r.unescape(s)
	}
	s = r.unnumbered(bytes.TrimSuffix(s, r.tail))
	if len(trimRight(s)) == 0 || (r.mixing || r.mixes(s)) && r.mixed(rec, s) {
		return
	}
	body, v := r.extract(trimRight(s))
	if more := r.wrapped(n, s, body, v); more > 0 {
		r.wrap.left, rec.Wrapped = more, true
		if rec.prefix(r.wrap.text); rec.Clock == Relative {
			rec.clear() // else it would be counted twice
		}
		return
	}
	if v == wholeRecord {
		r.count()
	} else if t := r.mend(body); t != nil {
		body = t
	}
	r.commit(rec, body)
}

// count notes whether the last whole record had something before it.
func (r *Reader) count() {
	if r.before == nil {
		r.foreign.own++
		return
	}
	r.foreign.lines++
	if r.newBefore {
		r.foreign.learn(r.before)
	}
}

func (r *Reader) unnumbered(s []byte) []byte {
	if r.foreign.numbered == nil {
		return s
	}
	return r.foreign.unnumbered(s)
}

// unescape resolves HTML's character references if that makes a record of the
// line.
func (r *Reader) unescape(s []byte) []byte {
	out := s
	for range 2 { // text that was escaped twice
		r.free = unescaped(r.free[:0], out)
		out = bytes.Clone(r.free)
		if !hasEntity(out, false) {
			break
		}
	}
	if r.html {
		return out
	}
	if _, v := r.locate(trimRight(out)); v == noRecord {
		return s
	}
	r.html = true
	return out
}

func trimRight(s []byte) []byte { return bytes.TrimRight(s, " ") }

// extract returns what is strace's own in a line, and how far it is a record.
// r.before is what stands before it, nil for nothing.
func (r *Reader) extract(s []byte) (body []byte, v verdict) {
	if r.quoted != nil || bytes.Contains(s, []byte(`\"`)) {
		if in, at := r.literal(s); at == wholeRecord {
			return in, at
		}
	} else if slashed(s) {
		if body, v = r.located(unslashed(nil, s)); v == wholeRecord || v == partRecord && r.slashes {
			r.slashes = true
			return body, v
		}
	}
	if !ascii(s) {
		if t := typewritten(nil, s); !bytes.Equal(s, t) {
			if body, v = r.located(t); v == wholeRecord || v == partRecord && r.typeset {
				r.typeset = true
				return body, v
			}
		}
	}
	if body, v = r.located(s); v == wholeRecord {
		return body, v
	}
	before, newBefore := r.before, r.newBefore
	if in, at := r.literal(s); at != noRecord {
		return in, at
	}
	r.before, r.newBefore = before, newBefore
	return body, v
}

func ascii(s []byte) bool {
	for _, c := range s {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// located is locate, and what it found without what stands behind it.
func (r *Reader) located(s []byte) (body []byte, v verdict) {
	body, v = r.locate(s)
	if v != partRecord {
		return body, v
	}
	t := body
	for range 16 {
		var ok bool
		if t, ok = cutTail(t); !ok {
			break
		}
		if r.judge(t) == wholeRecord {
			return t, wholeRecord
		}
	}
	return body, v
}

// locate finds strace's own part of a line.
func (r *Reader) locate(s []byte) (body []byte, v verdict) {
	r.before, r.newBefore, r.inLiteral = nil, false, nil
	v = r.judge(s)
	if v == wholeRecord && !r.mayQuote(s) {
		return s, v
	}
	var rest []byte // of the first pattern that fits, should none lead to a record
	body = s
	for i, p := range r.foreign.patterns {
		n, ok := matchForeign(p, s)
		if !ok {
			continue
		}
		if rest == nil {
			rest = s[n:]
		}
		switch r.judge(s[n:]) {
		case wholeRecord:
			r.foreign.latest(i)
			r.before, r.newBefore = s[:n], false
			return untagged(s[n:], s[:n]), wholeRecord
		case partRecord:
			if v == noRecord {
				r.before = s[:n]
				body, v = s[n:], partRecord
			}
		}
	}
	if v == wholeRecord && rest != nil && r.foreign.lines >= r.foreign.own {
		r.before = s[:len(s)-len(rest)]
		return rest, max(r.judge(rest), partRecord)
	}
	if v == partRecord && r.before == nil && r.startsRecord(s) {
		return body, v
	}
	if r.foreign.trusted() {
		if before, at := r.discover(s); at == wholeRecord || at == partRecord && v == noRecord {
			r.before, r.newBefore = before, true
			return untagged(s[len(before):], before), at
		}
	}
	if v == noRecord && rest != nil {
		return rest, v
	}
	return body, v
}

// untagged cuts the tag at the end of a line that closes one before it, which
// otherwise would be taken for what -y prints.
func untagged(s, before []byte) []byte {
	i := bytes.LastIndex(s, []byte("</"))
	if i < 0 || s[len(s)-1] != '>' {
		return s
	}
	name := s[i+2 : len(s)-1]
	if n := nameLen(name); n > 0 && n == len(name) && bytes.Contains(before, append([]byte("<"), name...)) {
		return trimRight(s[:i])
	}
	return s
}

// mayQuote reports whether a line that is a frame, a dump or a word of strace's
// may be another's quotation of a record.
func (r *Reader) mayQuote(s []byte) bool {
	if !bytes.HasPrefix(s, []byte(" > ")) && !bytes.HasPrefix(s, []byte(" | ")) && !bytes.HasPrefix(s, ownWords) {
		return false
	}
	return len(r.foreign.patterns) > 0 && r.foreign.lines >= r.foreign.own || bytes.Contains(s, []byte(") ")) || bytes.Contains(s, resumedMark) || bytes.Contains(s, unfinishedMark) || bytes.Contains(s, []byte("--- SIG")) ||
		bytes.Contains(s, []byte("+++ "))
}

// literal finds a record in a string literal of JSON and the like. Once one has
// been found, all that is in a literal at such a place is strace's.
func (r *Reader) literal(s []byte) ([]byte, verdict) {
	if r.quoted != nil {
		if n, ok := matchForeign(r.quoted, s); ok {
			if in, ok := r.unliteral(s[n:]); ok {
				in, body, v := r.within(in)
				r.before, r.newBefore, r.inLiteral = s[:n], false, in
				return body, max(v, partRecord)
			}
		}
	}
	if bytes.IndexByte(s, '\\') < 0 || r.nested >= mostNested {
		return nil, noRecord
	}
	from := 0
	for range 8 {
		i := bytes.IndexByte(s[from:], '"')
		if i < 0 {
			return nil, noRecord
		}
		from += i + 1
		in, ok := r.unliteral(s[from:])
		if !ok {
			return nil, noRecord
		}
		in, body, v := r.within(in)
		if v == wholeRecord || v == partRecord && s[0] == '{' && s[len(s)-1] == '}' && r.startsRecord(body) {
			r.before, r.newBefore, r.inLiteral = s[:from], false, in
			r.quoted = bytes.Clone(r.before)
			return body, v
		}
	}
	return nil, noRecord
}

// mostNested is how deep literals within literals are looked into.
const mostNested = 3

// within finds strace's own part of the text of a literal.
func (r *Reader) within(in []byte) (text, body []byte, v verdict) {
	text = r.freed(cleaned(nil, in))
	r.nested++
	body, v = r.extract(trim(text)) // with its blanks it could look like a frame
	r.nested--
	return text, body, v
}

// freed takes out of a line what is known to have been put into all of them.
func (r *Reader) freed(s []byte) []byte {
	if r.html && hasEntity(s, true) || hasEntity(s, false) {
		s = unescaped(nil, s)
	}
	if r.typeset && !ascii(s) {
		s = typewritten(nil, s)
	}
	if r.slashes && slashed(s) {
		s = unslashed(nil, s)
	}
	return s
}

// learnForeign looks among the first lines for one that shows what stands before
// the first.
func (r *Reader) learnForeign(first []byte) {
	for _, raw := range r.firstLines() {
		s := r.unnumbered(bytes.TrimSuffix(r.freed(cleaned(nil, trimEnd(raw))), r.tail))
		switch _, v := r.extract(trimRight(s)); {
		case v == noRecord:
		case v == wholeRecord && r.before == nil:
			return
		case r.newBefore:
			if n, ok := matchForeign(r.before, first); ok && n > 0 {
				r.foreign.learn(r.before)
				return
			}
		}
	}
}

// learnTail finds the common end of the first lines, if it is none of strace's.
func (r *Reader) learnTail() {
	const few = 4
	var common []byte
	lines := 0
	for _, raw := range r.firstLines() {
		line := trimEnd(raw)
		if len(line) == 0 {
			continue
		}
		if lines++; lines == 1 {
			common = bytes.Clone(line)
			continue
		}
		n := 0
		for n < len(common) && n < len(line) && common[len(common)-1-n] == line[len(line)-1-n] {
			n++
		}
		common = common[len(common)-n:]
	}
	if lines < few {
		return
	}
	rest := common
	for ok := true; ok && len(rest) > 0; {
		var cut []byte
		if cut, ok = cutTail(rest); ok && rest[len(rest)-1] != ']' && rest[len(rest)-1] != '}' {
			rest = cut
			continue
		}
		break
	}
	r.tail = common[len(rest):]
}

// unliteral reads a string up to its closing quotation mark, or to its end if
// that is among what has been cut from each line. The end of a line in it is left
// out.
func (r *Reader) unliteral(s []byte) ([]byte, bool) {
	var out []byte
	end := 0 // of the line
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return out[:end], true
		case s[i] != '\\' || i+1 == len(s):
			out = append(out, s[i])
			end = len(out)
			continue
		}
		switch i++; s[i] {
		case 'n', 'r':
			out = append(out, ' ')
			continue
		case 't':
			out = append(out, ' ')
		case 'u':
			v := 0
			for k := i + 1; k < i+5 && k < len(s); k++ {
				v = v<<4 | max(hexDigit(s[k]), 0)
			}
			out = utf8.AppendRune(out, rune(v))
			i = min(i+4, len(s)-1)
		default:
			out = append(out, s[i])
		}
		end = len(out)
	}
	return out[:end], bytes.IndexByte(r.tail, '"') >= 0
}
