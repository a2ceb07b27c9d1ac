package main

import (
	"io"
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
	s.read(strings.NewReader(log), &out)
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
	bad := summary{Label: "c", Failed: 1}
	if err := bad.appendTo(file); err != nil {
		t.Fatal(err)
	}
	if status := report(io.Discard, file); status != 1 {
		t.Errorf("report with a failure = %d, want 1", status)
	}
}
