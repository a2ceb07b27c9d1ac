//go:build linux

// Package plain makes foreign text harmless to a terminal: names that programs
// and files give themselves, and the contents of a file.
package plain

import (
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text escapes in s, as in a Go string, all bytes on which a terminal would
// act, or which it would show in another order: control characters, those for
// the direction of text, and bytes that are not UTF-8.
func Text(s string) string {
	if !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if hidden(r) || r == utf8.RuneError && n == 1 {
			q := strconv.QuoteToGraphic(s[:n])
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func hidden(r rune) bool { return !unicode.IsGraphic(r) }

// Lines is Text for text of several lines: it keeps line feeds and tabs.
func Lines(b []byte) []byte {
	clean := true
	for _, r := range string(b) {
		clean = clean && (!hidden(r) || r == '\n' || r == '\t') && r != utf8.RuneError
	}
	if clean {
		return b
	}
	var out []byte
	for i, line := range strings.Split(string(b), "\n") {
		if i > 0 {
			out = append(out, '\n')
		}
		for k, part := range strings.Split(line, "\t") {
			if k > 0 {
				out = append(out, '\t')
			}
			out = append(out, Text(part)...)
		}
	}
	return out
}

// Writer writes text with Lines applied to it. A character that comes in two
// writes is taken for bytes that are no UTF-8.
type Writer struct{ W io.Writer }

// Write implements io.Writer.
func (w *Writer) Write(b []byte) (int, error) {
	if _, err := w.W.Write(Lines(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
