//go:build linux

package recorded_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/scenario/lab"
	"github.com/efd-go/efd/internal/testenv"
)

// Every recording is of calls that took their documented paths: what the judge
// of run finds in one, without being told the scenario, is an error of its own.
func TestNoFindings(t *testing.T) {
	testenv.Tree(t, "../../../testdata/matrix", "../../../testdata/recordings", "../../../testdata/traced")
	err := filepath.WalkDir("../../../testdata", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".jsonl.gz") {
			return err
		}
		name, _ := filepath.Rel("../../../testdata", path)
		t.Run(strings.TrimSuffix(filepath.ToSlash(name), ".jsonl.gz"), func(t *testing.T) {
			t.Parallel()
			k, _, err := lab.Opened(path)
			if err != nil {
				t.Fatal(err)
			}
			judged := 0
			found := func(c *match.Chain, ev *ktrace.Event, what string) {
				if c == nil {
					return
				}
				judged++
				for _, s := range c.Findings() {
					t.Errorf("%s: %s %s -> %s: %s\n%s", what, s.Verdict, s.Caller, s.Callee, s.Evidence, frames(ev.Stack))
				}
			}
			_, err = recorded.Replay(path, k, observe.Options{
				OnWake: func(j *observe.Judged) {
					what := fmt.Sprintf("%s, and %d in %q, at %d, paths %v", j.Describe(), j.Wakee.TID, j.WakeeSyscall, j.Time, j.WakePaths)
					found(j.WakeChain, &j.Waking, what)
					if j.SleepChain != nil {
						found(j.SleepChain, j.Sleep.Chain, fmt.Sprintf("sleep of %d in %q, paths %v", j.Wakee.TID, j.WakeeSyscall, j.SleepPaths))
					}
				},
				OnChange: func(c *observe.Change) {
					found(c.Chain, c.Event, fmt.Sprintf("%d in %q %s %s, path %s", c.Side.TID, c.Syscall, c.What, c.Object, c.Path))
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if judged == 0 {
				t.Error("nothing was judged")
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// frames are those of a chain, leaf first.
func frames(stack []ktrace.Frame) string {
	var names []string
	for _, f := range stack {
		names = append(names, f.Name)
	}
	return strings.Join(names, " < ")
}
