//go:build linux

package explain

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// annotations are what is said of a log, with the line that it is said of.
func annotations(t *testing.T, log []byte) string {
	t.Helper()
	var b strings.Builder
	line := 0
	for s := range strings.Lines(text(t, string(log), Options{FD: -1})) {
		if a, ok := strings.CutPrefix(s, mark); ok {
			fmt.Fprintf(&b, "%d: %s", line, a)
		} else {
			line++
		}
	}
	return b.String()
}

// Each form and version of strace's output, and what is said of it.
func TestGolden(t *testing.T) {
	for _, f := range logs(t) {
		in, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got := annotations(t, in)
		name := filepath.Join("testdata", strings.TrimSuffix(filepath.Base(f), ".txt")+".golden")
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (go test -update writes it anew; -want +got):\n%s", name, d)
		}
	}
}

// All forms of one program's log say the same of it, where the options leave
// the calls in: the first calls are the same in each.
func TestFormsAgree(t *testing.T) {
	want := ""
	for _, f := range logs(t) {
		name := filepath.Base(f)
		if !strings.HasPrefix(name, "v6.1-f") && !strings.HasPrefix(name, "v7.2-f") {
			continue
		}
		switch name {
		case "v6.1-f-unfinished-only.txt", "v6.1-fz.txt", "v7.2-fsyscalllimit10.txt":
			continue // leave calls out
		}
		in, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(firstSentences(in, 7), "\n")
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// firstSentences are the first n sentences on calls, without what only some
// options let one know.
func firstSentences(log []byte, n int) []string {
	r, x := strace.NewReader(bytes.NewReader(log), 0), New()
	var out []string
	for len(out) < n {
		rec, err := r.Next()
		if err != nil {
			break
		}
		if note := x.Explain(rec); note != nil && len(note.Summary) > 0 && len(note.Paths) > 0 {
			s, _, _ := strings.Cut(string(note.Summary), "; the counter was")
			out = append(out, s+" "+strings.Join(note.Paths, ","))
		}
	}
	return out
}
