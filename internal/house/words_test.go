//go:build linux

package house

import (
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wordLimits are the patterns that CONTRIBUTING.md rules out, with the limit of
// their occurrences in comments and strings of all non-test Go files. The limits
// only shrink. aim is the number of occurrences in cilium/ebpf, which has the
// same size.
var wordLimits = []struct {
	name    string
	pattern string
	most    int
	aim     int
}{
	{"what", `[Ww]hat`, 290, 6},
	{"where", `[Ww]here`, 127, 25},
	{"who", `[Ww]ho`, 12, 2},
	{"told, tell", `[Tt]old|[Tt]ells?|[Tt]elling`, 4, 1},
	{"behind", `[Bb]ehind`, 40, 4},
	{"beside", `[Bb]eside`, 5, 0},
	{"meanwhile", `[Mm]eanwhile`, 0, 0},
	{"at once", `[Aa]t once`, 15, 3},
	{"let go", `[Ll]ets? go|[Ll]etting go`, 3, 1},
	{"held against", `held against|holds? [a-z]+ against|holds? against`, 2, 0},
	{"to be had", `to be had`, 0, 0},
}

// TestWords compares the use of each pattern with its limit.
func TestWords(t *testing.T) {
	counts, places := make([]int, len(wordLimits)), make([]map[string]int, len(wordLimits))
	patterns := make([]*regexp.Regexp, len(wordLimits))
	for i, w := range wordLimits {
		patterns[i], places[i] = regexp.MustCompile(`\b(?:`+w.pattern+`)\b`), map[string]int{}
	}
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		text := prose(t, filepath.Join(top, name))
		for i, p := range patterns {
			if n := len(p.FindAllString(text, -1)); n > 0 {
				counts[i] += n
				places[i][name] += n
			}
		}
	}
	for i, w := range wordLimits {
		switch {
		case counts[i] > w.most:
			t.Errorf("%q: %d times in comments and strings, the limit is %d (CONTRIBUTING.md, Text): %v", w.name, counts[i], w.most, places[i])
		case counts[i] < w.most:
			t.Logf("%q: %d times: lower the limit from %d; the aim is %d", w.name, counts[i], w.most, w.aim)
		}
	}
}

// prose returns the comments and strings of a Go file, with line breaks as
// spaces.
func prose(t *testing.T, name string) string {
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var s scanner.Scanner
	files := token.NewFileSet()
	s.Init(files.AddFile(name, -1, len(src)), src, nil, scanner.ScanComments)
	var b strings.Builder
	for {
		switch _, tok, lit := s.Scan(); tok {
		case token.EOF:
			return b.String()
		case token.COMMENT:
			b.WriteString(strings.TrimPrefix(lit, "//") + " ")
		case token.STRING:
			b.WriteString(lit + "\n")
		}
	}
}
