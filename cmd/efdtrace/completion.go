//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

//go:generate go test -run ^TestGeneratedFiles$ -update-generated .

var completionCommand = command{name: "completion", args: strings.Join(shells, "|"), short: "print the completions of a shell",
	more: "bash: source <(efdtrace completion bash), or into /etc/bash_completion.d/efdtrace\n" +
		"zsh:  into a file _efdtrace in a directory of $fpath\n" +
		"fish: into ~/.config/fish/completions/efdtrace.fish"}

var shells = []string{"bash", "zsh", "fish"}

func completion(e *env, args []string) int {
	fs := flag.NewFlagSet("completion", flag.ContinueOnError)
	if status, ok := parse(e, fs, completionCommand, "source <(efdtrace completion bash)", args); !ok {
		return status
	}
	if fs.NArg() == 2 && fs.Arg(0) == "words" { // for the completions themselves
		for _, w := range words(fs.Arg(1)) {
			fmt.Fprintln(e.stdout, w)
		}
		return exitOK
	}
	if fs.NArg() != 1 || !slices.Contains(shells, fs.Arg(0)) {
		return e.badUsage("completion", "%q: want one of %s", strings.Join(fs.Args(), " "), strings.Join(shells, ", "))
	}
	writeCompletion(e.stdout, fs.Arg(0))
	return exitOK
}

func writeCompletion(w io.Writer, shell string) {
	all := definitions()
	switch shell {
	case "bash":
		writeBash(w, all)
	case "zsh":
		writeZsh(w, all)
	case "fish":
		writeFish(w, all)
	}
}

// argKind says how the argument of a flag is completed.
func (f flagDefinition) argKind() string {
	switch {
	case f.arg == "":
		return ""
	case f.values != nil:
		return "values"
	}
	switch f.arg {
	case "file", "FILE":
		return "file"
	case "directory", "DIR":
		return "directory"
	case "USER":
		return "user"
	case "PID", "ID":
		return "pid"
	case "code":
		return "words"
	}
	return "free"
}

// operandKind says how the arguments of a sub-command are completed.
func (d definition) operandKind() string {
	switch d.name {
	case "run":
		return "program"
	case "explain", "replay":
		return "file"
	}
	if words(d.name) != nil {
		return "words"
	}
	return ""
}

// brief is the first line of a text.
func brief(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func writeBash(w io.Writer, all []definition) {
	var names []string
	for _, d := range all {
		names = append(names, d.name)
	}
	fmt.Fprintf(w, `# bash completion for efdtrace. Made by "efdtrace completion bash".
_efdtrace() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} sub=${COMP_WORDS[1]} i
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "%s help" -- "$cur")
		return
	fi
	if [ "$sub" = run ]; then
		for ((i = 2; i < COMP_CWORD; i++)); do
			[ "${COMP_WORDS[i]}" = -- ] || continue
			if [ $((i + 1)) -eq "$COMP_CWORD" ]; then mapfile -t COMPREPLY < <(compgen -c -- "$cur"); else _efdtrace_files; fi
			return
		done
	fi
	# -flag=value is three words.
	if [ "$cur" = = ]; then
		cur=
	elif [ "$prev" = = ]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	case "$sub $prev" in
`, strings.Join(names, " "))
	for _, d := range all {
		for _, f := range d.flags {
			what := ""
			switch f.argKind() {
			case "values":
				what = `mapfile -t COMPREPLY < <(compgen -W "` + strings.Join(f.values, " ") + `" -- "$cur")`
			case "file":
				what = "_efdtrace_files"
			case "directory":
				what = `compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur")`
			case "user":
				what = `mapfile -t COMPREPLY < <(compgen -u -- "$cur")`
			case "pid":
				what = `mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$cur")`
			case "words":
				what = `_efdtrace_words ` + d.name
			case "free":
				what = ":"
			default:
				continue
			}
			fmt.Fprintf(w, "\t\"%s -%s\") %s; return ;;\n", d.name, f.name, what)
		}
	}
	fmt.Fprint(w, "\tesac\n\tcase $sub in\n")
	for _, d := range all {
		flags := []string{"-h"}
		for _, f := range d.flags {
			flags = append(flags, "-"+f.name)
		}
		if d.name == "run" {
			flags = append(flags, "--")
		}
		operands := ":"
		switch d.operandKind() {
		case "file":
			operands = "_efdtrace_files"
		case "program":
			operands = `mapfile -t COMPREPLY < <(compgen -W "--" -- "$cur")`
		case "words":
			operands = "_efdtrace_words " + d.name
		}
		fmt.Fprintf(w, "\t%s)\n\t\tif [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W \"%s\" -- \"$cur\"); else %s; fi ;;\n", d.name, strings.Join(flags, " "), operands)
	}
	fmt.Fprint(w, `	esac
}
_efdtrace_files() { compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
_efdtrace_words() { mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" completion words "$1" 2>/dev/null)" -- "$cur"); }
complete -F _efdtrace efdtrace
`)
}

var zshEscaper = strings.NewReplacer(`'`, `'\''`, `[`, `\[`, `]`, `\]`, `:`, `\:`)

func writeZsh(w io.Writer, all []definition) {
	fmt.Fprint(w, "#compdef efdtrace\n# zsh completion for efdtrace. Made by \"efdtrace completion zsh\".\n_efdtrace() {\n\tlocal command=$words[1] sub\n\tlocal -a subs\n\tsubs=(\n")
	for _, d := range all {
		fmt.Fprintf(w, "\t\t'%s:%s'\n", d.name, zshEscaper.Replace(d.short))
	}
	fmt.Fprint(w, `	)
	if (( CURRENT == 2 )); then
		_describe 'sub-command' subs
		return
	fi
	sub=$words[2]
	shift words
	(( CURRENT-- ))
	case $sub in
`)
	for _, d := range all {
		fmt.Fprintf(w, "\t%s)\n\t\t_arguments", d.name)
		for _, f := range append(d.flags, flagDefinition{name: "h", usage: "help, with an example"}) {
			action := ""
			switch f.argKind() {
			case "values":
				action = "(" + strings.Join(f.values, " ") + ")"
			case "file":
				action = "_files"
			case "directory":
				action = "_files -/"
			case "user":
				action = "_users"
			case "pid":
				action = "_pids"
			case "words":
				action = " _efdtrace_words " + d.name
			}
			spec := "-" + f.name
			if f.arg != "" {
				spec += "="
			}
			spec += "[" + zshEscaper.Replace(brief(f.usage)) + "]"
			if f.arg != "" {
				spec += ":" + f.arg + ":" + action
			}
			fmt.Fprintf(w, " \\\n\t\t\t'%s'", spec)
		}
		switch d.operandKind() {
		case "file":
			fmt.Fprint(w, " \\\n\t\t\t'*:file:_files'")
		case "program":
			fmt.Fprint(w, " \\\n\t\t\t'*::program:_normal'")
		case "words":
			fmt.Fprintf(w, " \\\n\t\t\t'*:name: _efdtrace_words %s'", d.name)
		}
		fmt.Fprint(w, "\n\t\t;;\n")
	}
	fmt.Fprint(w, `	esac
}
_efdtrace_words() {
	local -a names
	names=(${(f)"$($command completion words $1 2>/dev/null)"})
	compadd -a names
}
_efdtrace "$@"
`)
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func writeFish(w io.Writer, all []definition) {
	fmt.Fprint(w, "# fish completion for efdtrace. Made by \"efdtrace completion fish\".\ncomplete -c efdtrace -f\n")
	for _, d := range all {
		fmt.Fprintf(w, "complete -c efdtrace -n __fish_use_subcommand -a %s -d %s\n", d.name, fishQuote(d.short))
	}
	for _, d := range all {
		in := "complete -c efdtrace -n '__fish_seen_subcommand_from " + d.name + "'"
		for _, f := range append(d.flags, flagDefinition{name: "h", usage: "help, with an example"}) {
			option := "-o"
			if len(f.name) == 1 {
				option = "-s"
			}
			arg := ""
			switch f.argKind() {
			case "values":
				arg = " -x -a " + fishQuote(strings.Join(f.values, " "))
			case "file":
				arg = " -r -F"
			case "directory":
				arg = " -x -a '(__fish_complete_directories)'"
			case "user":
				arg = " -x -a '(__fish_complete_users)'"
			case "pid":
				arg = " -x -a '(__fish_complete_pids)'"
			case "words":
				arg = " -x -a '(efdtrace completion words " + d.name + ")'"
			case "free":
				arg = " -x"
			}
			fmt.Fprintf(w, "%s %s %s%s -d %s\n", in, option, f.name, arg, fishQuote(brief(f.usage)))
		}
		switch d.operandKind() {
		case "file":
			fmt.Fprintln(w, in+" -F")
		case "program":
			fmt.Fprintln(w, in+" -a '(__fish_complete_subcommand --fcs-skip=2)'")
		case "words":
			fmt.Fprintf(w, "%s -a '(efdtrace completion words %s)'\n", in, d.name)
		}
	}
}
