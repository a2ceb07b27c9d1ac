//go:build linux

package efdtest_test

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/efdtest"
)

// handOver is one wake through an object of the given name.
func handOver(t testing.TB, object string) {
	k := efdtest.New(t)
	q := newQueue(t)
	jobs := k.Name(q, object)
	c := k.Go("consumer", q.Get)
	c.Asleep(jobs)
	put := k.Do("Put", q.Put)
	put.Woke(c)
	c.Done()
	k.Golden("put")
}

// The file is the same on every run, and without kernel evidence but for the
// wakes.
func TestGolden(t *testing.T) {
	needKernel(t)
	for range 10 {
		if r := record(t, func(t testing.TB) { handOver(t, "jobs") }); r.failed || r.skipped {
			t.Fatalf("%q %q", r.failures, r.logged)
		}
	}
	text := record(t, func(t testing.TB) { handOver(t, "tasks") }).wantFailure(t,
		"the timeline differs from testdata/put.golden (- wanted, + got)")
	for _, line := range []string{"  - consumer  ppoll([jobs POLLIN]) sleeps\n",
		"  + consumer  ppoll([tasks POLLIN]) sleeps\n", "    Put       … wakes consumer out of ppoll through pollwake\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
}

func TestGoldenProc(t *testing.T) {
	t.Setenv("EFDTEST", "proc")
	for range 10 {
		r := record(t, func(t testing.TB) { handOver(t, "jobs") })
		if r.failed || r.skipped || r.attrs["efd.unchecked"] != "2" {
			t.Fatalf("%q %q %v", r.failures, r.logged, r.attrs)
		}
	}
	text := record(t, func(t testing.TB) { handOver(t, "tasks") }).wantFailure(t,
		"the timeline differs from testdata/put.golden (- wanted, + got)")
	if strings.Contains(text, "… wakes") {
		t.Errorf("a wake without kernel evidence:\n%s", text)
	}
}

func TestGoldenName(t *testing.T) {
	for name, want := range map[string]string{"../put": `efdtest: Golden "../put": want the name of a file in testdata`,
		"none": "efdtest: Golden: there is no testdata/none.golden: "} {
		r := record(t, func(t testing.TB) { efdtest.New(t).Golden(name) })
		r.wantFailure(t, want)
	}
}
