//go:build linux

package main

import (
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/explain"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/learn"
	"github.com/efd-go/efd/internal/scenario"
)

// definition is a sub-command as its own flag set defines it.
type definition struct {
	command
	example string
	flags   []flagDefinition
}

type flagDefinition struct {
	name, arg, usage string   // arg is "" for a switch
	values           []string // all that it takes, nil if these are not a few
}

// definitions returns every sub-command's. Each defines its flags in its own
// function, which ends when it parses them.
func definitions() (all []definition) {
	for _, c := range commands {
		e := &env{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
		e.defined = func(fs *flag.FlagSet, c command, example string) {
			d := definition{command: c, example: example}
			fs.VisitAll(func(f *flag.Flag) {
				arg, usage := flag.UnquoteUsage(f)
				d.flags = append(d.flags, flagDefinition{f.Name, arg, usage, flagValues(c.name, f.Name)})
			})
			all = append(all, d)
		}
		c.run(e, nil)
	}
	return all
}

// flagValues are the values of a flag that takes one of a few.
func flagValues(command, name string) []string {
	switch command + " -" + name {
	case "run -format", "verify -format":
		return formats
	case "replay -format":
		return slices.DeleteFunc(slices.Clone(formats), func(f string) bool { return f == "recording" })
	case "explain -format":
		return []string{"text", "jsonl", "trace-event", "folded", "html"}
	case "explain -only":
		return []string{"warnings"}
	case "explain -paths":
		return []string{"none", "once", "all"}
	}
	return nil
}

// words are the names that a sub-command takes, and those of explain's -code.
// The completions ask the installed command for them.
func words(command string) []string {
	switch command {
	case "path":
		return catalog.Default().Names()
	case "verify", "demo":
		return scenario.Names()
	case "learn":
		var names []string
		for _, l := range learn.Lessons {
			names = append(names, l.Name)
		}
		return names
	case "explain":
		return append([]string{"list"}, explain.Codes()...)
	case "completion":
		return shells
	}
	return nil
}
