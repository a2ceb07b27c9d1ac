//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/scenario/lab"
)

var replayCommand = command{name: "replay", args: "[-format F] [-o FILE] [-runtime] RECORDING", short: "show the output of run from a recording, anywhere and without privileges", more: "RECORDING may be a pipe; - is standard input."}

func init() {
	replayCommand.run = replay
	commands = append(commands, replayCommand)
}

func replay(e *env, args []string) int {
	fs := flag.NewFlagSet("replay", flag.ContinueOnError)
	forms := slices.DeleteFunc(slices.Clone(formats), func(f string) bool { return f == "recording" })
	format := fs.String("format", "text", "`form` of the output: "+strings.Join(forms, ", "))
	out := fs.String("o", "", "write to `FILE` and not to standard output")
	rt := fs.Bool("runtime", false, "show the Go runtime's own poller too")
	if status, ok := parse(e, fs, replayCommand, "efdtrace run -o r.jsonl.gz -format recording -- PROGRAM; efdtrace replay r.jsonl.gz", args); !ok {
		return status
	}
	err := checkFormat(*format, forms)
	if fs.NArg() != 1 {
		err = errors.New("want one recording")
	}
	if err != nil {
		fmt.Fprintf(e.stderr, "efdtrace replay: %v\n", err)
		return exitUsage
	}
	defer e.limitMemory(fileMemory)()
	ctx, stop := untilSignal()
	defer stop()
	v, err := replayed(ctx, e, fs.Arg(0), *out, *format, *rt)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(e.stderr, "efdtrace replay: %v\n", context.Cause(ctx))
		return endedBy(ctx)
	case err != nil:
		fmt.Fprintf(e.stderr, "efdtrace replay: %v\n", err)
		return exitCannot
	case v.findings > 0:
		return exitFinding
	}
	return exitOK
}

// replayed shows the recording of that name, "-" for standard input. The output
// is opened once it is known to be a recording.
func replayed(ctx context.Context, e *env, name, out, format string, goRuntime bool) (*view, error) {
	file, err := openRecording(ctx, e, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	k, h, err := lab.HeaderOf(file)
	if err != nil {
		return nil, err
	}
	var to *outFile
	if out != "" {
		if to, err = e.createOut(ctx, out, file.Info); err != nil {
			return nil, err
		}
	}
	v := newView(e, to, format, goRuntime)
	v.title, v.origin, v.kernel = filepath.Base(name), "recording", k
	v.traced(recorded.WitnessOf(h))
	if name == "-" {
		v.title = "standard input"
	}
	return v, v.replay(ctx, file)
}

// openRecording opens a recording, or ends with ctx: a FIFO may have no writer.
func openRecording(ctx context.Context, e *env, name string) (*record.File, error) {
	type opened struct {
		f   *record.File
		err error
	}
	done := make(chan opened, 1)
	go func() {
		var o opened
		if name == "-" {
			o.f, o.err = record.NewFile(e.stdin, "standard input")
		} else {
			o.f, o.err = record.OpenFile(name)
		}
		done <- o
	}()
	select {
	case o := <-done:
		return o.f, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// replay shows a recording. One that was cut off is shown as far as it goes.
func (v *view) replay(ctx context.Context, file *record.File) error {
	p, err := recorded.ReplayFile(ctx, file, v.kernel, observe.Options{OnWake: v.wake, OnCall: v.call, OnChange: v.change, OnBatch: v.flush})
	if errors.Is(err, record.ErrCut) {
		fmt.Fprintf(v.env.stderr, "efdtrace replay: %v; shown up to there\n", err)
		err = nil
	}
	if err != nil {
		v.abandon()
		return err
	}
	return v.end(p)
}
