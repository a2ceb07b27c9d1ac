//go:build linux

package learn

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/learn anew")

const docs = "../../docs/learn"

// Every lesson runs, and each of its steps does what the lesson says.
func TestLessonsRun(t *testing.T) {
	for _, l := range Lessons {
		t.Run(l.Name, func(t *testing.T) {
			log, err := l.Run(t.Context())
			if errors.Is(err, fs.ErrPermission) {
				t.Skipf("needs /proc/self/task: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(log) < 2 || l.Title == "" || l.Question == "" || l.Answer == "" {
				t.Errorf("too little: %q", log)
			}
		})
	}
}

// The written lessons are what the program writes.
func TestDocsAreFresh(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the written lessons have the system calls of amd64")
	}
	testenv.Tree(t, docs)
	pages, err := Markdown(t.Context())
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("needs /proc/self/task: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := Write(docs, pages); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if d := cmp.Diff(want, string(got)); d != "" {
			t.Errorf("%s is stale, efdtrace learn -write docs/learn makes it anew (-program +page):\n%s", name, d)
		}
	}
	entries, err := os.ReadDir(docs)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := pages[e.Name()]; !ok {
			t.Errorf("%s is no lesson's page", e.Name())
		}
	}
}

// The lessons are the same if they are the first that a process does.
func TestDocsAreFreshAlone(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDocsAreFresh$")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestFind(t *testing.T) {
	if l, err := Find("poll"); err != nil || l.System != 10 {
		t.Errorf("Find(poll) = %v, %v", l, err)
	}
	if _, err := Find("pol"); err == nil || !strings.Contains(err.Error(), "counter") {
		t.Errorf("Find(pol): %v, want the list", err)
	}
}

// The lesson shows the write of 0 while the poller sleeps, and as far as the
// wake comes that nobody asked for.
func TestFilteredShowsTheDroppedWake(t *testing.T) {
	page := explained(t, filtered)
	page = strings.ReplaceAll(page, "ppoll_time64", "ppoll") // of a 32-bit program
	ppoll, write, read, back := strings.Index(page, "ppoll("), strings.Index(page, `write(3, "\0`), strings.Index(page, "read(3"), strings.Index(page, "<... ppoll resumed>")
	if ppoll < 0 || !(ppoll < write && write < read && read < back) {
		t.Errorf("ppoll at %d, the write of 0 at %d, the read at %d, the return of ppoll at %d", ppoll, write, read, back)
	}
	dropped, woken, ok := strings.Cut(page, "at the read, which")
	_, dropped, _ = strings.Cut(dropped, "at the write of 0")
	if !ok || !strings.Contains(dropped, "pollwake") || strings.Contains(dropped, "try_to_wake_up") || !strings.Contains(woken, "try_to_wake_up") {
		t.Errorf("the dropped wake:\n%s\nand the other:\n%s", dropped, woken)
	}
	if strings.Contains(page, "the log does not say") {
		t.Error("it is not said that the poller slept")
	}
}

func TestGhostNamesTheDuplicate(t *testing.T) {
	if page := explained(t, ghost); !strings.Contains(page, "eventfd 5, a duplicate of 3 since line 4: made at line 1, in epoll 4 as 3 since line 3") {
		t.Errorf("the story of 5 is not told in\n%s", page)
	}
}

func explained(t *testing.T, l *Lesson) string {
	t.Helper()
	log, err := l.Run(t.Context())
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("needs /proc/self/task: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	page, err := l.Explained(log, docsPath)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// What an article says wrong comes first, then what is true; and only what
// belongs to the lesson.
func TestCorrections(t *testing.T) {
	for _, l := range Lessons {
		wrong := l.Corrections(docsPath)
		for _, c := range wrong {
			if c.Wrong == "" || c.Text == "" || c.Wrong == c.Text {
				t.Errorf("%s: %+v", l.Name, c)
			}
			if l == mask && strings.Contains(c.Text, "poll_list") {
				t.Errorf("%s: %s", l.Name, c.Text)
			}
		}
		if len(l.Topics) > len(wrong) {
			t.Errorf("%s: %d corrections for the topics %q", l.Name, len(wrong), l.Topics)
		}
	}
}

// A lesson with a mark has something to observe.
func TestScenarios(t *testing.T) {
	for _, l := range Lessons {
		if l.Scenario == "" {
			continue
		}
		if found, err := scenario.Find(false, l.Scenario); err != nil || len(found) != 1 {
			t.Errorf("%s: scenario %s: %v", l.Name, l.Scenario, err)
		}
	}
}
