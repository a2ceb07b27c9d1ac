//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/efd-go/efd/internal/explain"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

var explainCommand = command{
	name: "explain", args: "[-json] [-paths none|once|all] [-kernel V] [-pid N] [-fd N] [-only warnings] [-o FILE] [-format F] [FILE…]",
	short: "an strace log with the kernel path of each of its calls",
	more: "Without FILE, or with -, it reads standard input. In text each line of the log comes out as it is;\n" +
		"the remarks on it follow below it, after \"#:\". A line of the log that begins so is announced\n" +
		"by one that says so. On a terminal its control characters are escaped.\n" +
		"Brackets after a remark have the documented paths of the call, and after a colon the branches of\n" +
		"them that it took: efdtrace path NAME shows a path.",
}

func init() {
	explainCommand.run = runExplain
	commands = append(commands, explainCommand)
}

const explainExample = "strace -f -ttt -T -yy -o LOG -- python3 -m http.server; efdtrace explain LOG"

func runExplain(e *env, args []string) int {
	fs := flag.NewFlagSet("explain", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "a JSON object per line")
	kernel := fs.String("kernel", "", "paths of this kernel version (default: the running one)")
	pid := fs.Int("pid", 0, "only lines of this thread `ID`")
	out := fs.String("o", "", "write to this `file` instead of standard output")
	format := fs.String("format", "text", "text, jsonl (as -json), trace-event, folded or html")
	only := fs.String("only", "", "print nothing but the `warnings`, the most serious first")
	code := fs.String("code", "", "say more of a warning, by its `code`; list for all")
	trees := fs.String("paths", "none", "the kernel's path below a call: none, once (where it is new) or all")
	fd := fs.Int("fd", -1, "only calls about this `descriptor`")
	if status, ok := parse(e, fs, explainCommand, explainExample, args); !ok {
		return status
	}
	paths, err := documented(*kernel)
	if err != nil {
		fmt.Fprintln(e.stderr, "efdtrace explain: -kernel:", err)
		return exitUsage
	}
	if *pid < 0 || *fd < -1 {
		fmt.Fprintln(e.stderr, "efdtrace explain: -pid and -fd take numbers from 0")
		return exitUsage
	}
	if *asJSON {
		if given(fs, "format") && *format != "jsonl" {
			fmt.Fprintf(e.stderr, "efdtrace explain: -json and -format %s exclude each other: -json is -format jsonl\n", *format)
			return exitUsage
		}
		*format = "jsonl"
	}
	if *format != "text" && !slices.Contains(render.Formats, *format) {
		fmt.Fprintf(e.stderr, "efdtrace explain: -format %s: there are text %s\n", *format, strings.Join(render.Formats, " "))
		return exitUsage
	}
	if *code != "" {
		return explainCode(e, *code, fs.Args())
	}
	if *only != "" && *only != explain.OnlyWarnings {
		fmt.Fprintf(e.stderr, "efdtrace explain: -only %s: there is warnings\n", *only)
		return exitUsage
	}
	if !slices.Contains([]string{"none", "once", "all"}, *trees) {
		fmt.Fprintf(e.stderr, "efdtrace explain: -paths %s: there are none, once and all\n", *trees)
		return exitUsage
	}
	if *trees == "none" && *format == "text" {
		paths = nil
	}
	logKernel := *kernel
	if *kernel == "" {
		*kernel = runningKernel()
	}
	x := &explainer{env: e, format: *format, kernel: *kernel, logKernel: logKernel, o: explain.Options{Only: *only, NoPaths: tooOld(*kernel), PID: *pid, FD: *fd, Paths: paths, EachPath: *trees == "all", Fold: true, ASCII: !utf8Locale()}}
	defer e.limitMemory(logMemory)()
	return x.run(*out, fs.Args())
}

// explainer explains one input after the other.
type explainer struct {
	env       *env
	format    string
	kernel    string
	logKernel string // as -kernel gave it, "" without
	o         explain.Options

	mu  sync.Mutex
	out *outFile // that is being written, nil for none
}

// run explains the logs of those names to standard output, or to out.
func (x *explainer) run(out string, names []string) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	if out == "" {
		x.o.Color, x.o.Terminal, x.o.Width = colour(x.env.stdout), isTerminal(x.env.stdout), columns(x.env.stdout)
		return x.status(context.Background(), x.files(names))
	}
	ctx, stop := untilSignal()
	defer stop()
	done := make(chan error, 1)
	go func() { done <- x.to(ctx, out, names) }()
	select {
	case err := <-done:
		return x.status(ctx, err)
	case <-ctx.Done():
		// The read of an endless log may go on; its later output is dropped.
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.out != nil {
			x.out.abandon()
		}
		return x.status(ctx, context.Cause(ctx))
	}
}

func (x *explainer) status(ctx context.Context, err error) int {
	if err == nil || errors.Is(err, syscall.EPIPE) { // nobody reads any more
		return exitOK
	}
	fmt.Fprintln(x.env.stderr, "efdtrace explain:", err)
	return cannot(ctx)
}

// to explains the logs to a file, which is opened once the first of them is.
func (x *explainer) to(ctx context.Context, out string, names []string) error {
	first, err := x.open(names[0])
	if err != nil {
		return err
	}
	defer first.Close()
	var inputs []os.FileInfo
	for _, n := range names {
		stat := func() (os.FileInfo, error) { return os.Stat(n) }
		if in, ok := x.env.stdin.(*os.File); ok && n == "-" {
			stat = in.Stat
		}
		if info, err := stat(); err == nil { // else it is said once it is this one's turn
			inputs = append(inputs, info)
		}
	}
	f, err := x.env.createOut(ctx, out, inputs...)
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.out = f
	x.env = x.env.to(f)
	x.mu.Unlock()
	err = cmp.Or(x.log(first, names[0]), x.files(names[1:]))
	x.mu.Lock()
	defer x.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	x.out = nil
	if err != nil {
		f.abandon()
		return err
	}
	return f.keep()
}

func (x *explainer) files(names []string) error {
	for _, name := range names {
		in, err := x.open(name)
		if err != nil {
			return err
		}
		err = x.log(in, name)
		in.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *explainer) open(name string) (io.ReadCloser, error) {
	if name != "-" {
		return os.Open(name)
	}
	return standardInput{x.env.stdin}, nil
}

func (x *explainer) log(in io.Reader, name string) error {
	r, ex := strace.NewReader(in, suffixPID(name)), explain.New()
	ex.Kernel = x.logKernel
	x.o.Flush, x.o.Soon = live(in)
	switch x.format {
	case "text":
		return explain.Text(x.env.stdout, r, ex, x.o)
	case "jsonl":
		return x.lines(r, ex)
	}
	t, err := explain.Timeline(r, ex, x.o, filepath.Base(name), x.kernel)
	if err != nil {
		return err
	}
	if x.format == "folded" && ex.Lengths == 0 {
		fmt.Fprintf(x.env.stderr, "efdtrace explain: %s gives no length of any call, so there is nothing to fold: strace -T, or -f with -ttt, gives them\n", name)
		return nil
	}
	return render.Write(x.env.stdout, x.format, t)
}

func (x *explainer) lines(r *strace.Reader, ex *explain.Explainer) error {
	if err := explain.JSON(x.env.stdout, r, ex, x.o); err != nil {
		return err
	}
	if why := x.o.NoPaths; why != "" {
		fmt.Fprintln(x.env.stderr, "efdtrace explain:", why)
	}
	_, _, lost := ex.Finish(r.Dropped())
	for _, s := range lost {
		fmt.Fprintln(x.env.stderr, "efdtrace explain:", s)
	}
	if s := explain.Unread(r); s != "" {
		fmt.Fprintln(x.env.stderr, "efdtrace explain: unread:", s)
	}
	return nil
}

// suffixPID is the thread that strace -ff names in a file's suffix.
func suffixPID(name string) int {
	pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(name), "."))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// standardInput is read and not closed.
type standardInput struct{ io.Reader }

func (standardInput) Close() error { return nil }

// live reports whether input comes as it is made: then every line goes out at
// once. soon reports whether more of it, or its end, comes within a moment.
func live(in io.Reader) (yes bool, soon func() bool) {
	if std, ok := in.(standardInput); ok {
		in = std.Reader
	}
	f, ok := in.(*os.File)
	if !ok {
		return false, nil
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeCharDevice|os.ModeSocket) == 0 {
		return false, nil
	}
	return true, func() bool {
		var n int
		err := control(f, func(fd uintptr) {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, _ = unix.Poll(fds, int(aMoment/time.Millisecond))
		})
		return err == nil && n > 0
	}
}

// aMoment is how long the last line of a log may wait for the log's end.
const aMoment = 30 * time.Millisecond

// control calls fn with the descriptor of a file.
func control(f *os.File, fn func(fd uintptr)) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return c.Control(fn)
}

// given reports whether a flag is on the command line.
func given(fs *flag.FlagSet, name string) (found bool) {
	fs.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
