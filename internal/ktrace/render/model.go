//go:build linux

// Package render writes an observation, or the contents of a log, for people
// and for other programs: JSON lines, trace-event JSON, folded stacks, HTML.
//
// Every writer takes a Timeline. run, verify, replay and explain build one;
// the writers know neither kernel nor log.
package render

import (
	"fmt"

	"github.com/efd-go/efd/internal/ktrace"
)

// Timeline is one picture: threads, their calls, the sleeps of the calls, the
// wakes between threads, and the kernel paths of all these.
type Timeline struct {
	Title   string // the subject: a program, a scenario, a log
	Kernel  string // version that the paths hold for
	Arch    string
	Origin  string // where it comes from: "observed", "recording", "strace log"
	Tier    string // of the observation, "" for a log
	Clock   string // of the times: "CLOCK_MONOTONIC", "the log's", "line numbers"
	Threads []Thread
	Calls   []Call
	Wakes   []Wake
	Paths   []Path
	Notes   []Note
	Lost    uint64 // records that never arrived

	byTID   map[int]int // index into the first of Threads, of which there were indexed
	indexed int
}

// Thread is one track.
type Thread struct {
	PID, TID int
	Comm     string
	Note     string // the role of the thread, such as "Go runtime poller"
}

// Call is one system call. Times are nanoseconds on the timeline's clock.
type Call struct {
	TID        int
	Start, End int64
	Open       bool // it had not returned when the picture ends; End is the end of the picture
	Name       string
	Text       string // as strace prints it
	FD         int    // the descriptor that it is about, -1 if there is none
	Object     string // "eventfd 7 (id 12)", "" if unknown
	Outcome    string // name of the branch that it took: "slept", "eagain", "timeout"
	Summary    string // one plain sentence, "" if there is nothing to say
	Sleeps     []Sleep
	Path       int  // index into Timeline.Paths, -1 for none
	Line       int  // of the log, 0 if there is none
	Runtime    bool // the Go runtime's own, such as its poller's
}

// Sleep is a stretch in which the call's thread was off the CPU of its own
// will.
type Sleep struct {
	From, To int64
	Chain    []string // functions, outermost first
}

// Wake is one wake-up as it was observed. A log has none.
type Wake struct {
	Time      int64 // of the waking
	Running   int64 // when the woken thread was on a CPU, 0 if that was not seen
	Waker     Side
	Wakee     Side
	WakerCall int // index into Timeline.Calls, -1 if it is not known
	WakeeCall int
	Object    string
	By        string // the object of the waker's fd, if that is not Object
	Callback  string // function of the wait-queue entry, by its kernel name
	Path      int    // index into Timeline.Paths, -1 for none
}

// Side is one end of a wake. Context is task, softirq, hardirq, kworker or
// unknown. TID is 0 for an interrupt, and for a softirq that is no thread's own
// doing.
type Side struct {
	PID, TID int
	Comm     string
	Syscall  string
	FD       int // -1 if unknown
	Context  string
	RanIn    *Thread // whom a softirq interrupted, nil if it interrupted none
}

// acts reports whether a thread is the waker.
func (s *Side) acts() bool { return s.Context == "" || s.Context == "task" || s.TID != 0 }

// name is the waker in words.
func (s *Side) name() string {
	switch {
	case !s.acts() && s.RanIn != nil:
		return fmt.Sprintf("%s, which ran in %d %s", s.Context, s.RanIn.TID, s.RanIn.Comm)
	case !s.acts():
		return s.Context
	case s.Syscall != "":
		return fmt.Sprintf("%s %d in %s", s.Comm, s.TID, s.Syscall)
	}
	return fmt.Sprintf("%s %d", s.Comm, s.TID)
}

// Path is a documented path with the verdicts of its edges. Verdicts is empty
// if nothing was observed, otherwise as long as Edges.
type Path struct {
	ktrace.Path
	Branch   string // the branch taken, "" if that is not known
	Verdicts []Verdict
	Chain    []string // the observed functions, outermost first; undocumented ones among them
}

// Verdict belongs to the edge of the same index.
type Verdict struct {
	Verdict  ktrace.Verdict
	Evidence string
}

// Note is something that has to be said about the whole or about one place in
// it. Kind is "warning", "lost" or "note".
type Note struct {
	Kind string
	Text string
	Call int // index into Timeline.Calls, -1 for the whole
	Line int // of the log, 0 if there is none
}
