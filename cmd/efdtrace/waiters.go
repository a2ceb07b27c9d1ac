//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/waiters"
	"golang.org/x/sys/unix"
)

var waitersCommand = command{name: "waiters", args: "[-p PID [-fd N]] [-json] [-watch]", short: "the wait queues as they are: the waiters of each file, with their callbacks",
	more: `Each object has its holders and its state, and below it the entries of its wait queue: the
callback that a wake calls, the thread or the epoll that it wakes, and the functions by which
the entry came onto the queue. The conclusions stand first:
  lost-wake         ready, and a thread that wants it sleeps (exit status 1)
  no-waker          no other process has a descriptor that could wake the thread
  ready-unattended  ready, and nothing makes a thread look at it
  waits-for         a sleeping thread, and all that it waits for

The kernel's memory is read without a lock, again if it changed. It takes CAP_BPF,
CAP_PERFMON and CAP_SYSLOG, and a kernel with type information (Linux 5.8).`}

func init() {
	waitersCommand.run = showWaiters
	commands = append(commands, waitersCommand)
}

// again is how long -watch waits between two looks.
const again = 500 * time.Millisecond

func showWaiters(e *env, args []string) int {
	fs := flag.NewFlagSet("waiters", flag.ContinueOnError)
	pid := fs.Int("p", 0, "the objects of the process `PID` alone, those without waiters too")
	fd := fs.Int("fd", -1, "its descriptor `N` alone")
	asJSON := fs.Bool("json", false, "write one JSON object for each look")
	watch := fs.Bool("watch", false, "look again and again, and show what changes, until interrupted")
	if status, ok := parse(e, fs, waitersCommand, "efdtrace waiters -p $(pidof redis-server)", args); !ok {
		return status
	}
	switch {
	case fs.NArg() > 0:
		return e.badUsage("waiters", "%q: takes no arguments", fs.Arg(0))
	case given(fs, "p") && *pid <= 0:
		return e.badUsage("waiters", "-p %d: want the number of a process", *pid)
	case given(fs, "fd") && (*pid == 0 || *fd < 0):
		return e.badUsage("waiters", "-fd %d: want the number of a descriptor of the process of -p", *fd)
	}
	if *pid > 0 {
		if err := unix.Kill(*pid, 0); err == unix.ESRCH {
			fmt.Fprintf(e.stderr, "efdtrace waiters: -p %d: there is no such process\n", *pid)
			return exitCannot
		}
	}
	l, err := waiters.Open()
	if err != nil {
		fmt.Fprintf(e.stderr, "efdtrace waiters: %v\n", err)
		return exitCannot
	}
	defer l.Close()
	w := watching{e: e, l: l, pid: *pid, fd: *fd, json: *asJSON}
	if !*watch {
		return w.once()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	return w.until(ctx)
}

// watching is one or more looks at the queues.
type watching struct {
	e       *env
	l       *waiters.Looker
	pid, fd int
	json    bool
	last    []string // the lines of the look before
	lost    bool
}

// once looks once.
func (w *watching) once() int {
	r, err := w.look()
	if err != nil {
		return w.failed(err)
	}
	if w.pid > 0 && w.fd >= 0 && len(r.Objects) == 0 {
		fmt.Fprintf(w.e.stderr, "efdtrace waiters: descriptor %d of process %d is not open, or of a kind without known wait queues\n", w.fd, w.pid)
		return exitCannot
	}
	if err := w.write(r); err != nil {
		return w.failed(err)
	}
	return w.status()
}

func (w *watching) failed(err error) int {
	fmt.Fprintf(w.e.stderr, "efdtrace waiters: %v\n", err)
	return exitCannot
}

func (w *watching) status() int {
	if w.lost {
		return exitFinding
	}
	return exitOK
}

func (w *watching) look() (*waiters.Report, error) {
	r, err := w.l.Look(w.pid)
	if err != nil {
		return nil, err
	}
	if w.pid > 0 {
		r.Only(w.pid, w.fd)
	}
	w.lost = w.lost || slices.ContainsFunc(r.Findings, func(f waiters.Finding) bool { return f.Code == waiters.LostWake })
	return r, nil
}

func (w *watching) write(r *waiters.Report) error {
	if w.json {
		enc := json.NewEncoder(w.e.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	}
	waiters.Write(render.NewText(w.e.stdout, colour(w.e.stdout)), r, w.pid > 0)
	return nil
}

// until looks again until ctx is done, and writes the lines that are new after
// a + and those that are gone after a -.
func (w *watching) until(ctx context.Context) int {
	for {
		r, err := w.look()
		if err != nil {
			return w.failed(err)
		}
		if w.json {
			err = w.write(r)
		} else {
			w.changes(r)
		}
		if err != nil {
			return w.failed(err)
		}
		select {
		case <-ctx.Done():
			return w.status()
		case <-time.After(again):
		}
	}
}

func (w *watching) changes(r *waiters.Report) {
	var b bytes.Buffer
	waiters.Write(render.NewText(&b, false), r, w.pid > 0)
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if w.last == nil {
		w.e.stdout.Write(b.Bytes())
	}
	headed := false
	mark := func(of, against []string, sign string) {
		counts := map[string]int{}
		context := ""
		for _, l := range against {
			context = under(context, l)
			counts[context+"\x00"+l]++
		}
		context = ""
		for _, l := range of {
			context = under(context, l)
			if key := context + "\x00" + l; counts[key] > 0 {
				counts[key]--
				continue
			}
			if l == "" {
				continue
			}
			if !headed {
				headed = true
				fmt.Fprintf(w.e.stdout, "\n%s\n", r.At.Format("15:04:05.000"))
			}
			if strings.HasPrefix(l, " ") && context != "" {
				fmt.Fprintf(w.e.stdout, "  %s\n", context)
			}
			fmt.Fprintf(w.e.stdout, "%s %s\n", sign, l)
		}
	}
	if w.last != nil {
		mark(w.last, lines, "-")
		mark(lines, w.last, "+")
	}
	w.last = lines
}

// under is the object that a line belongs to: itself, or the last line that is
// not indented.
func under(context, line string) string {
	if strings.HasPrefix(line, " ") {
		return context
	}
	name, _, _ := strings.Cut(line, ",")
	return name
}
