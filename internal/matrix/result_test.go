package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/matrix/wire"
)

const testOutput = `=== RUN   TestRead
--- PASS: TestRead (0.00s)
=== RUN   TestWatch
    watch_test.go:12: needs watch: perf_event_open: no such device
--- SKIP: TestWatch (0.00s)
=== RUN   TestPoll
=== RUN   TestPoll/late
    poll_test.go:40: 3 ready, want 2
--- FAIL: TestPoll (0.10s)
    --- FAIL: TestPoll/late (0.10s)
FAIL
`

func TestReadTests(t *testing.T) {
	got := readTests("test .", wire.Frame{Status: 1}, testOutput)
	if got.Status != statusFailed || got.Passed != 1 ||
		!slices.Equal(got.Failed, []string{"TestPoll", "TestPoll/late"}) ||
		!slices.Equal(got.Skipped, []string{"TestWatch: needs watch: perf_event_open: no such device"}) ||
		!strings.Contains(got.Output, "3 ready, want 2") {
		t.Errorf("readTests = %+v", got)
	}
	if got := readTests("test .", wire.Frame{Status: wire.TimedOut}, "=== RUN TestX\n"); got.Status != statusFailed || !strings.Contains(got.Output, "time of this step was up") {
		t.Errorf("readTests of a step that was killed = %+v", got)
	}
}

const verifyOutput = `{"kernel":"6.1.0-56-cloud-amd64","arch":"amd64","tier":"ftrace","scenarios":[
{"name":"ppoll","system":10,"status":"ok","edges":[
 {"caller":"do_sys_poll","callee":"do_poll","verdict":"inlined"},
 {"caller":"eventfd_poll","callee":"__pollwait","verdict":"seen","evidence":"function"},
 {"caller":"a","callee":"b","verdict":"not_observable","evidence":"no source"}]},
{"name":"aio","system":4,"status":"skipped","reason":"io_setup: not implemented"},
{"name":"epoll","system":12,"status":"failed","reason":"1 contradicted","edges":[{"caller":"x","callee":"y","verdict":"contradicted"}]}]}`

func TestReadVerify(t *testing.T) {
	v, err := readVerify([]byte(verifyOutput))
	if err != nil || len(v) != 3 {
		t.Fatalf("readVerify = %+v, %v", v, err)
	}
	if v[0].Edges["seen"] != 1 || v[0].Edges["inlined"] != 1 || len(v[0].Open) != 1 || v[0].Open[0].Caller != "a" {
		t.Errorf("ppoll = %+v", v[0])
	}
	if _, err := readVerify([]byte("panic: no json")); err == nil {
		t.Error("readVerify of no JSON: no error")
	}
	r := &result{Series: "6.1", Arch: "amd64", Kernel: "6.1.0-56-cloud-amd64", Verify: v}
	r.finish()
	if r.Status != statusFailed || r.Reason != "scenario epoll" {
		t.Errorf("status = %q, %q", r.Status, r.Reason)
	}
	var b bytes.Buffer
	markdownTable(&b, []*result{r, {Series: "5.4", Arch: "amd64", Status: statusSkipped, Reason: "gone"}})
	want := `| 6.1.0-56-cloud-amd64 | amd64 |  | 1, 1 failed, 1 skipped | 1 | 0 | 0 | 1 | 1 | 1 | 0 | failed |`
	if !strings.Contains(b.String(), want) || !strings.Contains(b.String(), "| 5.4 | amd64 |") {
		t.Errorf("table:\n%s\nwant the row\n%s", b.String(), want)
	}
	b.Reset()
	details(&b, r)
	if !strings.Contains(b.String(), "x -> y: contradicted") {
		t.Errorf("details:\n%s", b.String())
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
		kernels, want string
		args          []string
	}{
		{"", "-arch", []string{"-arch", "mips"}},
		{"", "-jobs", []string{"-jobs", "0"}},
		{"", "takes no arguments", []string{"6.1"}},
		{"six", "KERNELS", nil},
		{"", "-steps", []string{"-steps", "("}},
	} {
		t.Setenv("KERNELS", c.kernels)
		var stderr bytes.Buffer
		if status := realMain(t.Context(), c.args, nil, &stderr); status != 2 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("KERNELS=%q matrix %q: status %d, %q", c.kernels, c.args, status, stderr.String())
		}
	}
}
