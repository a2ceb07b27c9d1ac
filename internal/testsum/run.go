//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// run is one go test -json as it is read.
type run struct {
	*summary
	w        io.Writer
	bar      *bar
	said     map[string]map[string][]string // package to test to its output; the key is there until the test has ended
	failedIn map[string]int                 // package to its tests that failed
}

// read processes test2json lines and prints the progress: a line per package,
// and the messages of a failed test.
func (r *run) read(from io.Reader) {
	r.said, r.failedIn = map[string]map[string][]string{}, map[string]int{}
	sc := bufio.NewScanner(from)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var e event
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			r.printf("%s\n", sc.Text())
			continue
		}
		r.take(&e)
	}
	if err := sc.Err(); err != nil {
		r.addFailure("go test -json", err.Error())
		r.printf("FAIL  go test -json cannot be read: %v\n", err)
	}
	r.bar.clear()
}

func (r *run) printf(format string, args ...any) {
	r.bar.clear()
	fmt.Fprintf(r.w, format, args...)
}

func (r *run) take(e *event) {
	tests := r.said[e.Package]
	if tests == nil {
		tests = map[string][]string{}
		r.said[e.Package] = tests
	}
	switch e.Action {
	case "start", "run":
		if _, began := tests[e.Test]; !began {
			tests[e.Test] = nil
		}
		r.bar.show(r, e)
	case "output":
		tests[e.Test] = append(tests[e.Test], e.Output)
	case "build-output":
		r.printf("%s", e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.ended(e, tests)
			delete(r.said, e.Package)
			r.bar.packages++
			return
		}
		r.result(e, tests[e.Test])
		delete(tests, e.Test)
	}
}

// ended reports a package.
func (r *run) ended(e *event, tests map[string][]string) {
	switch e.Action {
	case "pass":
		r.printf("ok    %-55s %6.1f s\n", e.Package, e.Elapsed)
	case "fail":
		open := slices.Sorted(maps.Keys(tests))
		for _, name := range open {
			// Whoever has an open subtest is open because of that.
			if name == "" || slices.ContainsFunc(open, func(o string) bool { return strings.HasPrefix(o, name+"/") }) {
				continue
			}
			text := lastWords(tests[name])
			r.fail(e, name+" did not end", text)
			r.printf("FAIL  %s %s did not end; the end of its output:\n%s", e.Package, name, text)
		}
		if r.failedIn[e.Package] == 0 { // it was not built, or ended outside of a test
			r.fail(e, "", lastWords(tests[""]))
		}
		r.printf("%sFAIL  %s after %.1f s\n", lastWords(tests[""]), e.Package, e.Elapsed)
	}
}

func (r *run) fail(e *event, test, output string) {
	r.addFailure(strings.TrimSpace(e.Package+" "+test), output)
	r.failedIn[e.Package]++
}

func (r *run) result(e *event, said []string) {
	switch e.Action {
	case "pass":
		r.Passed++
	case "fail":
		text := shortened(said)
		r.fail(e, e.Test, text)
		r.printf("FAIL  %s %s\n%s", e.Package, e.Test, text)
	case "skip":
		r.Skipped++
		r.addSkip(skipReason(said), e.Package+" "+e.Test)
	}
}

// message matches the first line of a message of Error, Fatal or Log.
var message = regexp.MustCompile(`^ +[^ :]+\.go:\d+: `)

// shortened is an output whose middle is left out if it is long, but for the
// beginnings of messages: the reason is one of them.
func shortened(said []string) string {
	const first, messages, last, wide = 10, 20, 40, 1000
	var b strings.Builder
	kept, out := 0, 0
	for i, line := range said {
		middle := i >= first && i < len(said)-last
		if middle && (kept == messages || !message.MatchString(line)) {
			out++
			continue
		}
		if middle {
			kept++
		}
		if out > 0 {
			fmt.Fprintf(&b, "    (%d lines left out)\n", out)
			out = 0
		}
		if len(line) > wide {
			line = fmt.Sprintf("%s (%d bytes left out)\n", strings.ToValidUTF8(line[:wide], ""), len(line)-wide)
		}
		b.WriteString(line)
	}
	return b.String()
}

// lastWords is the end of an output, or the beginning of a panic: its message,
// and its goroutine.
func lastWords(said []string) string {
	const before, after = 30, 50
	at := slices.IndexFunc(said, func(line string) bool {
		return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "SIGQUIT: ")
	})
	if at < 0 {
		at = len(said)
	}
	from, to := max(0, at-before), min(len(said), at+after)
	text := strings.Join(said[from:to], "")
	if from > 0 {
		text = fmt.Sprintf("    (%d lines before)\n", from) + text
	}
	if to < len(said) {
		text += fmt.Sprintf("    (%d lines more)\n", len(said)-to)
	}
	return text
}
