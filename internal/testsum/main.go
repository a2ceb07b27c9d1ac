//go:build linux

// Command testsum runs go test and says at the end how many tests passed,
// failed and were skipped, and why each was skipped. Its arguments are those of
// go test. It exits with go test's status. A test program that panics, is killed
// or runs out of time is shown by the tests that had not ended, each with the
// end of its output.
//
// With -total FILE the counts, skips and failures are also added to FILE, and
// testsum -report FILE prints the sum of all runs that were added there.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func main() {
	args := os.Args[1:]
	total := ""
	if len(args) >= 2 && (args[0] == "-total" || args[0] == "-report") {
		total = args[1]
		if args[0] == "-report" {
			os.Exit(report(os.Stdout, total))
		}
		args = args[2:]
	}
	os.Exit(runTests(args, total))
}

// event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

func runTests(args []string, total string) int {
	start := time.Now()
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		return 1
	}
	s := summary{Label: os.Getenv("TESTSUM_LABEL")}
	tests := &run{summary: &s, w: os.Stdout, bar: newBar(os.Stdout)}
	tests.read(out)
	err = cmd.Wait()
	if err != nil && s.Failed == 0 {
		s.addFailure("go test "+strings.Join(args, " "), err.Error()) // no package was reported
	}
	s.print(os.Stdout)
	fmt.Printf("in %.0f s\n", time.Since(start).Seconds())
	if total != "" {
		if err := s.appendTo(total); err != nil {
			fmt.Fprintln(os.Stderr, "testsum:", err)
			return 1
		}
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "testsum:", err)
		return 1
	}
	return 0
}

// summary counts the results of one run, or of several.
type summary struct {
	Label                   string `json:",omitempty"`
	Passed, Failed, Skipped int
	Skips                   map[string][]string // reason to tests
	Failures                []failure           `json:",omitempty"`
}

// failure is a test that failed, or a package if it did so outside of one.
type failure struct {
	Name, Output string
}

// addFailure counts a failure.
func (s *summary) addFailure(name, output string) {
	s.Failed++
	s.Failures = append(s.Failures, failure{name, output})
}

func (s *summary) addSkip(reason string, tests ...string) {
	if s.Skips == nil {
		s.Skips = map[string][]string{}
	}
	s.Skips[reason] = append(s.Skips[reason], tests...)
}

// skipReason is the test's last message before it skipped, without its
// position.
func skipReason(said []string) string {
	for _, line := range slices.Backward(said) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		if _, text, ok := strings.Cut(line, ".go:"); ok {
			if _, text, ok = strings.Cut(text, ": "); ok {
				return text
			}
		}
		return line
	}
	return "no reason given"
}

func (s *summary) print(w io.Writer) {
	reasons := make([]string, 0, len(s.Skips))
	for r := range s.Skips {
		reasons = append(reasons, r)
	}
	slices.Sort(reasons)
	for _, r := range reasons {
		tests := s.Skips[r]
		fmt.Fprintf(w, "skipped %d: %s (%s", len(tests), r, shortTest(tests[0]))
		if len(tests) > 1 {
			fmt.Fprintf(w, " and %d more", len(tests)-1)
		}
		fmt.Fprintln(w, ")")
	}
	for _, f := range s.Failures {
		fmt.Fprintf(w, "failed: %s\n", f.Name)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", s.Passed, s.Failed, s.Skipped)
}

func shortTest(t string) string {
	if i := strings.LastIndex(t, " "); i >= 0 {
		return t[i+1:]
	}
	return t
}

func (s *summary) appendTo(file string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(f).Encode(s); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// report prints each run of file, then their sum; it fails if a test did or
// none ran.
func report(w io.Writer, file string) int {
	f, err := os.Open(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		return 1
	}
	defer f.Close()
	var sum summary
	dec := json.NewDecoder(f)
	for {
		var s summary
		if err := dec.Decode(&s); err == io.EOF {
			break
		} else if err != nil {
			fmt.Fprintln(os.Stderr, "testsum:", err)
			return 1
		}
		fmt.Fprintf(w, "%-32s %6d passed %4d failed %4d skipped\n", s.Label, s.Passed, s.Failed, s.Skipped)
		sum.Passed += s.Passed
		sum.Failed += s.Failed
		sum.Skipped += s.Skipped
		for r, tests := range s.Skips {
			sum.addSkip(s.Label+": "+r, tests...)
		}
		for _, f := range s.Failures {
			sum.Failures = append(sum.Failures, failure{s.Label + ": " + f.Name, f.Output})
		}
	}
	// The messages of some go near the end of the output, since readers look there.
	const most = 10
	for _, f := range sum.Failures[:min(most, len(sum.Failures))] {
		fmt.Fprintf(w, "\n-- %s\n%s\n", f.Name, strings.TrimRight(f.Output, "\n"))
	}
	if len(sum.Failures) > 0 {
		fmt.Fprintln(w)
	}
	sum.print(w)
	if sum.Failed > 0 || sum.Passed == 0 {
		return 1
	}
	return 0
}
