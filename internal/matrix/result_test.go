//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/matrix/wire"
	"github.com/google/go-cmp/cmp"
)

const testOutput = `=== RUN   TestRead
--- PASS: TestRead (0.00s)
=== RUN   TestWatch
    watch_test.go:12: needs watch: perf_event_open: no such device
--- SKIP: TestWatch (0.00s)
=== RUN   TestPoll
=== RUN   TestPoll/late
    poll_test.go:40: 3 ready, want 2
=== RUN   TestPoll/early
    poll_test.go:50: qemu-user does not know it
=== NAME  TestPoll
    poll_test.go:60: one failed
--- FAIL: TestPoll (0.10s)
    --- FAIL: TestPoll/late (0.10s)
    --- SKIP: TestPoll/early (0.10s)
FAIL
`

func TestReadTests(t *testing.T) {
	got := readTests("test .", wire.Frame{Status: 1}, testOutput)
	if got.Status != statusFailed || got.Passed != 1 ||
		!slices.Equal(got.Failed, []string{"TestPoll", "TestPoll/late"}) ||
		!slices.Equal(got.Skipped, []string{"TestWatch: needs watch: perf_event_open: no such device", "TestPoll/early: qemu-user does not know it"}) ||
		!strings.Contains(got.Output, "3 ready, want 2") || strings.Contains(got.Output, "TestRead") {
		t.Errorf("readTests = %+v", got)
	}
	if got := readTests("test .", wire.Frame{Status: wire.TimedOut}, "=== RUN TestX\n"); got.Status != statusFailed || !strings.Contains(got.Output, "time of this step was up") {
		t.Errorf("readTests of a step that was killed = %+v", got)
	}
}

// A program that is asked for its goroutines writes hundreds of lines: the test
// is named, and those of the module are shown.
func TestReadHungTest(t *testing.T) {
	out := "=== RUN   TestDone\n--- PASS: TestDone (0.01s)\n=== RUN   TestHangs\n=== RUN   TestHangs/in\nSIGQUIT: quit\nPC=0x9716c m=0 sigcode=0\n"
	for i := range 100 {
		switch i {
		case 50:
			out += "\ngoroutine 50 [runnable]:\ngithub.com/efd-go/efd/internal/scenario.(*T).spin(0x1)\n\t/src/efd/timeout.go:123 +0x4c\n"
		default:
			out += fmt.Sprintf("\ngoroutine %d [idle]:\nruntime.gopark(0x0)\n\t/usr/local/go/src/runtime/proc.go:462\n", i)
		}
	}
	got := readTests("test .", wire.Frame{Status: wire.TimedOut}, out)
	if !slices.Equal(got.Failed, []string{"TestHangs/in"}) || got.Passed != 1 {
		t.Errorf("failed: %q, %d passed", got.Failed, got.Passed)
	}
	for _, want := range []string{"ended in TestHangs/in\n", "SIGQUIT: quit\n", "timeout.go:123", "time of this step was up"} {
		if !strings.Contains(got.Output, want) {
			t.Errorf("no %q in\n%s", want, got.Output)
		}
	}
	if strings.Contains(got.Output, "gopark") {
		t.Errorf("goroutines that are not the module's:\n%s", got.Output)
	}
}

const verifyOutput = `{"kernel":"6.1.0-56-cloud-amd64","arch":"amd64","tier":"ftrace","scenarios":[
{"name":"ppoll","system":10,"status":"ok","edges":[
 {"caller":"do_sys_poll","callee":"do_poll","verdict":"inlined"},
 {"caller":"eventfd_poll","callee":"__pollwait","verdict":"seen","evidence":"function"},
 {"caller":"a","callee":"b","verdict":"not_observable","evidence":"no source"}]},
{"name":"aio","system":4,"status":"skipped","reason":"io_setup: not implemented"},
{"name":"input","system":15,"status":"skipped","reason":"no such file"},
{"name":"tcp","system":16,"status":"inconclusive","reason":"3 records were lost"},
{"name":"epoll","system":12,"status":"failed","reason":"1 contradicted","edges":[{"caller":"x","callee":"y","verdict":"contradicted"}]}],
"coverage":{"edges":200,"shown":197,"share":0.985},
"witness":{"tracer":"function_graph tracer","functions":90,"edges":100,"saw":99,"share":0.99,"open":[{"caller":"p","callee":"q","verdict":"not_observable","reason":"notrace"}],
 "apart":[{"caller":"schedule","callee":"__schedule","verdict":"seen","reason":"sched:sched_switch","scenarios":["ppoll"]},
  {"caller":"schedule","callee":"__schedule","verdict":"not_observable","reason":"cannot be traced","scenarios":["tcp"]},
  {"caller":"u","callee":"v","verdict":"inlined","reason":"compiled into u","scenarios":["ppoll"]}]}}`

func TestReadVerify(t *testing.T) {
	r := &result{Series: "6.1", Arch: "amd64", Kernel: "6.1.0-56-cloud-amd64", Boot: 2.04, Seconds: 77.7, required: []string{"uinput", "input"}}
	if err := r.readVerify([]byte("panic: no json")); err == nil {
		t.Error("readVerify of no JSON: no error")
	}
	if err := r.readVerify([]byte(verifyOutput)); err != nil || len(r.Verify) != 5 {
		t.Fatalf("readVerify: %+v, %v", r.Verify, err)
	}
	v := r.Verify
	if v[0].Edges["seen"] != 1 || v[0].Edges["inlined"] != 1 || len(v[0].Open) != 1 || v[0].Open[0].Caller != "a" {
		t.Errorf("ppoll = %+v", v[0])
	}
	r.finish()
	if r.Status != statusFailed || r.Reason != "scenario input, scenario epoll, 1 of its scenarios inconclusive, more than 10 %" {
		t.Errorf("status = %q, %q", r.Status, r.Reason)
	}
	var b bytes.Buffer
	markdownTable(&b, []*result{r, {Series: "5.4", Arch: "amd64", Status: statusSkipped, Reason: "gone"}})
	want := `| 6.1.0-56-cloud-amd64 | 2.0 s |  | 1, 2 failed, 1 skipped, 1 inconclusive | 1 | 98.5 % | 99.0 % | 1 | 0 | 78 s | failed |`
	if !strings.Contains(b.String(), want) || !strings.Contains(b.String(), "| 5.4 |  |") {
		t.Errorf("table:\n%s\nwant the row\n%s", b.String(), want)
	}
	b.Reset()
	details(&b, r)
	for _, want := range []string{"x -> y: contradicted", "p -> q: notrace", "not to be traced, and not counted: schedule -> __schedule\n", "compiled into the caller there, and not counted: u -> v\n", "tcp inconclusive: 3 records", "it was skipped: no such file"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in the details:\n%s", want, b.String())
		}
	}
}

func TestTotal(t *testing.T) {
	r := &result{Series: "6.1", Kernel: "6.1.0-56-cloud-amd64", Tests: []tests{readTests("test .", wire.Frame{Status: 1}, testOutput)}}
	if err := r.readVerify([]byte(verifyOutput)); err != nil {
		t.Fatal(err)
	}
	r.finish()
	file := filepath.Join(t.TempDir(), "total")
	if err := addTo(file, []*result{r, {Series: "5.10", Kernel: "5.10.0", Status: statusFailed, Reason: "the guest panicked"}, {Series: "5.4", Status: statusSkipped, Reason: "gone"}}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "run", "github.com/efd-go/efd/internal/testsum", "-report", file).Output()
	if err == nil {
		t.Error("testsum reports no failure")
	}
	for _, want := range []string{
		"6.1.0-56-cloud-amd64                  2 passed    3 failed    5 skipped",
		"5.10.0                                0 passed    1 failed    0 skipped",
		"5.4                                   0 passed    0 failed    1 skipped",
		"skipped 1: 6.1.0-56-cloud-amd64: needs watch: perf_event_open: no such device (TestWatch)",
		"2 passed, 4 failed, 6 skipped",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestLastWords(t *testing.T) {
	log := strings.Repeat("boot\n", 100) + "[1.0] Kernel panic - not syncing: x\n[1.1] CPU: 0\n"
	if got := lastWords(log); !strings.HasPrefix(got, "[1.0] Kernel panic") || !strings.HasSuffix(got, "CPU: 0") {
		t.Errorf("lastWords = %q", got)
	}
	if got := lastWords(strings.Repeat("boot\n", 100)); strings.Count(got, "boot") != 20 {
		t.Errorf("lastWords of a hang = %q", got)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		kernels, mirror, want string
		args                  []string
	}{
		{"", "", "-arch", []string{"-arch", "mips"}},
		{"", "", "-jobs", []string{"-jobs", "0"}},
		{"", "", "takes no arguments", []string{"6.1"}},
		{"six", "", "KERNELS", nil},
		{"", "", "-steps", []string{"-steps", "("}},
		{"", "", "-count 0: at least 1", []string{"-run", "efdtrace", "-count", "0"}},
		{"", "", "-limit -1s: want more than 0", []string{"-limit", "-1s"}},
		{"", "", "-run: the command is empty", []string{"-run", " "}},
		{"", "localhost", "MIRROR", nil},
		{"", "http://", "MIRROR", nil},
		{"", "http://localhost/debian\nTrusted: yes", "MIRROR", nil},
	} {
		t.Setenv("KERNELS", c.kernels)
		t.Setenv("MIRROR", c.mirror)
		var stderr bytes.Buffer
		if status := realMain(t.Context(), c.args, nil, &stderr); status != 2 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("KERNELS=%q matrix %q: status %d, %q", c.kernels, c.args, status, stderr.String())
		}
	}
}

// A run in which no kernel would boot is none that is well.
func TestNothingToRun(t *testing.T) {
	t.Setenv("KERNELS", " ")
	if c, _ := parseArgs(nil, io.Discard); c == nil || c.kernels != defaultKernels {
		t.Errorf("KERNELS of blanks: %+v, want the default series", c)
	}
	c := &config{kernels: "5.4 9.9"}
	p := &progress{w: io.Discard}
	if results, err := c.runAll(t.Context(), kernels(t, "6.1.0-56-cloud-amd64"), func() {}, p); err == nil || !strings.Contains(err.Error(), "the mirror has none of them") {
		t.Errorf("KERNELS=%q: %d results, %v", c.kernels, len(results), err)
	}
}

// What a guest did not do, or did not tell of, is not well.
func TestMissingPieces(t *testing.T) {
	test, verify := wire.Step{Name: "test ."}, wire.Step{Name: verifyStep}
	const (
		passes  = "--- PASS: TestA (0.00s)\nPASS\n"
		fine    = `{"scenarios":[{"name":"ppoll","status":"ok","edges":[{"caller":"a","callee":"b","verdict":"seen"}]}]}`
		finding = `{"scenarios":[{"name":"ppoll","status":"ok","edges":[{"caller":"a","callee":"b","verdict":"contradicted"}]}]}`
	)
	for _, c := range []struct {
		name     string
		job      []wire.Step
		tests    string // "" for a guest that does not run them
		verify   string
		status   int
		required []string
		want     string // of the reason, "" where the kernel is well
	}{
		{name: "all", job: []wire.Step{test, verify}, tests: passes, verify: fine, required: []string{"perf", "ppoll"}},
		{name: "no job", want: "nothing to do"},
		{name: "no tests", job: []wire.Step{test, verify}, verify: fine, want: `without the step "test ."`},
		{name: "no verify", job: []wire.Step{test, verify}, tests: passes, want: `without the step "efdtrace verify"`},
		{name: "no test ran", job: []wire.Step{test}, tests: "testing: warning: no tests to run\nPASS\n", want: "test ."},
		{name: "JSON cut short", job: []wire.Step{verify}, verify: fine[:len(fine)/2], want: verifyStep},
		{name: "a scenario less", job: []wire.Step{verify}, verify: fine, required: []string{"ppoll", "read"}, want: "scenario read"},
		{name: "a finding of a scenario that is ok", job: []wire.Step{verify}, verify: finding, want: "scenario ppoll"},
		{name: "status 1 without a finding", job: []wire.Step{verify}, verify: fine, status: 1, want: verifyStep},
	} {
		r := &result{required: c.required}
		in := &intake{r: r, dir: t.TempDir()}
		if c.tests != "" {
			in.frame(wire.Frame{Kind: wire.Start, Step: test.Name}, nil)
			in.frame(wire.Frame{Kind: wire.Output, Step: test.Name}, []byte(c.tests))
			in.frame(wire.Frame{Kind: wire.End, Step: test.Name}, nil)
		}
		if c.verify != "" {
			in.frame(wire.Frame{Kind: wire.Start, Step: verifyStep}, nil)
			in.frame(wire.Frame{Kind: wire.File, Step: verifyStep, Text: verifyJSON}, []byte(c.verify))
			in.frame(wire.Frame{Kind: wire.End, Step: verifyStep, Status: c.status}, nil)
		}
		in.close(wire.Job{Steps: c.job})
		if r.finish(); (r.Status == statusOK) != (c.want == "") || !strings.Contains(r.Reason, c.want) {
			t.Errorf("%s: %s: %q, want %q", c.name, r.Status, r.Reason, c.want)
		}
	}
}

// A command that runs in place of the tests counts as often as it runs, and one
// that fails is named.
func TestCommands(t *testing.T) {
	c, _ := parseArgs([]string{"-run", "efdtrace verify", "-count", "2", "-limit", "1h"}, io.Discard)
	job := c.job(kernels(t, "6.1.0-56-cloud-amd64")[0], nil)
	if len(job.Steps) != 2 || !slices.Equal(job.Steps[1].Args, []string{"/bin/efdtrace", "verify"}) || job.Steps[1].Timeout != time.Hour {
		t.Fatalf("steps: %+v", job.Steps)
	}
	in := &intake{r: &result{}, dir: t.TempDir(), command: true}
	for i, s := range job.Steps {
		in.frame(wire.Frame{Kind: wire.Start, Step: s.Name}, nil)
		in.frame(wire.Frame{Kind: wire.Output, Step: s.Name}, []byte("words\n"))
		in.frame(wire.Frame{Kind: wire.End, Step: s.Name, Status: i}, nil)
	}
	in.close(job)
	in.r.finish()
	if s := in.r.sums(); s.passed != 1 || s.failed != 1 || in.r.Reason != "efdtrace verify, 2 of 2" || in.r.Tests[1].Output != "words" {
		t.Errorf("%+v: %s, %+v", s, in.r.Reason, in.r.Tests)
	}
}

// A test that hangs is named as the one that failed, and what it waits in is told.
func TestHungTest(t *testing.T) {
	in := &intake{r: &result{}, dir: t.TempDir()}
	in.frame(wire.Frame{Kind: wire.Start, Step: "test ."}, nil)
	in.frame(wire.Frame{Kind: wire.Output, Step: "test ."}, []byte("--- PASS: TestA (0.00s)\n=== RUN   TestB\npanic: test timed out after 2m50s\n\trunning tests:\n\t\tTestB (2m45s)\n\ngoroutine 1 [running]:\n"+strings.Repeat("\tx.go:1\n", 100)))
	in.frame(wire.Frame{Kind: wire.End, Step: "test .", Status: 2}, nil)
	in.r.finish()
	got := in.r.Tests[0]
	if in.r.Status != statusFailed || !slices.Equal(got.Failed, []string{"TestB (2m45s)"}) || !strings.HasPrefix(got.Output, "out of time in TestB (2m45s)\n") || got.Exit != 2 {
		t.Errorf("%s: %+v", in.r.Status, got)
	}
}

// A kernel of which verify cannot tell much is not well.
func TestInconclusive(t *testing.T) {
	for unsure, want := range map[int]string{0: "", 2: "", 3: "3 of its scenarios inconclusive, more than 10 %", 20: "20 of its scenarios inconclusive, more than 10 %"} {
		r := &result{}
		for i := range 20 {
			status := statusOK
			if i < unsure {
				status = "inconclusive"
			}
			r.Verify = append(r.Verify, verdict{Status: status})
		}
		if r.finish(); r.Reason != want || (r.Status == statusOK) != (want == "") {
			t.Errorf("%d inconclusive: %s: %q, want %q", unsure, r.Status, r.Reason, want)
		}
	}
}

// On a kernel that has a function tracer, verify needs it.
func TestWitness(t *testing.T) {
	for _, c := range []struct {
		witness, required, want string
	}{
		{`{"edges":100,"saw":98}`, "ftrace", ""},
		{`{"edges":1000,"saw":979}`, "ftrace", "the function tracer saw 979 of 1000, less than 98 %"},
		{`{"absent":"lockdown","edges":0,"saw":0}`, "ftrace", "no function tracer in verify"},
		{`null`, "ftrace", "no function tracer in verify"},
		{`{"absent":"lockdown","edges":0,"saw":0}`, "perf", ""},
	} {
		r := &result{required: []string{c.required}}
		if err := r.readVerify([]byte(`{"scenarios":[{"name":"ppoll","status":"ok"}],"witness":` + c.witness + `}`)); err != nil {
			t.Fatal(err)
		}
		if r.finish(); r.Reason != c.want || (r.Status == statusOK) != (c.want == "") {
			t.Errorf("%s: %s: %q, want %q", c.witness, r.Status, r.Reason, c.want)
		}
	}
}

// A test program that failed and ran once more counts as it ended, and what
// failed is kept.
func TestOnceMore(t *testing.T) {
	in := &intake{r: &result{}, dir: t.TempDir()}
	run := func(status int, output string) {
		in.frame(wire.Frame{Kind: wire.Start, Step: "test ."}, nil)
		in.frame(wire.Frame{Kind: wire.Output, Step: "test ."}, []byte(output))
		in.frame(wire.Frame{Kind: wire.End, Step: "test .", Status: status}, nil)
	}
	run(1, "--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.00s)\nFAIL\n")
	run(0, "--- PASS: TestA (0.00s)\n--- PASS: TestB (0.00s)\nPASS\n")
	if in.r.finish(); in.r.Status != statusOK || in.err != nil {
		t.Errorf("%s: %s, %v", in.r.Status, in.r.Reason, in.err)
	}
	want := []tests{{Name: "test .", Status: statusOK, Passed: 2, Once: []string{"TestB", "exit status 1"}}}
	if d := cmp.Diff(want, in.r.Tests); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, name := range []string{"test-..log", "test-.-again.log"} {
		if b, err := os.ReadFile(filepath.Join(in.dir, name)); err != nil || !strings.Contains(string(b), "TestB") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	in = &intake{r: &result{}, dir: t.TempDir()}
	run(1, "--- FAIL: TestB (0.00s)\n")
	run(1, "--- FAIL: TestB (0.00s)\n")
	if in.r.finish(); in.r.Status != statusFailed || in.r.Reason != "test ." {
		t.Errorf("twice: %s: %s", in.r.Status, in.r.Reason)
	}
}
