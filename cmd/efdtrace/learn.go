//go:build linux

package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/learn"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
)

var learnCommand = command{name: "learn", args: "[-all] [-write DIR] [LESSON…]",
	short: "short lessons: predict, run the real thing, see what the kernel did"}

func init() {
	learnCommand.run = runLearn
	commands = append(commands, learnCommand)
}

func runLearn(e *env, args []string) int {
	fs := flag.NewFlagSet("learn", flag.ContinueOnError)
	all := fs.Bool("all", false, "run all lessons")
	dir := fs.String("write", "", "write the lessons as Markdown into this `directory`")
	if status, ok := parse(e, fs, learnCommand, "efdtrace learn filtered", args); !ok {
		return status
	}
	ctx, stop := untilSignal()
	defer stop()
	if *dir != "" {
		return writeLessons(ctx, e, *dir)
	}
	lessons := learn.Lessons
	if !*all {
		if fs.NArg() == 0 {
			return listLessons(e)
		}
		lessons = nil
		for _, name := range fs.Args() {
			l, err := learn.Find(name)
			if err != nil {
				fmt.Fprintln(e.stderr, "efdtrace learn:", err)
				return exitUsage
			}
			lessons = append(lessons, l)
		}
	}
	return teach(ctx, e, lessons)
}

func listLessons(e *env) int {
	for _, l := range learn.Lessons {
		fmt.Fprintf(e.stdout, "  %-11s %s\n", l.Name+l.Mark(), l.Title)
	}
	fmt.Fprint(e.stdout, "\nefdtrace learn LESSON runs one; as root those marked * are shown as observed on this kernel too.\nTo read them without running anything: docs/learn.\n")
	return exitOK
}

func writeLessons(ctx context.Context, e *env, dir string) int {
	pages, err := learn.Markdown(ctx)
	if err == nil {
		err = learn.Write(dir, pages)
	}
	if err != nil {
		fmt.Fprintln(e.stderr, "efdtrace learn:", err)
		return cannot(ctx)
	}
	fmt.Fprintf(e.stderr, "wrote %d pages to %s\n", len(pages), dir)
	return exitOK
}

// teacher runs lessons.
type teacher struct {
	e     *env
	text  *render.Text
	paths func(string) *ktrace.Path
	keys  *bufio.Reader // nil without a terminal
}

func teach(ctx context.Context, e *env, lessons []*learn.Lesson) int {
	paths, err := documented("")
	if err != nil {
		fmt.Fprintln(e.stderr, "efdtrace learn:", err)
		return exitCannot
	}
	t := &teacher{e: e, text: render.NewText(e.stdout, colour(e.stdout)), paths: paths}
	if in, ok := e.stdin.(io.Writer); ok && isTerminal(in) && isTerminal(e.stdout) {
		t.keys = bufio.NewReader(e.stdin)
	}
	for _, l := range lessons {
		if err := t.lesson(ctx, l); err != nil {
			fmt.Fprintln(e.stderr, "efdtrace learn:", err)
			return cannot(ctx)
		}
	}
	return exitOK
}

func (t *teacher) lesson(ctx context.Context, l *learn.Lesson) error {
	t.text.Heading(l.Title)
	t.text.Para("", "Predict: "+l.Question)
	if t.keys != nil {
		fmt.Fprint(t.e.stdout, "\n(Enter runs it) ")
		pressed := make(chan error, 1)
		go func(keys *bufio.Reader) {
			_, err := keys.ReadString('\n')
			pressed <- err
		}(t.keys)
		select {
		case err := <-pressed:
			if err != nil {
				t.keys = nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	log, err := l.Run(ctx)
	if err != nil {
		return err
	}
	explained, err := l.Explained(log, t.paths)
	if err != nil {
		return err
	}
	t.text.Printf("\n%s\n\n%s\n", t.text.Bold("What happened (thread "+log.Threads()+"; renumbered)"), explained)
	t.text.Para("", l.Answer)
	t.observed(ctx, l)
	if wrong := l.Corrections(t.paths); len(wrong) > 0 {
		t.text.Printf("\n%s\n", t.text.Bold("What articles get wrong here"))
		for _, w := range wrong {
			t.text.Hanging("- ", fmt.Sprintf("\"%s\" In truth: %s", w.Wrong, w.Text))
		}
	}
	t.text.Printf("\n")
	return nil
}

// observed shows the same on this kernel under observation, if it can be
// observed.
func (t *teacher) observed(ctx context.Context, l *learn.Lesson) {
	if l.Scenario == "" {
		return
	}
	watcher := lab.Open()
	defer watcher.Close()
	if watcher.Denied != nil {
		t.text.Printf("\n")
		t.text.Para("", "Not observed here: "+strings.TrimSuffix(watcher.Denied.Error(), ".")+". efdtrace doctor lists the requirements.")
		return
	}
	found, err := scenario.Find(false, l.Scenario)
	if err != nil || len(found) == 0 {
		return
	}
	t.text.Printf("\n%s\n", t.text.Bold("As observed on this kernel: "+found[0].Title))
	d := &demonstration{lab: watcher, text: t.text, tally: map[[2]string]ktrace.Verdict{}}
	d.trial(watcher.Run(ctx, found[0]))
	d.unwatched()
}
