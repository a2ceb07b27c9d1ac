//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What go test -json prints, shortened.
const log = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: want 1, got 2\n"}
{"Action":"fail","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"output","Package":"p","Test":"TestC","Output":"    testenv.go:24: needs perf: perf_event_open: permission denied\n"}
{"Action":"output","Package":"p","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"p","Elapsed":0.1}
`

func TestSummary(t *testing.T) {
	var s summary
	var out strings.Builder
	(&run{summary: &s, w: &out, bar: &bar{}}).read(strings.NewReader(log))
	if s.Passed != 1 || s.Failed != 1 || s.Skipped != 1 {
		t.Errorf("counted %d passed, %d failed, %d skipped, want 1 of each", s.Passed, s.Failed, s.Skipped)
	}
	if tests := s.Skips["needs perf: perf_event_open: permission denied"]; len(tests) != 1 || tests[0] != "p TestC" {
		t.Errorf("skips = %v", s.Skips)
	}
	if !strings.Contains(out.String(), "want 1, got 2") {
		t.Errorf("a failed test's words are missing from\n%s", out.String())
	}
}

func TestReportSums(t *testing.T) {
	file := t.TempDir() + "/total"
	for _, s := range []summary{{Label: "a", Passed: 2}, {Label: "b", Passed: 1, Skipped: 1, Skips: map[string][]string{"why": {"p T"}}}} {
		if err := s.appendTo(file); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if status := report(&out, file); status != 0 {
		t.Errorf("report = %d, want 0", status)
	}
	if want := "skipped 1: b: why (T)\n3 passed, 0 failed, 1 skipped\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("report ends\n%s\nwant\n%s", out.String(), want)
	}
	bad := summary{Label: "c"}
	bad.addFailure("p TestX", "    x_test.go:1: why\n")
	if err := bad.appendTo(file); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if status := report(&out, file); status != 1 {
		t.Errorf("report with a failure = %d, want 1", status)
	}
	want := "\n-- c: p TestX\n    x_test.go:1: why\n\nskipped 1: b: why (T)\nfailed: c: p TestX\n3 passed, 1 failed, 1 skipped\n"
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("report ends\n%s\nwant\n%s", out.String(), want)
	}
}

// Programs whose tests do not end: each is named, with what it said last.
func TestTestsThatDoNotEnd(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string]string{
		"go.mod":                 "module m\n\ngo 1.24\n",
		"hangs/a_test.go":        `t.Log("fine so far"); t.Run("inner", func(t *testing.T) { t.Log("waits"); fmt.Println("the last word"); select {} })`,
		"panics/a_test.go":       `done := make(chan int); go func() { panic("of a goroutine") }(); <-done`,
		"isKilled/a_test.go":     `fmt.Println("kills itself"); syscall.Kill(syscall.Getpid(), syscall.SIGKILL); select {}`,
		"exits/a_test.go":        `fmt.Println("exits"); os.Exit(3)`,
		"failsToBuild/a_test.go": `undefined()`,
	} {
		if strings.HasSuffix(name, ".go") {
			pkg := filepath.Dir(name)
			body = "package " + pkg + "\n\nimport (\n\"fmt\"\n\"os\"\n\"syscall\"\n\"testing\"\n)\n\nvar _, _, _ = fmt.Sprint, os.Exit, syscall.Kill\n\n" +
				"func TestEnds(t *testing.T) {}\n\nfunc Test_" + pkg + "(t *testing.T) {" + body + "}\n"
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-json", "-vet=off", "-timeout=1s", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	log, err := cmd.Output()
	if _, failed := err.(*exec.ExitError); !failed {
		t.Fatalf("go test: %v", err)
	}
	var s summary
	var out strings.Builder
	(&run{summary: &s, w: &out, bar: &bar{}}).read(strings.NewReader(string(log)))
	for _, want := range []string{
		"FAIL  m/hangs Test_hangs/inner did not end", "the last word\n", "panic: test timed out after 1s",
		"FAIL  m/panics Test_panics did not end", "panic: of a goroutine",
		"FAIL  m/isKilled Test_isKilled did not end", "kills itself\n", "signal: killed",
		"FAIL  m/exits Test_exits did not end",
		"undefined: undefined", "FAIL  m/failsToBuild",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if s.Passed != 4 || s.Failed != 5 || len(s.Failures) != 5 {
		t.Errorf("counted %d passed, %d failed: %v", s.Passed, s.Failed, s.Failures)
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// Of a long output the messages stay, and the end.
func TestShortened(t *testing.T) {
	said := []string{"=== RUN   TestX\n", "    x_test.go:1: the first\n"}
	for i := range 1000 {
		said = append(said, "        more\n")
		if i == 500 {
			said = append(said, "    x_test.go:2: the second\n")
		}
	}
	said = append(said, "        "+strings.Repeat("wide", 1000)+"\n", "--- FAIL: TestX (0.00s)\n")
	got := shortened(said)
	for _, want := range []string{"x_test.go:1: the first\n", "x_test.go:2: the second\n", "lines left out)\n", "bytes left out)\n", "--- FAIL: TestX"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	if lines := strings.Count(got, "\n"); lines > 60 || len(got) > 4000 {
		t.Errorf("%d lines, %d bytes", lines, len(got))
	}
	if t.Failed() {
		t.Log(got)
	}
	if got := shortened([]string{"a\n", "b\n"}); got != "a\nb\n" {
		t.Errorf("%q", got)
	}
}

func TestLastWords(t *testing.T) {
	var said []string
	for range 1000 {
		said = append(said, "early\n")
	}
	said = append(said, "panic: here\n")
	for range 1000 {
		said = append(said, "late\n")
	}
	got := lastWords(said)
	if !strings.Contains(got, "panic: here\n") || strings.Count(got, "\n") > 90 {
		t.Errorf("%d lines:\n%s", strings.Count(got, "\n"), got)
	}
	if got := lastWords([]string{"a\n", "b\n"}); got != "a\nb\n" {
		t.Errorf("%q", got)
	}
}
