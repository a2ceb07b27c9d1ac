//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

var manCommand = command{name: "man", short: "print the manual page: efdtrace man | man -l -"}

func man(e *env, args []string) int {
	fs := flag.NewFlagSet("man", flag.ContinueOnError)
	if status, ok := parse(e, fs, manCommand, "efdtrace man | man -l -", args); !ok {
		return status
	}
	if fs.NArg() > 0 {
		return e.badUsage("man", "%q: takes no arguments", fs.Arg(0))
	}
	writeMan(e.stdout)
	return exitOK
}

// roff is text of a manual page: hyphens that are typed, and no line that is a
// request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, `-`, `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// writeMan writes efdtrace(1), in the macros of man(7).
func writeMan(w io.Writer) {
	fmt.Fprint(w, `.\" Made by "efdtrace man".
.TH EFDTRACE 1 "" "efd" "User Commands"
.SH NAME
efdtrace \- show the kernel's path of eventfd, poll, select and epoll calls
.SH SYNOPSIS
`)
	all := definitions()
	for _, d := range all {
		fmt.Fprintf(w, ".B efdtrace %s\n%s\n.br\n", d.name, roff(d.args))
	}
	fmt.Fprint(w, `.SH DESCRIPTION
.B efdtrace
shows which functions of the kernel call which in these system calls: as documented for a kernel version,
and as the running kernel was seen to, edge by edge, with a verdict.
Options stand before other arguments.
.SH SUB\-COMMANDS
`)
	for _, d := range all {
		fmt.Fprintf(w, ".SS efdtrace %s %s\n%s.\n", d.name, roff(d.args), roff(strings.ToUpper(d.short[:1])+d.short[1:]))
		for _, f := range d.flags {
			fmt.Fprintf(w, ".TP\n.B \\-%s", roff(f.name))
			if f.arg != "" {
				fmt.Fprintf(w, " \\fI%s\\fP", roff(f.arg))
			}
			fmt.Fprintf(w, "\n%s\n", roff(f.usage))
		}
		if d.more != "" {
			fmt.Fprintf(w, ".PP\n%s\n", strings.ReplaceAll(roff(d.more), "\n  ", "\n.PP\n"))
		}
		fmt.Fprintf(w, ".PP\nExample:\n.PP\n.nf\n    %s\n.fi\n", roff(d.example))
	}
	fmt.Fprintf(w, ".SH EXIT STATUS\n%s", roff(statusUsage))
	fmt.Fprint(w, `.SH ENVIRONMENT
.TP
.B COLUMNS
the width of the text, if standard output is no terminal
.TP
.B NO_COLOR
no colours
.SH SEE ALSO
.BR eventfd (2),
.BR poll (2),
.BR select (2),
.BR epoll (7),
.BR perf_event_open (2),
.BR strace (1)
`)
}
