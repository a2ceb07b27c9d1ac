package learn

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
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
			if strings.Count(log, "\n") < 2 || l.Title == "" || l.Question == "" || l.Answer == "" {
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
		if d := differs(want, string(got)); d != "" {
			t.Errorf("%s is stale, efdtrace learn -write docs/learn makes it anew: %s", name, d)
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

func TestFind(t *testing.T) {
	if l, err := Find("poll"); err != nil || l.System != 10 {
		t.Errorf("Find(poll) = %v, %v", l, err)
	}
	if _, err := Find("pol"); err == nil || !strings.Contains(err.Error(), "counter") {
		t.Errorf("Find(pol): %v, want the list", err)
	}
}

// differs describes the first line in which two texts differ.
func differs(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := "", ""
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d: the program writes\n%s\nand the page has\n%s", i+1, a, b)
		}
	}
	return ""
}
