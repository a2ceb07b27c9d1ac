//go:build linux

package explain

import (
	"strconv"
	"time"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// say appends words to the sentence.
func (n *Note) say(words ...string) {
	for _, w := range words {
		n.Summary = append(n.Summary, w...)
	}
}

func (n *Note) sayBytes(b []byte) { n.Summary = append(n.Summary, b...) }

func (n *Note) sayInt(v int64) { n.Summary = strconv.AppendInt(n.Summary, v, 10) }

func (n *Note) sayUint(v uint64) {
	if v >= 1<<63 {
		n.say("2^64-")
		n.Summary = strconv.AppendUint(n.Summary, -v, 10)
		return
	}
	n.Summary = strconv.AppendUint(n.Summary, v, 10)
}

func (n *Note) sayTime(d int64) { n.Summary = appendTime(n.Summary, d) }

// appendTime writes a duration in one unit, with up to four digits that count.
func appendTime(b []byte, d int64) []byte {
	unit, name := int64(1), " ns"
	switch {
	case d >= int64(time.Second):
		unit, name = int64(time.Second), " s"
	case d >= int64(time.Millisecond):
		unit, name = int64(time.Millisecond), " ms"
	case d >= int64(time.Microsecond):
		unit, name = int64(time.Microsecond), " µs"
	}
	whole, rest := d/unit, d%unit
	f := int64(0)
	switch {
	case unit == 1:
	case whole < 1000:
		f = (rest*1000 + unit/2) / unit
	case rest >= unit/2:
		whole++
	}
	if f == 1000 {
		f, whole = 0, whole+1
	}
	if whole == 1000 && unit < int64(time.Second) && unit > 1 {
		return appendTime(b, 1000*unit)
	}
	b = strconv.AppendInt(b, whole, 10)
	if f > 0 {
		b = append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, name...)
}

// sayFD names a descriptor: "eventfd 3", "fd 7".
func (n *Note) sayFD(kind string, fd int) {
	if kind == "" {
		kind = "fd"
	}
	n.say(kind, " ")
	n.sayInt(int64(fd))
}

// sayFile names a descriptor, and by its path what has no kind of its own.
func (n *Note) sayFile(f *file, fd int) {
	n.sayFD(f.kind, fd)
	if f.path != "" {
		n.say(" (", f.path, ")")
	}
}

// sayOutcome ends the sentence of a call that waits.
func (n *Note) sayOutcome(c *strace.Call) {
	switch n.Outcome {
	case KilledIn:
		n.say("; its thread is killed in it")
	case Signalled:
		n.say("; a signal ends the wait")
		switch c.Errno {
		case "ERESTARTNOHAND":
			n.say(" (ERESTARTNOHAND: EINTR if a handler runs, otherwise the call is made again)")
		case "ERESTART_RESTARTBLOCK":
			n.say(" (ERESTART_RESTARTBLOCK: EINTR if a handler runs, otherwise restart_syscall goes on with the time left)")
		case "ERESTARTSYS":
			n.say(" (ERESTARTSYS: EINTR if a handler without SA_RESTART runs, otherwise the call is made again)")
		default:
			n.say(" (EINTR)")
		}
	case TimedOut:
		n.say("; sleeps until the time is up")
	case Failed:
		n.say("; fails with ", c.Errno)
		if n.why != "" {
			n.say(": ", n.why)
		}
	case Again:
		n.say("; EAGAIN")
	case AtOnce:
		n.say("; returns at once")
	case Slept:
		n.say("; it slept")
	}
	if c.Injected {
		n.say("; the result is injected by strace: the kernel did not run the call")
		return
	}
	if n.follows = n.span.most < 0 && n.Outcome != Going && n.began.line > 0; n.follows {
		return // else that of the next line says it
	}
	n.sayLength()
}
