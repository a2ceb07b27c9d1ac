//go:build linux

// Command efdtrace shows the kernel's path of eventfd, poll, select and epoll
// calls: as documented for a kernel version, and as the running kernel takes
// it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/plain"
	"golang.org/x/sys/unix"
)

// The exit statuses that every sub-command shares. run passes its program's on.
const (
	exitOK      = 0
	exitFinding = 1 // a contradicted or undocumented edge
	exitUsage   = 2
	exitCannot  = 3 // unreadable file, not permitted, everything skipped
)

// command is one sub-command: a line for the list, a usage with an example, and
// its function. run gets the arguments after the sub-command's name.
type command struct {
	name, args, short string
	more              string // printed by -h below the flags, "" for nothing
	run               func(env *env, args []string) int
}

// env is the outside world of a sub-command.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	alone bool // nothing else is in this process, and its memory may be limited

	defined func(fs *flag.FlagSet, c command, example string) // called in place of parsing, if not nil
}

// ofProcess is the outside as this process has it.
func ofProcess() *env {
	return &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, alone: true}
}

// to is the same outside with another standard output.
func (e *env) to(stdout io.Writer) *env {
	other := *e
	other.stdout = stdout
	return &other
}

// commands is the list in the order in which help shows it.
var commands = []command{}

func main() {
	os.Exit(run(ofProcess(), os.Args[1:]))
}

// pollable reports why Go's runtime could not wait for files: it makes an epoll
// and an eventfd at the first one, and gives up if it cannot.
func pollable() error {
	p, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	defer unix.Close(p)
	e, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("eventfd2: %w", err)
	}
	return unix.Close(e)
}

// run runs the sub-command. Standard error may contain names and texts of
// files.
func run(e *env, args []string) int {
	own := *e
	e, own.stderr = &own, &plain.Writer{W: e.stderr}
	if err := pollable(); err != nil {
		fmt.Fprintf(e.stderr, "efdtrace: %v: Go's runtime needs it\n", err)
		return exitCannot
	}
	if len(args) == 0 {
		usage(e.stderr)
		return exitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(e.stdout)
		return exitOK
	case "-version", "--version", "-V":
		args[0] = "version"
	}
	for _, c := range commands {
		if c.name == args[0] {
			return e.checked(c, args[1:])
		}
	}
	fmt.Fprintf(e.stderr, "efdtrace: unknown sub-command %q; valid:", args[0])
	for _, c := range commands {
		fmt.Fprintf(e.stderr, " %s", c.name)
	}
	fmt.Fprintln(e.stderr)
	return exitUsage
}

// checked runs a sub-command. A failed write to standard output is reported
// once and makes the status exitCannot.
func (e *env) checked(c command, args []string) int {
	out := &output{Writer: e.stdout}
	status := c.run(e.to(out), args)
	if out.err != nil && status != exitCannot {
		fmt.Fprintf(e.stderr, "efdtrace %s: %v\n", c.name, out.err)
		status = exitCannot
	}
	return status
}

// badUsage reports a wrong argument.
func (e *env) badUsage(command, format string, a ...any) int {
	fmt.Fprintf(e.stderr, "efdtrace %s: %s\n", command, fmt.Sprintf(format, a...))
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "efdtrace shows the kernel's path of eventfd, poll, select and epoll calls.\n\nusage: efdtrace SUB-COMMAND [ARGUMENTS]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.short)
	}
	fmt.Fprint(w, "\nefdtrace SUB-COMMAND -h explains one of them, with an example.\n\nexit status: ", statusUsage)
}

const statusUsage = `0 success; 1 a contradicted or undocumented edge; 2 bad usage; 3 could not
(unreadable, not permitted, everything skipped). run passes its program's on: 128 + n if
signal n ended it, 127 if there is no such program, 126 if it may not be executed.
`

// parse parses a sub-command's flags. Its second result is false if the
// sub-command must end immediately with the status of the first: after -h, or a
// flag that does not exist.
func parse(e *env, fs *flag.FlagSet, c command, example string, args []string) (status int, ok bool) {
	if e.defined != nil {
		e.defined(fs, c, example)
		return exitOK, false
	}
	fs.Init(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	help := func(w io.Writer) {
		fmt.Fprintf(w, "%s\n\nusage: %s\n", c.short, strings.TrimSpace("efdtrace "+c.name+" "+c.args))
		fs.SetOutput(w)
		fs.PrintDefaults()
		fs.SetOutput(io.Discard)
		if c.more != "" {
			fmt.Fprintf(w, "\n%s\n", c.more)
		}
		fmt.Fprintf(w, "\nexample:\n  %s\n", example)
	}
	switch err := fs.Parse(args); {
	case err == nil:
		if late := lateOption(fs, args); late != "" && c.name != "run" { // the program that run starts has its own
			fmt.Fprintf(e.stderr, "efdtrace %s: %s comes too late: options stand before the other arguments\n", c.name, late)
			return exitUsage, false
		}
		return exitOK, true
	case errors.Is(err, flag.ErrHelp):
		help(e.stdout)
		return exitOK, false
	default:
		fmt.Fprintf(e.stderr, "efdtrace %s: %s\n", c.name, strings.Replace(err.Error(), "parse error", "want a whole number", 1))
		help(e.stderr)
		return exitUsage, false
	}
}

// lateOption returns an option after another argument, which the flag package
// does not parse.
func lateOption(fs *flag.FlagSet, args []string) string {
	if slices.Contains(args, "--") {
		return ""
	}
	for _, a := range fs.Args() {
		name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if strings.HasPrefix(a, "-") && (fs.Lookup(name) != nil || name == "h" || name == "help") {
			return a
		}
	}
	return ""
}
