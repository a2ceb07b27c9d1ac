//go:build linux

package efdtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/efd-go/efd"
)

// K has the names, the evidence and the timeline of one test. [New] and [Run]
// make it.
type K struct {
	testing.TB

	evidence Evidence
	why      string // no more evidence
	strict   bool   // EFDTEST=kernel
	begin    time.Duration
	lost     int // records, before it began
	attempt  int // of Run; 0: New
	test     place
	goid     int

	mu         sync.Mutex
	objects    []*Object
	threads    []*Thread
	goroutines []*Goroutine
	acts       []*Act
	steps      []step
	calls      []*call
	dropped    int // of calls
	asserted   int
	unchecked  int
	doubts     []string // why the outcome is inconclusive
	failed     bool
	shown      map[wakeKey]bool // marks in the tables so far; nil: no table yet
	deferred   *[]deferred
	cleanups   []func()
	saved      string // the recording
	ended      bool
}

// New returns the K of a test, one for each. When the test ends, K asserts
// [K.NoLostWakeup] of everything that has a name, cancels the contexts of its
// goroutines, and sets the test's attributes efd.evidence, efd.unchecked and
// efd.lost. New fails the test in a bubble of testing/synctest.
func New(t testing.TB) *K {
	t.Helper()
	k := newK(t)
	t.Cleanup(k.end)
	return k
}

// maxAttempts bounds the repetitions of [Run].
const maxAttempts = 3

// Run calls fn with a new K, and again while the outcome is inconclusive, at
// most 3 times in all. A failure is never repeated. Functions given to the K's
// Cleanup run at the end of the attempt.
func Run(t *testing.T, fn func(k *K)) {
	t.Helper()
	run(t, fn)
}

func run(t testing.TB, fn func(k *K)) {
	t.Helper()
	for i := range maxAttempts {
		k := newK(t)
		k.attempt = i + 1
		func() {
			defer k.end()
			fn(k)
		}()
		if k.failed || len(k.doubts) == 0 || t.Failed() {
			return
		}
	}
}

// newK refuses a bubble before anything is started in it.
func newK(t testing.TB) *K {
	t.Helper()
	k := &K{TB: t, evidence: Proc, begin: mono(), test: testPlace()}
	var bubble bool
	if k.goid, bubble = goroutine(); bubble {
		k.ended = true
		t.Fatalf("efdtest: New in a bubble of testing/synctest: the kernel's time goes on while the bubble's stands still, and a goroutine that waits " +
			"for a descriptor is not durably blocked, so that synctest.Wait and time-outs hang. Test waits for descriptors outside of the bubble")
		return k
	}
	k.gather()
	live.add(k)
	return k
}

// Cleanup registers fn for the end of the test, or of the attempt in [Run].
func (k *K) Cleanup(fn func()) {
	if k.attempt == 0 {
		k.TB.Cleanup(fn)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cleanups = append(k.cleanups, fn)
}

// endFirst has the test end with its objects: clean-ups run from the last to
// the first, and those of the objects were registered before they got a name.
func (k *K) endFirst() {
	if k.attempt == 0 {
		k.TB.Cleanup(k.end)
	}
}

// end keeps the promises of New, once.
func (k *K) end() {
	k.Helper()
	k.mu.Lock()
	was := k.ended
	k.ended = true
	cleanups := k.cleanups
	k.mu.Unlock()
	if was {
		return
	}
	if !k.failed {
		if s := k.lostWakeup(nil); s != nil {
			k.report(s)
		}
	}
	for _, g := range k.goroutines {
		g.stop()
	}
	for _, fn := range slices.Backward(cleanups) {
		fn()
	}
	live.remove(k)
	k.conclude()
}

// conclude reports the evidence, and an outcome that is inconclusive.
func (k *K) conclude() {
	k.Helper()
	k.attr("efd.evidence", string(k.evidence))
	k.attr("efd.unchecked", fmt.Sprint(k.unchecked))
	k.attr("efd.lost", fmt.Sprint(k.lostSince()))
	if len(k.doubts) > 0 && !k.failed {
		k.inconclusive()
	}
	switch line := k.uncheckedLine(); {
	case line == "":
	case k.strict:
		k.failed = true
		k.TB.Errorf("%s", line)
	default:
		k.TB.Logf("%s", line)
	}
}

// uncheckedLine counts the assertions that the evidence does not decide.
func (k *K) uncheckedLine() string {
	if k.unchecked == 0 {
		return ""
	}
	line := fmt.Sprintf("evidence: %s: %d of %s unchecked (who woke, through what)", k.evidence, k.unchecked,
		plural(k.asserted, "assertion"))
	if k.strict {
		line += "; EFDTEST=kernel makes that a failure"
	}
	return line + "; to check them: " + k.why
}

// inconclusive ends an attempt that neither passed nor failed.
func (k *K) inconclusive() {
	k.Helper()
	text := "inconclusive: " + strings.Join(k.doubts, "; ")
	if k.attempt > 0 {
		text = fmt.Sprintf("inconclusive, attempt %d of %d: %s", k.attempt, maxAttempts, strings.Join(k.doubts, "; "))
	}
	switch {
	case k.attempt > 0 && k.attempt < maxAttempts:
		k.TB.Logf("%s", text)
	case k.strict:
		k.failed = true
		k.TB.Errorf("%s; EFDTEST=kernel makes that a failure", text)
	default:
		k.TB.Logf("%s", text)
		skip(k.TB)
	}
}

// skip marks the test as skipped. At its end there is nothing left to leave.
func skip(t testing.TB) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.SkipNow()
	}()
	<-done
}

// optional calls a method that an older testing package, or another
// implementation of testing.TB, may lack.
func optional(fn func()) {
	defer func() {
		var nilTB runtime.Error
		if r := recover(); r != nil {
			if err, ok := r.(error); !ok || !errors.As(err, &nilTB) {
				panic(r)
			}
		}
	}()
	fn()
}

// attr sets an attribute of the test, since Go 1.25.
func (k *K) attr(key, value string) {
	if t, ok := k.TB.(interface{ Attr(key, value string) }); ok {
		optional(func() { t.Attr(key, value) })
	}
}

// artifacts is the directory for the test's files. It outlives the test.
func (k *K) artifacts() (dir string) {
	// Without -artifacts the testing package removes its directory.
	if t, ok := k.TB.(interface{ ArtifactDir() string }); ok && (!isTesting(k.TB) || keepsArtifacts()) {
		optional(func() { dir = t.ArtifactDir() })
	}
	if dir == "" {
		dir, _ = os.MkdirTemp("", "efdtest-")
	}
	return dir
}

// Wakes returns every wake on record since the K began, of the whole process,
// for assertions of one's own. It waits for the records up to now. Without
// kernel evidence there are none.
func (k *K) Wakes() []efd.Wake {
	k.Helper()
	if k.evidence != Kernel {
		return nil
	}
	k.sync(mono())
	return observed.between(k.begin, mono())
}

// context is one for a goroutine, which ends with K.
func (k *K) context() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}
