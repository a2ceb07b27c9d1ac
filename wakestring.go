//go:build linux

package efd

import (
	"strings"
	"time"

	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/plain"
)

// String describes the waker and the wakee, as far as they are known: "thread
// 26105's write woke thread 26111 out of its ppoll on eventfd 29 (id 22),
// through pollwake, in 8.2µs".
func (w Wake) String() string {
	var b strings.Builder
	b.WriteString(w.waker())
	b.WriteString(" woke ")
	b.WriteString(thread(w.Wakee.TID))
	if w.Wakee.Syscall != "" {
		b.WriteString(" out of its " + w.Wakee.Syscall)
	}
	switch {
	case w.Object == "":
	case w.Wakee.Syscall == "":
		b.WriteString(", which waited on " + plain.Text(w.Object))
	default:
		b.WriteString(" on " + plain.Text(w.Object))
	}
	if w.Callback != "" {
		b.WriteString(", through " + w.Callback)
	}
	if w.Latency > 0 {
		b.WriteString(", in " + short(w.Latency))
	}
	if w.Incomplete {
		b.WriteString(" (incomplete)")
	}
	return b.String()
}

// waker names the waker. An interrupt's softirq is a thread's doing only at the
// end of its own send: only then Waker has a thread.
func (w Wake) waker() string {
	by := thread(w.Waker.TID)
	if w.Waker.Syscall != "" {
		by += "'s " + w.Waker.Syscall
	}
	switch c := match.Context(w.Waker.Context); c {
	case match.Task:
		return by
	case match.KWorker:
		if w.Waker.TID == 0 {
			return "a kworker"
		}
		return sprintf("kworker %d", w.Waker.TID)
	case match.SoftIRQ, match.HardIRQ:
		if w.Waker.TID != 0 {
			return by + ", in a " + string(c) + ","
		}
		if w.Path.Name == "timeout" {
			return "a time-out, in a " + string(c) + ","
		}
		return "a " + string(c)
	}
	return "something"
}

// thread names a thread. Those of other PID namespaces have no number here.
func thread(tid int) string {
	if tid <= 0 {
		return "a thread"
	}
	return sprintf("thread %d", tid)
}

// short is a duration with two or three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 100 {
		unit *= 10
	}
	return d.Round(unit).String()
}
