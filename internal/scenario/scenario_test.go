package scenario_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/efd-go/efd/internal/scenario"
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

func TestEveryScenarioRuns(t *testing.T) {
	for _, s := range scenario.All() {
		t.Run(s.Name, func(t *testing.T) {
			if _, err := s.Run(context.Background(), nil); err != nil {
				if errors.Is(err, scenario.ErrSkip) {
					t.Skip(err)
				}
				t.Fatal(err)
			}
			// Once everything that is made only once exists, a run leaves nothing.
			before := openFDs(t)
			for range 20 {
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
