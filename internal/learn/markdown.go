//go:build linux

package learn

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// docsKernel is the version whose paths the written lessons show: the newest
// long-term release that the catalogue has reviewed.
var docsKernel = ktrace.Version{Major: 6, Minor: 18}

func docsPath(name string) *ktrace.Path {
	p, err := catalog.Default().Path(name, docsKernel, nil)
	if err != nil {
		return nil
	}
	return p
}

// Markdown runs all lessons and returns the pages of docs/learn, by file name.
func Markdown(ctx context.Context) (map[string]string, error) {
	pages := map[string]string{}
	var index strings.Builder
	index.WriteString("# Lessons\n\nShort lessons on eventfd, poll, select and epoll, each with real calls and what the kernel does behind them.\n" +
		"`efdtrace learn` lists them and `efdtrace learn NAME` runs one on your own kernel; as root it also shows those marked * as observed there.\n\n" +
		"These pages are written by `efdtrace learn -write docs/learn`. Predict first: the answer is below the calls.\n\n| lesson | system | what it is about |\n|---|---|---|\n")
	for _, l := range Lessons {
		page, err := l.markdown(ctx)
		if err != nil {
			return nil, err
		}
		pages[l.Name+".md"] = page
		fmt.Fprintf(&index, "| [%s](%s.md)%s | %d | %s |\n", l.Name, l.Name, l.Mark(), l.System, l.Title)
	}
	pages["README.md"] = index.String()
	return pages, nil
}

func (l *Lesson) markdown(ctx context.Context) (string, error) {
	log, err := l.Run(ctx)
	if err != nil {
		return "", err
	}
	text, err := l.Explained(log, docsPath)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n`efdtrace learn %s` runs this on your own kernel.\n\n## Predict\n\n%s\n\n", l.Title, l.Name, l.Question)
	halves := ""
	if slices.ContainsFunc(log, func(l line) bool { return l.slept }) {
		halves = "A call that slept stands in two halves. "
	}
	fmt.Fprintf(&b, "## What happened\n\nThe calls as strace prints them, thread first: %s. Below each, behind `#:`, what it did, and the documented path on Linux %s where it appears for the first time. "+
		"%sDescriptors, threads and addresses are numbered anew.\n\n```\n%s```\n\n%s\n", log.Threads(), docsKernel, halves, text, l.Answer)
	if wrong := l.Corrections(docsPath); len(wrong) > 0 {
		b.WriteString("\n## What articles get wrong here\n\n")
		for _, w := range wrong {
			fmt.Fprintf(&b, "- \"%s\" In truth: %s\n", w.Wrong, w.Text)
		}
	}
	return b.String(), nil
}

// Write writes pages into a directory, and makes it.
func Write(dir string, pages map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
