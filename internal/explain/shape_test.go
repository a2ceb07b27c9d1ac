//go:build linux

package explain

import (
	"bytes"
	"fmt"
	"html"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/google/go-cmp/cmp"
)

// shapeOf changes each line of a log as something between strace and its reader
// does.
type shapeOf struct {
	name string
	of   func(lines []string) []string
}

// each makes a shape of what happens to a line by itself; i is from 0.
func eachLine(name string, f func(i int, s string) string) shapeOf {
	return shapeOf{name, func(lines []string) []string {
		out := make([]string, len(lines))
		for i, s := range lines {
			out[i] = f(i, s)
		}
		return out
	}}
}

func before(name, prefix string) shapeOf {
	return eachLine(name, func(_ int, s string) string { return prefix + s })
}

// hardAt cuts as a terminal does.
func hardAt(width int) shapeOf {
	return shapeOf{fmt.Sprint("hard", width), func(lines []string) (out []string) {
		for _, s := range lines {
			for len([]rune(s)) > width {
				r := []rune(s)
				out, s = append(out, string(r[:width])), string(r[width:])
			}
			out = append(out, s)
		}
		return out
	}}
}

// softAt cuts at blanks, as mail programs do.
func softAt(width int) shapeOf {
	return shapeOf{fmt.Sprint("soft", width), func(lines []string) (out []string) {
		for _, s := range lines {
			for len(s) > width {
				i := strings.LastIndexByte(s[:width+1], ' ')
				if i <= 0 || strings.TrimSpace(s[:i]) == "" {
					if i = strings.IndexByte(s[width:], ' '); i < 0 {
						break
					}
					i += width
				}
				out, s = append(out, s[:i]), s[i+1:]
			}
			out = append(out, s)
		}
		return out
	}}
}

var (
	inLines = []shapeOf{
		before("journald", "Nov 17 18:45:41 node1 strace[1234]: "),
		eachLine("journald, times", func(i int, s string) string {
			return fmt.Sprintf("Nov %2d %02d:%02d:%02d node1 strace[1234]: %s", 9+i/900, i/3600%24, i/60%60, i%60, s)
		}),
		eachLine("ts", func(i int, s string) string { return fmt.Sprintf("Nov 17 18:%02d:%02d %s", i/60%60, i%60, s) }),
		eachLine("docker", func(i int, s string) string {
			return fmt.Sprintf("2024-05-06T10:%02d:%02d.123456789Z %s", i/60%60, i%60, s)
		}),
		eachLine("log", func(i int, s string) string { return fmt.Sprintf("2024/05/06 10:%02d:%02d %s", i/60%60, i%60, s) }),
		eachLine("python", func(i int, s string) string {
			return fmt.Sprintf("2024-05-06 10:%02d:%02d,%03d %s", i/60%60, i%60, i%1000, s)
		}),
		eachLine("cri", func(i int, s string) string {
			return fmt.Sprintf("2024-05-06T10:%02d:%02d.123456789+02:00 stderr F %s", i/60%60, i%60, s)
		}),
		before("compose", "web-1  | "),
		eachLine("adb", func(i int, s string) string {
			return fmt.Sprintf("05-06 10:%02d:%02d.123  1234  1234 I strace  : %s", i/60%60, i%60, s)
		}),
		before("grep -H", "trace.123:"),
		eachLine("grep -n", func(i int, s string) string { return fmt.Sprintf("%d:%s", i+1, s) }),
		eachLine("grep -Hn", func(i int, s string) string { return fmt.Sprintf("log/trace.123-%d-%s", i+1, s) }),
		eachLine("cat -n", func(i int, s string) string { return fmt.Sprintf("%6d\t%s", i+1, s) }),
		eachLine("editor", func(i int, s string) string { return fmt.Sprintf("%d %s", i+1400, s) }),
		eachLine("editor, aligned", func(i int, s string) string { return fmt.Sprintf("%4d  %s", i+1, s) }),
		before("quoted", "> "), before("quoted twice", "> > "), before("indented", "    "), before("tab", "\t"),
		before("+", "+"), before("+ ", "+ "), before("# ", "# "), before("$ ", "$ "), before("* ", "* "), before("dmesg", "[ 1234.567890] "),
		before("tagged", "strace: "),
		eachLine("JSON list", func(_ int, s string) string { return fmt.Sprintf("  %s,", jsonString(s)) }),
		eachLine("JSON log", func(_ int, s string) string {
			return fmt.Sprintf(`{"log":%s,"stream":"stderr","time":"2024-05-06T10:00:00Z"}`, jsonString(s+"\n"))
		}),
		eachLine("table", func(_ int, s string) string { return "| " + s + " |" }),
		eachLine("code", func(_ int, s string) string { return "`" + s + "`" }),
		eachLine("page", func(_ int, s string) string { return "<p>" + html.EscapeString(s) + "</p>" }),
		eachLine("quoted words", func(_ int, s string) string { return "'" + s + "'," }),
	}
	inText = []shapeOf{
		eachLine("HTML", func(_ int, s string) string { return html.EscapeString(s) }),
		eachLine("CRLF", func(_ int, s string) string { return s + "\r" }),
		eachLine("NBSP", func(_ int, s string) string { return strings.ReplaceAll(s, " ", "\u00a0") }),
		eachLine("tabs", func(_ int, s string) string {
			return outsideStrings(s, func(s string) string { return strings.ReplaceAll(s, " ", "\t") })
		}),
		eachLine("grep --color", func(_ int, s string) string {
			return strings.ReplaceAll(s, "poll", "\x1b[01;31m\x1b[Kpoll\x1b[m\x1b[K")
		}),
		eachLine("markdown", func(_ int, s string) string {
			return outsideStrings(s, func(s string) string {
				return strings.NewReplacer("[", `\[`, "]", `\]`, "_", `\_`, "<", `\<`).Replace(s)
			})
		}),
		eachLine("typeset", func(_ int, s string) string { return strings.NewReplacer(" -1", " –1", "...", "…").Replace(s) }),
		hardAt(72), hardAt(80), softAt(72), softAt(76),
	}
)

func jsonString(s string) string { return string(AppendString(nil, []byte(s))) }

func outsideStrings(s string, f func(string) string) string {
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			b.WriteString(f(s))
			break
		}
		b.WriteString(f(s[:i]))
		j := i + 1
		for j < len(s) && s[j] != '"' {
			if s[j] == '\\' {
				j++
			}
			j++
		}
		j = min(j+1, len(s))
		b.WriteString(s[i:j])
		s = s[j:]
	}
	return b.String()
}

func (s shapeOf) apply(log string) string {
	return strings.Join(s.of(strings.Split(strings.TrimSuffix(log, "\n"), "\n")), "\n") + "\n"
}

var lineNumber = regexp.MustCompile(`\blines? [0-9]+`)

// saidOf is what is said of each line that something is said of, without the
// numbers of lines.
func saidOf(log string) (out []string) {
	r, x := strace.NewReader(strings.NewReader(log), 0), New()
	for {
		rec, err := r.Next()
		if err != nil {
			break
		}
		if n := x.Explain(rec); n != nil && rec.Type != strace.Unfinished {
			said := fmt.Sprintf("%d %s [%s] %q %q %v", rec.PID, n.Summary, n.appendPaths(nil), n.Stories, n.Warnings, n.FDs)
			out = append(out, lineNumber.ReplaceAllString(said, "line"))
		}
	}
	stories, warnings, _ := x.Finish(0)
	return append(out, lineNumber.ReplaceAllString(fmt.Sprintf("%q %q", stories, warnings), "line"))
}

// shapeLogs are logs for shapes: the beginnings of real ones.
func shapeLogs(t *testing.T) map[string]string {
	out := map[string]string{}
	for _, f := range logs(t) {
		in, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(in, 0x1b) >= 0 || strings.HasPrefix(filepath.Base(f), "v7.2-c") {
			continue
		}
		var b strings.Builder
		n := 0
		for line := range bytes.Lines(in) {
			if n++; n > 120 {
				break
			}
			b.Write(line)
		}
		out[filepath.Base(f)] = b.String()
	}
	return out
}

// apart are pairs that are not made out whole: text that was escaped and then put
// into a list of literals, pieces of a wrapped line after the word with which
// strace begins its own messages, and those of which no line shows that they are
// literals.
func apart(a, b string) bool {
	wraps := strings.HasPrefix(a, "soft") || strings.HasPrefix(a, "hard")
	escaped := a == "HTML" || a == "markdown"
	return wraps && (b == "JSON list" || b == "tagged") || escaped && b == "JSON list"
}

// What is said of a log does not change with what stands around its lines.
func TestShapes(t *testing.T) {
	total, bad := 0, map[string]int{}
	first := map[string]string{}
	try := func(name, log string, want []string) {
		total++
		if got := saidOf(log); !slices.Equal(want, got) {
			if bad[name]++; bad[name] == 1 {
				first[name] = "(-want +got):\n" + cmp.Diff(want, got)
			}
		}
	}
	all := shapeLogs(t)
	names := slices.Sorted(maps.Keys(all))
	for i, name := range names {
		want := saidOf(all[name])
		for j, s := range slices.Concat(inLines, inText) {
			if testing.Short() && (i+j)%4 != 0 {
				continue
			}
			try(s.name, s.apply(all[name]), want)
			if first[s.name] != "" && bad[s.name] == 1 && !strings.Contains(first[s.name], ".txt") {
				first[s.name] = name + ": " + first[s.name]
			}
		}
	}
	// A pair of shapes is tried on one log, the next pair on the next.
	pair, forPairs := 0, []string{"v6.1-fTtt.txt", "redis-fint.txt", "v7.2-fyy.txt", "v6.1-f-Y.txt"}
	said := map[string][]string{}
	for _, name := range forPairs {
		if all[name] == "" {
			t.Fatalf("no log %s", name)
		}
		said[name] = saidOf(all[name])
	}
	for _, a := range inText {
		for _, b := range inLines {
			if apart(a.name, b.name) {
				continue
			}
			pair++
			if testing.Short() && pair%4 != 0 {
				continue
			}
			name := forPairs[pair%len(forPairs)]
			if testing.Short() {
				name = forPairs[pair/4%len(forPairs)]
			}
			try(a.name+" then "+b.name+" on "+name, b.apply(a.apply(all[name])), said[name])
		}
	}
	n := 0
	for name, count := range bad {
		n += count
		t.Errorf("%s: %d logs: %s", name, count, first[name])
	}
	t.Logf("%d of %d shaped logs say something else", n, total)
}

// TestCutLiterals: lines of JSON that were cut at a width are put together before
// the record in them is read.
func TestCutLiterals(t *testing.T) {
	all := shapeLogs(t)
	for _, name := range []string{"v6.1-fTtt.txt", "redis-fint.txt"} {
		log := all[name]
		want := saidOf(log)
		for _, s := range inLines {
			if s.name != "JSON log" {
				continue
			}
			for _, width := range []int{72, 80} {
				if got := saidOf(hardAt(width).apply(s.apply(log))); !slices.Equal(got, want) {
					t.Errorf("%s at %d (-want +got):\n%s", name, width, cmp.Diff(want, got))
				}
			}
		}
	}
}
