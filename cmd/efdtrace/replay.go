package main

import (
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

var replayCommand = command{name: "replay", args: "[-format F] [-o FILE] [-runtime] RECORDING", short: "show from a recording what run shows, anywhere and without privileges"}

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
	v, err := newView(e, *out, *format, *rt)
	if err == nil {
		v.title, v.origin = filepath.Base(fs.Arg(0)), "recording"
		err = v.replay(fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(e.stderr, "efdtrace replay: %v\n", err)
		return exitCannot
	}
	if v.findings > 0 {
		return exitFinding
	}
	return exitOK
}

// replay shows a recording. One that was cut off is shown as far as it goes.
func (v *view) replay(file string) error {
	k, h, err := lab.Opened(file)
	if err != nil {
		v.abandon()
		return err
	}
	v.kernel = k
	v.traced(recorded.WitnessOf(h))
	p, err := recorded.Replay(file, v.kernel, observe.Options{OnWake: v.wake, OnCall: v.call, OnChange: v.change})
	if errors.Is(err, record.ErrCut) {
		fmt.Fprintf(v.env.stderr, "efdtrace replay: %v; this is what there is\n", err)
		err = nil
	}
	if err != nil {
		v.abandon()
		return err
	}
	return v.end(p)
}
