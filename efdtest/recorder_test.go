//go:build linux

package efdtest_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

// recorder is a testing.TB that keeps the outcome of a test to itself.
type recorder struct {
	testing.TB
	dir string

	mu               sync.Mutex
	failed, skipped  bool
	failures, logged []string
	attrs            map[string]string
	cleanups         []func()
}

func (r *recorder) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	if text != "" {
		r.failures = append(r.failures, text)
	}
}

func (r *recorder) Helper()                           {}
func (r *recorder) Name() string                      { return r.TB.Name() }
func (r *recorder) ArtifactDir() string               { return r.dir }
func (r *recorder) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }
func (r *recorder) Error(args ...any)                 { r.fail(fmt.Sprint(args...)) }
func (r *recorder) Fail()                             { r.fail("") }
func (r *recorder) FailNow()                          { r.fail(""); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)                 { r.fail(fmt.Sprint(args...)); runtime.Goexit() }

func (r *recorder) Fatalf(format string, args ...any) {
	r.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logged = append(r.logged, fmt.Sprintf(format, args...))
}

func (r *recorder) Skipf(format string, args ...any) {
	r.Logf(format, args...)
	r.SkipNow()
}

func (r *recorder) SkipNow() {
	r.mu.Lock()
	r.skipped = true
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Attr(key, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.attrs == nil {
		r.attrs = map[string]string{}
	}
	r.attrs[key] = value
}

func (r *recorder) Cleanup(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, fn)
}

// record runs a test and returns its outcome; once more if records were lost.
func record(t *testing.T, fn func(t testing.TB)) *recorder {
	t.Helper()
	r := recordOnce(t, fn)
	for range 2 {
		if r.failed || !slices.ContainsFunc(r.logged, func(s string) bool { return strings.Contains(s, " lost during ") }) {
			break
		}
		r = recordOnce(t, fn)
	}
	return r
}

func recordOnce(t *testing.T, fn func(t testing.TB)) *recorder {
	t.Helper()
	r := &recorder{TB: t, dir: t.TempDir()}
	testenv.Within(t, "the recorded test", func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() {
				for _, c := range slices.Backward(r.cleanups) {
					c()
				}
			}()
			fn(r)
		}()
		<-done
	})
	if os.Getenv("EFDTEST_SHOW") != "" {
		fmt.Printf("\n--- %s: failed %v, skipped %v\n%s\n%s\n", t.Name(), r.failed, r.skipped, strings.Join(r.failures,
			"\n"), strings.Join(r.logged, "\n"))
	}
	return r
}

// wantFailure wants one of the failures to begin so.
func (r *recorder) wantFailure(t *testing.T, begin string) string {
	t.Helper()
	for _, f := range r.failures {
		if strings.HasPrefix(f, begin) {
			return f
		}
	}
	t.Errorf("failures: %q; logged: %q; want one that begins with %q", r.failures, r.logged, begin)
	return ""
}
