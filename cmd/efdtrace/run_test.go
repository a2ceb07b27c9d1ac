//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
	"github.com/efd-go/efd/internal/testenv"
)

// invoke runs a sub-command as main does.
func invoke(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if slices.Contains([]string{"demo", "doctor", "learn", "verify"}, args[0]) {
		testenv.Shared(t, "watchpoints")
	}
	status = run(&env{stdin: in, stdout: &out, stderr: &errs}, args)
	return status, out.String(), errs.String()
}

func needPerf(t *testing.T) {
	t.Helper()
	l := lab.Open()
	defer l.Close()
	testenv.Require(t, tierOf(l.Denied), l.Denied)
}

// tierOf is the tier that an error is about.
func tierOf(err error) string {
	if a, ok := errors.AsType[*ktrace.AccessError](err); ok {
		return a.Tier
	}
	return "perf"
}

func TestBadUsage(t *testing.T) {
	for _, args := range [][]string{
		{"demo", "nosuch"}, {"demo", "-nosuch"}, {"verify", "nosuch"}, {"verify", "-format", "nosuch"},
		{"run"}, {"run", "-p", "1", "--", "true"}, {"run", "-p", "-1"}, {"run", "-p", "0"}, {"run", "-p", "x"}, {"run", "-u", "no such user", "--", "true"}, {"run", "-format", "nosuch", "--", "true"}, {"run", "-format", "recording", "--", "true"},
		{"run", "-u", "x", "-p", "1"}, {"replay"}, {"replay", "a", "b"}, {"replay", "-format", "nosuch", "a"},
	} {
		status, stdout, stderr := invoke(t, args...)
		if status != exitUsage || stdout != "" || stderr == "" || strings.Contains(stderr, "goroutine") {
			t.Errorf("%v: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
	}
}

// TestNamesOfScenarios: a name that is none is told what it is, or what is
// near it.
func TestNamesOfScenarios(t *testing.T) {
	for name, want := range map[string]string{
		"nosuch":        `no scenario "nosuch"; efdtrace verify -list names all`,
		"eventfd_write": `it is a path (efdtrace path eventfd_write), and scenarios that take it are read ppoll pselect6 epoll_wait`,
		"vfio":          `it is a path (efdtrace path vfio), which no scenario takes: it takes a device`,
		"tcp_poll":      `it is a path (efdtrace path tcp_poll)`,
		"epol_wait":     `near it are epoll_wait`,
		"timeout":       `it is a path (efdtrace path timeout), and scenarios that take it are timeout_ppoll`,
		"timeouts":      `near it are timeout_ppoll timeout_pselect6`,
		"":              `no scenario ""; efdtrace verify -list names all`,
	} {
		for _, command := range []string{"demo", "verify"} {
			if status, _, stderr := invoke(t, command, name); status != exitUsage || !strings.Contains(stderr, want) {
				t.Errorf("%s %q: status %d, %q; want %q", command, name, status, stderr, want)
			}
		}
	}
}

func TestHelp(t *testing.T) {
	for _, c := range commands {
		status, stdout, stderr := invoke(t, c.name, "-h")
		if status != exitOK || stderr != "" || !strings.Contains(stdout, "example:") {
			t.Errorf("%s -h: status %d, stderr %q, stdout %q", c.name, status, stderr, stdout)
		}
	}
}

func TestDemo(t *testing.T) {
	status, stdout, stderr := invoke(t, "demo")
	if status != exitOK || stderr != "" {
		t.Fatalf("status %d, stderr %q", status, stderr)
	}
	for l := range strings.Lines(stdout) {
		if n := len([]rune(strings.TrimSuffix(l, "\n"))); n > render.Width {
			t.Errorf("%d wide: %s", n, l)
		}
	}
	l := lab.Open()
	defer l.Close()
	if l.Denied == nil || tierOf(l.Denied) != "architecture" { // whose paths are not documented
		for _, want := range []string{"pollwake", "ep_poll_callback", "autoremove_wake_function", "__wake_up_locked_key", "__pollwake", "default_wake_function", "eventfd_write", `write(`, "ppoll([{fd=", "8 <unfinished ...>", "<... ppoll resumed>) = 1", "__pollwait", "ep_ptable_queue_proc", "remove_wait_queue"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("no %q in the demo", want)
			}
		}
	}
	if l.Denied != nil {
		if n := strings.Count(stdout, "Not observed here"); n != 1 || strings.Count(stdout, "\n") > 60 {
			t.Errorf("what is missing is said %d times, in %d lines", n, strings.Count(stdout, "\n"))
		}
		testenv.Require(t, tierOf(l.Denied), l.Denied)
	}
	for _, want := range []string{"How pollwake came onto", "How ep_poll_callback came onto", "Then the second scan", "· documented eventfd_poll", `"(id 3)" is`, "⋮            functions"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in the demo", want)
		}
	}
	demoCounts(t, stdout)
	if !strings.Contains(stdout, "0 contradicted") || strings.Contains(stdout, "undocumented,") {
		t.Errorf("findings in\n%s", stdout)
	}
}

// demoCounts: the figures at the end are of the signs that were shown, each
// function below its caller once.
func demoCounts(t *testing.T, stdout string) {
	t.Helper()
	i := strings.Index(stdout, " documented calls held against")
	end := strings.Join(strings.Fields(stdout[strings.LastIndex(stdout[:i], "\n"):]), " ")
	figure := func(format string) (n int) {
		if m := regexp.MustCompile(strings.ReplaceAll(format, "N", `(\d+)`)).FindStringSubmatch(end); m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		return n
	}
	total := figure("N documented calls held")
	// Nothing is renamed on some kernels, and none of this is a jump on arm64.
	verdicts := [4]int{figure("N seen,"), figure("N renamed,"), figure("N tail call,"), figure("N inlined,")}
	var shown [4]int
	for l := range strings.Lines(stdout) {
		for i, sign := range []string{"  ✓ seen ", "  ✓ renamed ", "  ↪ tail call ", "  ⊂ inlined "} {
			if strings.HasPrefix(l, sign) {
				shown[i]++
			}
		}
	}
	for i, n := range verdicts {
		if n > shown[i] {
			t.Errorf("%d calls with verdict %d are counted, and %d are shown", n, i, shown[i])
		}
		total -= n
	}
	if total != 0 || verdicts[0] == 0 {
		t.Errorf("the figures differ by %d from their sum: %s", total, end)
	}
}

func TestVerifyJSON(t *testing.T) {
	needPerf(t)
	status, stdout, _ := invoke(t, "verify", "-json", "ppoll", "read")
	if status != exitOK {
		t.Errorf("status %d", status)
	}
	dec := json.NewDecoder(strings.NewReader(stdout))
	dec.DisallowUnknownFields()
	var got verifyJSON
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Scenarios) != 2 || got.Scenarios[0].Status != lab.OK || got.Scenarios[0].System != 10 || len(got.Scenarios[0].Edges) < 20 || got.Kernel == "" || got.Arch == "" || got.Tier == "" {
		t.Errorf("%+v", got)
	}
}

// TestVerifyText: once what the columns and the verdicts mean, and what a
// scenario shows beside the one wake.
func TestVerifyText(t *testing.T) {
	needPerf(t)
	status, stdout, _ := invoke(t, "verify", "ppoll_two", "epoll_exclusive")
	for _, once := range []string{"status       system  scenario ", "An edge is a documented call."} {
		if n := strings.Count(stdout, once); n != 1 {
			t.Errorf("%q is said %d times", once, n)
		}
	}
	if n := strings.Count(stdout, "    also: Thread "); status != exitOK || n != 2 || !strings.Contains(stdout, " slept on in epoll_") {
		t.Errorf("status %d, %d further wakes in\n%s", status, n, stdout)
	}
}

func TestRunPassesTheStatusOn(t *testing.T) {
	needPerf(t)
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 128 + 15} {
		if status, _, stderr := invoke(t, "run", "--", "sh", "-c", script); status != want {
			t.Errorf("sh -c %q: status %d, want %d; %s", script, status, want, stderr)
		}
	}
	if status, _, _ := invoke(t, "run", "--", "/no/such/program"); status != 127 {
		t.Errorf("a program that is not there: status %d", status)
	}
	if status, _, _ := invoke(t, "run", "-p", "2147483647"); status != exitCannot {
		t.Errorf("a process that is not there: status %d", status)
	}
}

// TestWaiter is the program of TestRunAndReplay: it waits for itself.
func TestWaiter(t *testing.T) {
	if os.Getenv("EFDTRACE_TEST_WAITER") == "" {
		t.Skip("is run by another test")
	}
	scenarios, err := scenario.Find(false, "ppoll", "epoll_wait", "read")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // of one wake the tracer's records may be lost
		for _, s := range scenarios {
			if _, err := s.Run(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestRunAndReplay(t *testing.T) {
	needPerf(t)
	t.Setenv("EFDTRACE_TEST_WAITER", "1")
	file := filepath.Join(t.TempDir(), "r.jsonl.gz")
	if status, _, stderr := invoke(t, "run", "-o", file, "-format", "recording", "--", os.Args[0], "-test.run=^TestWaiter$"); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	status, stdout, stderr := invoke(t, "replay", file)
	if status != exitOK || stderr != "" {
		t.Fatalf("replay: status %d: %s", status, stderr)
	}
	// A reader's own function was default_wake_function before 6.4.
	for _, want := range []string{"through pollwake on eventfd ", "through (autoremove|default)_wake_function on eventfd ", "through ep_poll_callback, ep_autoremove_wake_function on eventfd "} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	for _, f := range formats {
		if f == "text" || f == "recording" || testenv.Slow() {
			continue
		}
		if status, stdout, stderr := invoke(t, "replay", "-format", f, file); status != exitOK || stdout == "" {
			t.Errorf("replay -format %s: status %d: %s", f, status, stderr)
		}
	}
}

// backwards is the first line of a text whose time is before that of the line
// above it.
func backwards(text string) string {
	last := 0.0
	for l := range strings.Lines(text) {
		f := strings.Fields(l)
		if len(f) == 0 || !strings.Contains(f[0], ".") {
			continue
		}
		at, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			continue
		}
		if at < last {
			return l
		}
		last = at
	}
	return ""
}

func TestReplayOfRecordings(t *testing.T) {
	testenv.Tree(t, "../../testdata/recordings")
	files, err := filepath.Glob("../../testdata/recordings/*/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, f := range files {
		if status, stdout, stderr := invoke(t, "replay", f); status != exitOK || !strings.Contains(stdout, " woke ") {
			t.Errorf("%s: status %d: %s%s", f, status, stdout, stderr)
		} else if bad := backwards(stdout); bad != "" {
			t.Errorf("%s: before what it follows: %s", f, bad)
		}
	}
	broken := filepath.Join(t.TempDir(), "x.jsonl")
	if err := os.WriteFile(broken, []byte("{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := invoke(t, "replay", broken); status != exitCannot || !strings.Contains(stderr, "replay:") {
		t.Errorf("a broken recording: status %d: %s", status, stderr)
	}
	if !slices.Contains(formats, "recording") {
		t.Error("recording is no form")
	}
}
