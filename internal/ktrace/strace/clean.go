//go:build linux

package strace

import (
	"bytes"
	"encoding/binary"
	"html"
	"unicode/utf8"
)

// odd reports whether a line has bytes that strace does not print: control
// characters, and what is no ASCII.
func odd(s []byte) bool {
	const low, high = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		x := binary.LittleEndian.Uint64(s)
		if (x-low*0x20)&^x&high|x&high != 0 {
			return true
		}
	}
	for _, c := range s {
		if c < ' ' || c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// cleaned appends a line to dst without what terminals, editors and mail put
// into it: colours, tabs, carriage returns, blanks that do not break a line,
// characters without width, the zero bytes of UTF-16.
func cleaned(dst, s []byte) []byte {
	if !odd(s) {
		return append(dst, s...)
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == 0x1b:
			if n := escapeLen(s[i:]); n > 0 {
				i += n
				continue
			}
			dst = append(dst, c)
		case c == '\t' || c == '\r' || c == '\v' || c == '\f':
			dst = append(dst, ' ')
		case c == 0 || i == 0 && len(s) > 1 && (c == 0xff && s[1] == 0xfe || c == 0xfe && s[1] == 0xff):
			if c != 0 {
				i++
			}
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRune(s[i:])
			switch r {
			case 0xa0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x202f, 0x205f, 0x3000:
				dst = append(dst, ' ')
			case 0xad, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2060, 0xfeff:
			default:
				dst = append(dst, s[i:i+n]...)
			}
			i += n
			continue
		}
		i++
	}
	return dst
}

// trimEnd cuts a line's end off.
func trimEnd(s []byte) []byte {
	s = bytes.TrimSuffix(s, []byte("\n"))
	for len(s) > 0 && s[len(s)-1] == '\r' {
		s = s[:len(s)-1]
	}
	return s
}

// escapeLen is the length of the terminal's control sequence that s starts
// with, 0 for none: colours, erasing, titles and links.
func escapeLen(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '[':
		for i := 2; i < len(s) && i < 64; i++ {
			if c := s[i]; c >= 0x40 && c <= 0x7e {
				return i + 1
			} else if c < 0x20 || c > 0x3f {
				return 0
			}
		}
	case ']':
		for i := 2; i < len(s) && i < 4096; i++ {
			switch {
			case s[i] == 7:
				return i + 1
			case s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\':
				return i + 2
			}
		}
	case '(', ')':
		if len(s) > 2 {
			return 3
		}
	}
	return 0
}

// typewritten appends a line to dst with the signs that word processors and
// chat programs make of ASCII put back.
func typewritten(dst, s []byte) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch r {
		case '\u201c', '\u201d', '\u201e', '\u201f', '\u00ab', '\u00bb', '\uff02':
			dst = append(dst, '"')
		case '\u2018', '\u2019', '\u201a', '\u2032':
			dst = append(dst, '\'')
		case '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2212', '\ufe63', '\uff0d':
			dst = append(dst, '-')
		case '\u2026':
			dst = append(dst, "..."...)
		case '\u2039':
			dst = append(dst, '<')
		case '\u203a':
			dst = append(dst, '>')
		default:
			dst = append(dst, s[:n]...)
		}
		s = s[n:]
	}
	return dst
}

var entities = [][]byte{[]byte("&lt;"), []byte("&gt;"), []byte("&amp;"), []byte("&quot;"), []byte("&nbsp;"), []byte("&#"), []byte("&apos;")}

// hasEntity reports whether a line has characters as HTML escapes them. Of
// strings, which may hold a page, it looks only at whether they are there.
func hasEntity(s []byte, inStrings bool) bool {
	for i := 0; i < len(s); {
		j := bytes.IndexAny(s[i:], `&"`)
		if j < 0 {
			return false
		}
		if i += j; s[i] == '"' && !inStrings {
			i, _ = skipString(s, i)
			continue
		}
		for _, e := range entities {
			if bytes.HasPrefix(s[i:], e) {
				return true
			}
		}
		i++
	}
	return false
}

// unescaped appends s to dst with HTML's character references resolved.
func unescaped(dst, s []byte) []byte {
	return cleaned(dst, []byte(html.UnescapeString(string(s))))
}

// unslashed appends s to dst without the backslashes that markup wants before
// its own signs.
func unslashed(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && bytes.IndexByte([]byte(`[]{}()<>_*#|~+-.!=&`), s[i+1]) >= 0 {
			continue
		}
		dst = append(dst, s[i])
	}
	return dst
}

// slashed reports whether markup has put backslashes into a line: strace
// itself prints none before a bracket.
func slashed(s []byte) bool {
	for i := bytes.IndexByte(s, '\\'); i >= 0 && i+1 < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		if i++; markup[s[i]] {
			return true
		}
	}
	return false
}

// markup are the signs before which markup's backslashes stand.
var markup = [256]bool{'[': true, ']': true, '{': true, '}': true, '(': true, ')': true, '<': true, '_': true, '*': true}

// tails are what may stand behind a line that was quoted, drawn into a table
// or marked up.
var tails = [][]byte{
	[]byte("<br>"), []byte("<br/>"), []byte("<br />"), []byte("</p>"), []byte("</pre>"), []byte("</code>"), []byte("</li>"), []byte("</td>"), []byte("</tr>"),
	[]byte("</div>"), []byte("</span>"), []byte("</blockquote>"), []byte("{code}"), []byte("{noformat}"), []byte(`\r`), []byte(`\n`), []byte("^M"), []byte("=0D"), []byte("=20"),
}

// cutTail cuts one sign, or one tag, that may stand behind a line.
func cutTail(s []byte) ([]byte, bool) {
	for _, t := range tails {
		if rest, ok := bytes.CutSuffix(s, t); ok {
			return rest, true
		}
	}
	if n := len(s); n > 0 && bytes.IndexByte([]byte(" \"'`,;|\\*_~$#:/]}"), s[n-1]) >= 0 {
		return s[:n-1], true
	}
	if r, n := utf8.DecodeLastRune(s); r >= utf8.RuneSelf {
		return s[:len(s)-n], true
	}
	return s, false
}
