# bash completion for efdtrace. Made by "efdtrace completion bash".
_efdtrace() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} sub=${COMP_WORDS[1]} i
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "demo doctor explain learn path replay run verify version completion man waiters help" -- "$cur")
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
	"explain -code") _efdtrace_words explain; return ;;
	"explain -fd") :; return ;;
	"explain -format") mapfile -t COMPREPLY < <(compgen -W "text jsonl trace-event folded html" -- "$cur"); return ;;
	"explain -kernel") :; return ;;
	"explain -o") _efdtrace_files; return ;;
	"explain -only") mapfile -t COMPREPLY < <(compgen -W "warnings" -- "$cur"); return ;;
	"explain -paths") mapfile -t COMPREPLY < <(compgen -W "none once all" -- "$cur"); return ;;
	"explain -pid") mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$cur"); return ;;
	"learn -write") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	"path -catalog") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	"path -diff") :; return ;;
	"path -kernel") :; return ;;
	"replay -format") mapfile -t COMPREPLY < <(compgen -W "text jsonl trace-event folded html" -- "$cur"); return ;;
	"replay -o") _efdtrace_files; return ;;
	"run -format") mapfile -t COMPREPLY < <(compgen -W "text recording jsonl trace-event folded html" -- "$cur"); return ;;
	"run -o") _efdtrace_files; return ;;
	"run -p") mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$cur"); return ;;
	"run -u") mapfile -t COMPREPLY < <(compgen -u -- "$cur"); return ;;
	"verify -format") mapfile -t COMPREPLY < <(compgen -W "text recording jsonl trace-event folded html" -- "$cur"); return ;;
	"verify -o") _efdtrace_files; return ;;
	"waiters -fd") :; return ;;
	"waiters -p") mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$cur"); return ;;
	esac
	case $sub in
	demo)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h" -- "$cur"); else _efdtrace_words demo; fi ;;
	doctor)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h -json" -- "$cur"); else :; fi ;;
	explain)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h -code -fd -format -json -kernel -o -only -paths -pid" -- "$cur"); else _efdtrace_files; fi ;;
	learn)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h -all -write" -- "$cur"); else _efdtrace_words learn; fi ;;
	path)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h -catalog -diff -json -kernel -list" -- "$cur"); else _efdtrace_words path; fi ;;
	replay)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h -format -o -runtime" -- "$cur"); else _efdtrace_files; fi ;;
	run)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h -anonymous -format -o -p -runtime -trace -u -watch --" -- "$cur"); else mapfile -t COMPREPLY < <(compgen -W "--" -- "$cur"); fi ;;
	verify)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h -anonymous -format -json -list -no-tracer -o -v" -- "$cur"); else _efdtrace_words verify; fi ;;
	version)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h -json" -- "$cur"); else :; fi ;;
	completion)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h" -- "$cur"); else _efdtrace_words completion; fi ;;
	man)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h" -- "$cur"); else :; fi ;;
	waiters)
		if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "-h -fd -json -p -watch" -- "$cur"); else :; fi ;;
	esac
}
_efdtrace_files() { compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
_efdtrace_words() { mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" completion words "$1" 2>/dev/null)" -- "$cur"); }
complete -F _efdtrace efdtrace
