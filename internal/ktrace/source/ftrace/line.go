//go:build linux

package ftrace

import (
	"strconv"
	"strings"
)

// entry is one line of the tracer's output.
type entry struct {
	cpu, tid     int
	comm         string
	time         int64  // microseconds
	name, parent string // of an exit only with the option funcgraph-tail
	enter, leave bool   // function_graph: "f() {" enters, "}" leaves, "f();" both
	irq          string // "hardirq" or "softirq" if one had the CPU, "" for none and if the line does not show it
	lost         uint64 // instead of all else: so many records were lost
}

// parseLost reads "CPU:1 [LOST 12 EVENTS]".
func parseLost(line string) (entry, bool) {
	rest, ok := strings.CutPrefix(line, "CPU:")
	if !ok {
		return entry{}, false
	}
	cpu, rest, _ := strings.Cut(rest, " [LOST ")
	count, _, ok := strings.Cut(rest, " EVENTS]")
	n, err := strconv.ParseUint(count, 10, 64)
	c, cerr := strconv.Atoi(cpu)
	if !ok || err != nil || cerr != nil {
		return entry{}, false
	}
	return entry{cpu: c, lost: n}, true
}

// parseFunction reads a line of the function tracer:
//
//	init-80      [000] ....     3.178372: __wake_up_locked_key <-eventfd_write
func parseFunction(line string) (entry, bool) {
	head, call, ok := strings.Cut(line, ": ")
	for ok && !strings.Contains(call, " <-") {
		return entry{}, false
	}
	// A task's name may hold ": " itself: the head ends in a time.
	for ok {
		if _, good := seconds(lastField(head)); good {
			break
		}
		var more string
		if more, call, ok = strings.Cut(call, ": "); ok {
			head += ": " + more
		}
	}
	if !ok {
		return entry{}, false
	}
	e := entry{enter: true, leave: true}
	e.time, _ = seconds(lastField(head))
	open := strings.LastIndex(head, " [")
	end := strings.LastIndexByte(head, ']')
	if open < 0 || end < open {
		return entry{}, false
	}
	cpu, err := strconv.Atoi(head[open+2 : end])
	if err != nil {
		return entry{}, false
	}
	e.cpu = cpu
	if e.comm, e.tid, ok = task(strings.TrimSpace(head[:open])); !ok {
		return entry{}, false
	}
	flags, _, _ := strings.Cut(strings.TrimSpace(head[end+1:]), " ")
	e.irq = interrupt(flags)
	name, parent, _ := strings.Cut(call, " <-")
	e.name, e.parent = symbol(name), symbol(parent)
	return e, e.name != ""
}

// parseGraph reads a line of the function_graph tracer with its columns of the
// time, the CPU and the task, and with latency-format one of flags after it:
//
//	37.177486 |   1)    init-82     |  d..1. |               |        pollwake() {
func parseGraph(line string) (entry, bool) {
	cols := strings.Split(line, " | ")
	if len(cols) < 3 {
		return entry{}, false
	}
	var e entry
	var ok bool
	if e.time, ok = seconds(strings.TrimSpace(cols[0])); !ok {
		return entry{}, false
	}
	cpu, owner, ok := strings.Cut(cols[1], ")")
	n, err := strconv.Atoi(strings.TrimSpace(cpu))
	if !ok || err != nil {
		return entry{}, false
	}
	e.cpu = n
	if e.comm, e.tid, ok = task(strings.TrimSpace(owner)); !ok {
		return entry{}, false
	}
	e.irq = interrupt(strings.TrimSpace(cols[2]))
	body := line[strings.LastIndexByte(line, '|')+1:]
	text := strings.TrimSpace(body)
	switch {
	case strings.HasPrefix(text, "}"):
		e.leave = true
		if _, name, ok := strings.Cut(text, "/* "); ok {
			e.name = symbol(name)
		}
		return e, true
	case strings.HasSuffix(text, "{"):
		e.enter = true
	case strings.Contains(text, ");"):
		e.enter, e.leave = true, true
	default:
		return entry{}, false
	}
	name, _, ok := strings.Cut(text, "(")
	e.name = symbol(name)
	return e, ok && e.name != ""
}

// interrupt reads the flags of an entry, such as "d.h1.": the third one is the
// interrupt context. It returns "" for other text.
func interrupt(flags string) string {
	if len(flags) < 4 || len(flags) > 7 || strings.ContainsAny(flags, " :") {
		return ""
	}
	switch flags[2] {
	case 'h', 'H', 'z', 'Z':
		return "hardirq"
	case 's':
		return "softirq"
	}
	return ""
}

// symbol drops the module and the offset of a printed symbol.
func symbol(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), " ")
	s, _, _ = strings.Cut(s, "+")
	return s
}

// task splits a name and a TID at the last hyphen.
func task(s string) (comm string, tid int, ok bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return "", 0, false
	}
	tid, err := strconv.Atoi(s[i+1:])
	return strings.TrimSpace(s[:i]), tid, err == nil && tid >= 0
}

func lastField(s string) string { return s[strings.LastIndexByte(s, ' ')+1:] }

// seconds reads "37.177486" as microseconds.
func seconds(s string) (int64, bool) {
	whole, frac, ok := strings.Cut(s, ".")
	if !ok || len(frac) != 6 || len(whole) > 12 {
		return 0, false
	}
	n, err := strconv.ParseUint(whole+frac, 10, 63)
	return int64(n), err == nil
}
