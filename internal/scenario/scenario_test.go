//go:build linux

package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// open lists the descriptors of this process and what each is, less the number
// of a thing that is made anew each time.
func open(t *testing.T) map[string]int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, e := range l {
		what, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // the directory that was read
		}
		kind, _, _ := strings.Cut(what, ":[")
		if strings.HasPrefix(what, "anon_inode:") {
			kind = what
		}
		kinds[kind]++
	}
	return kinds
}

// groups lists the control groups that this process's scenarios have made.
func groups(t *testing.T) []string {
	t.Helper()
	var all []string
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.Contains(line, " - cgroup") {
			l, _ := filepath.Glob(fmt.Sprintf("%s/efd-%d-*", f[4], os.Getpid()))
			all = append(all, l...)
		}
	}
	return all
}

// ended waits for the threads of a run to end: they are told to, and end soon.
func ended(t *testing.T, r *scenario.Result) {
	t.Helper()
	tids := []int{r.Waiter, r.Waker}
	for _, w := range r.Wakes {
		tids = append(tids, w.Waiter, w.Waker)
	}
	limit := time.Now().Add(asleep.Patience(20 * time.Second))
	for _, tid := range tids {
		// Go's runtime never ends the first thread, which may have been one.
		for tid != 0 && tid != os.Getpid() {
			if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid)); err != nil {
				break
			}
			if time.Now().After(limit) {
				t.Fatalf("thread %d is left", tid)
			}
			time.Sleep(100 * time.Microsecond) // a slow machine has the thread to end as well
		}
	}
}

func TestEveryScenarioRuns(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, s := range scenario.All() {
		t.Run(s.Name, func(t *testing.T) {
			if _, err := s.Run(context.Background(), nil); err != nil {
				if errors.Is(err, scenario.ErrSkip) {
					testenv.Require(t, s.Name, err)
				}
				t.Fatal(err)
			}
			// Once everything that is made only once exists, a run leaves nothing.
			before, had := open(t), groups(t)
			rounds := 20
			if testenv.Slow() {
				rounds = 2
			}
			for range rounds {
				r, err := s.Run(context.Background(), nil)
				if err != nil {
					t.Fatal(err)
				}
				stated(t, s, r)
				ended(t, r)
			}
			if d := cmp.Diff(before, open(t)); d != "" {
				t.Errorf("open descriptors (-before +after):\n%s", d)
			}
			if d := cmp.Diff(had, groups(t), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("control groups (-before +after):\n%s", d)
			}
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
				t.Errorf("a child process is left: wait4 gave %d, %v", pid, err)
			}
			if l, err := os.ReadDir(tmp); err != nil || len(l) != 0 {
				t.Errorf("files are left: %v, %v", l, err)
			}
		})
	}
}

// stated: a run states what it brought about, its own wake first.
func stated(t *testing.T, s *scenario.Scenario, r *scenario.Result) {
	t.Helper()
	if len(r.Wakes) == 0 {
		t.Fatal("no wake is stated")
	}
	if own := r.Wakes[0]; own.Source != s.Source || own.Call != s.Waiter || !slices.Equal(own.Through, s.Through) {
		t.Errorf("the first wake is %+v, not the scenario's own", own)
	}
	for _, w := range r.Wakes {
		if w.Waiter == 0 || w.Began == 0 || w.Ended < w.Began || w.Began < r.Began || w.Ended > r.Ended {
			t.Errorf("wake %+v of a run from %d to %d", w, r.Began, r.Ended)
		}
	}
	for _, rest := range r.StillAsleep {
		if slices.ContainsFunc(r.Wakes, func(w scenario.Wake) bool {
			return w.Waiter == rest.TID && w.Began < rest.To && w.Ended > rest.From
		}) {
			t.Errorf("thread %d is woken while it is to rest", rest.TID)
		}
	}
}

func TestOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, s := range scenario.All() {
		if _, err := s.Run(context.Background(), nil); err != nil && !errors.Is(err, scenario.ErrSkip) {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

func TestFind(t *testing.T) {
	if _, err := scenario.Find(false, "nosuch"); err == nil {
		t.Error("an unknown name was found")
	}
	seen := map[string]bool{}
	for _, s := range scenario.All() {
		if seen[s.Name] || s.Name == "" || s.System == 0 || s.Title == "" {
			t.Errorf("scenario %q: system %d, title %q", s.Name, s.System, s.Title)
		}
		seen[s.Name] = true
	}
	if d, err := scenario.Find(true); err != nil || len(d) != 4 {
		t.Errorf("demo has %d scenarios, %v", len(d), err)
	}
}
