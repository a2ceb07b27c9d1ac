package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/efd-go/efd/internal/explain"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

var explainCommand = command{
	name: "explain", args: "[-json] [-kernel V] [-pid N] [-fd N] [-o FILE] [-format F] [FILE…]",
	short: "an strace log with the kernel path behind each of its calls",
	more: "Without FILE, or with -, it reads standard input. In text each line of the log comes out as it is;\n" +
		"what is said of it stands below it, behind \"#:\".",
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
	if *out != "" {
		f, err := os.Create(*out)
		if err != nil {
			fmt.Fprintln(e.stderr, "efdtrace explain:", err)
			return exitCannot
		}
		defer f.Close()
		e = e.to(f)
	}
	if *kernel == "" {
		*kernel = runningKernel()
	}
	x := &explainer{env: e, format: *format, kernel: *kernel, o: explain.Options{PID: *pid, FD: *fd, Paths: paths, Color: colour(e.stdout), Flush: livePipe(e)}}
	return x.files(fs.Args())
}

// explainer explains one input after the other.
type explainer struct {
	env    *env
	format string
	kernel string
	o      explain.Options
}

func (x *explainer) files(names []string) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	for _, name := range names {
		if err := x.file(name); err != nil {
			if errors.Is(err, syscall.EPIPE) {
				return exitOK // nobody reads any more
			}
			fmt.Fprintln(x.env.stderr, "efdtrace explain:", err)
			return exitCannot
		}
	}
	return exitOK
}

func (x *explainer) file(name string) error {
	in := x.env.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	return x.log(in, name)
}

func (x *explainer) log(in io.Reader, name string) error {
	r, ex := strace.NewReader(in, suffixPID(name)), explain.New()
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
	return render.Write(x.env.stdout, x.format, t)
}

func (x *explainer) lines(r *strace.Reader, ex *explain.Explainer) error {
	if err := explain.JSON(x.env.stdout, r, ex, x.o); err != nil {
		return err
	}
	_, warnings, lost := ex.Finish(r.Dropped())
	for _, s := range append(warnings, lost...) {
		fmt.Fprintln(x.env.stderr, "efdtrace explain:", s)
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

// livePipe reports whether input comes as it is made: then every line goes out
// at once.
func livePipe(e *env) bool {
	f, ok := e.stdin.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeCharDevice|os.ModeSocket) != 0
}

// given reports whether a flag is on the command line.
func given(fs *flag.FlagSet, name string) (found bool) {
	fs.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
