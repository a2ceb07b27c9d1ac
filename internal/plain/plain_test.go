//go:build linux

package plain

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		`a "name" of c:\ é 中`:      `a "name" of c:\ é 中`,
		"\x1b]0;t\a\x1b[2J":        `\x1b]0;t\a\x1b[2J`,
		"\u202eRTL\u2066 \u200f":   `\u202eRTL\u2066 \u200f`,
		"\x9b1m":                   `\x9b1m`,
		"\u009b1m":                 `\u009b1m`,
		"a\nb\tc\r":                `a\nb\tc\r`,
		"\xff\xfe\ufffd":           `\xff\xfe` + "\ufffd",
		"\u2028\u2029\ufeff\u00ad": `\u2028\u2029\ufeff\u00ad`,
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	fmt.Fprintf(&Writer{&b}, "efdtrace: \x1b[2J%s\n\tsecond\xff\n", "name\r")
	if got, want := b.String(), "efdtrace: \\x1b[2Jname\\r\n\tsecond\\xff\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzText(f *testing.F) {
	f.Add("\x1b[2J\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if strings.ContainsFunc(got, hidden) || Text(got) != got {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}
