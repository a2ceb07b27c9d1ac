package scenario_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// openFDs counts the descriptors of this process.
func openFDs(t *testing.T) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

// threads counts the threads of this process.
func threads(t *testing.T) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

// fewThreads waits for threads that are about to end. Go's runtime may have
// made some of its own in the meantime.
func fewThreads(t *testing.T, before int) {
	t.Helper()
	const own = 8
	for end := time.Now().Add(10 * time.Second); threads(t) > before+own; {
		if time.Now().After(end) {
			t.Fatalf("%d threads before, %d after", before, threads(t))
		}
		runtime.Gosched()
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
			before, running := openFDs(t), threads(t)
			runs := 20
			if testing.Short() {
				runs = 3
			}
			for range runs {
				r, err := s.Run(context.Background(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if r.Ended < r.Began || r.Began == 0 {
					t.Errorf("began %d, ended %d", r.Began, r.Ended)
				}
			}
			if after := openFDs(t); after > before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
			fewThreads(t, running)
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
				t.Errorf("a child process is left: wait4 gave %d, %v", pid, err)
			}
			if l, err := os.ReadDir(tmp); err != nil || len(l) != 0 {
				t.Errorf("files are left: %v, %v", l, err)
			}
		})
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
