//go:build linux

package perf

import (
	"os"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// maxTasks bounds the table of tasks.
const maxTasks = 1 << 14

// initialPIDNS is the inode of the initial PID namespace, fixed by the kernel
// (PROC_PID_INIT_INO).
const initialPIDNS = "pid:[4026531836]"

// InitialPIDNamespace reports whether the target of a /proc/PID/ns/pid link is
// the initial PID namespace.
func InitialPIDNamespace(link string) bool { return link == initialPIDNS }

// OwnProc returns an *ktrace.AccessError if /proc belongs to another PID
// namespace than this process: a PID in it is then another process.
func OwnProc() error {
	is, err := os.Readlink("/proc/self")
	if err == nil && is == strconv.Itoa(os.Getpid()) {
		return nil
	}
	e := &ktrace.AccessError{Tier: "perf", Missing: "/proc is not that of this PID namespace", Change: "mount it there, as unshare --mount-proc does", Err: err}
	if err != nil {
		e.Missing, e.Change = "/proc cannot be read: "+err.Error(), "mount /proc"
	}
	return e
}

// tasks holds the facts about tasks from their records: their names, their
// processes, and their numbers in the observer's PID namespace. The kernel puts
// its own numbers into the fields of a tracepoint and the observer's into the
// head of a record.
type tasks struct {
	initial bool           // the observer is in the initial PID namespace: the numbers are the same
	local   map[int]int    // kernel's number → observer's
	comm    map[int]string // TID → name
	gone    map[int]gone   // TID → the name of a task that has ended
	texts   map[string]string
	process map[int]int // TID → PID
}

// gone is the name that a task had when it ended.
type gone struct {
	comm string
	at   int64
}

func newTasks() *tasks {
	ns, err := os.Readlink("/proc/self/ns/pid")
	return &tasks{
		initial: err == nil && InitialPIDNamespace(ns),
		local:   map[int]int{}, comm: map[int]string{}, gone: map[int]gone{},
		texts: map[string]string{}, process: map[int]int{},
	}
}

// named notes a task's name as a record has it.
func (t *tasks) named(tid int, comm []byte) string {
	if tid <= 0 {
		return string(comm)
	}
	if known, ok := t.comm[tid]; ok && known == string(comm) {
		return known
	}
	if len(t.comm) >= maxTasks {
		clear(t.comm)
	}
	s := strings.ToValidUTF8(string(comm), "\uFFFD")
	t.comm[tid] = s
	return s
}

// name returns the name of a task at a time, from /proc if no record has set
// it.
func (t *tasks) name(tid int, at int64) string {
	if tid < 0 {
		return ""
	}
	if tid == 0 && !t.initial {
		return "" // the idle task, or one of outside the namespace
	}
	if tid == 0 {
		return "swapper"
	}
	if s, ok := t.comm[tid]; ok {
		return s
	}
	if g, ok := t.gone[tid]; ok && at < g.at+exitGrace {
		return g.comm
	}
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/comm")
	if n := len(b); n > 0 {
		b = b[:n-1]
	}
	return t.named(tid, b)
}

func (t *tasks) belongs(tid, pid int) {
	if p, ok := t.process[tid]; ok && p == pid {
		return
	}
	if len(t.process) >= maxTasks {
		clear(t.process)
	}
	t.process[tid] = pid
}

// processOf returns the process of a thread, 0 if it is gone.
func (t *tasks) processOf(tid int) int {
	if p, ok := t.process[tid]; ok {
		return p
	}
	p := ProcessOf(tid)
	t.belongs(tid, p)
	return p
}

// ProcessOf returns the process of a thread, 0 if it is gone.
func ProcessOf(tid int) int { return statusNumber(tid, "Tgid:") }

// Parent returns the process that a process is a child of, 0 if it is gone.
func Parent(pid int) int { return statusNumber(pid, "PPid:") }

// statusNumber is a number that /proc says of a task, 0 if it is gone.
func statusNumber(id int, key string) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(id) + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, key); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(v))
			return n
		}
	}
	return 0
}

// sameTask learns that the kernel's number and the observer's are one task.
func (t *tasks) sameTask(global, local int) {
	if t.initial || local <= 0 {
		return
	}
	if l, ok := t.local[global]; ok && l == local {
		return
	}
	if len(t.local) >= maxTasks {
		clear(t.local)
	}
	t.local[global] = local
}

// buried gives the event of a task that is being buried its number: the head
// of its record has none any more.
func (t *tasks) buried(global int, e *ktrace.Event) {
	if e.TID >= 0 {
		return
	}
	if t.initial {
		e.TID = global
	} else if l, ok := t.local[global]; ok {
		e.TID = l
	}
}

// target fills in Target from GlobalTarget as far as it is known.
func (t *tasks) target(e *ktrace.Event) {
	if e.Source == switchIn {
		return // the observer's numbers already
	}
	if t.initial {
		e.Target = e.GlobalTarget
	} else if l, ok := t.local[e.GlobalTarget]; ok {
		e.Target = l
	}
}

// switchIn is the Source of a record that a task got a CPU.
const switchIn = "perf:switch"

// apply processes a record about tasks. It reports whether the event was such a
// record and nothing else.
func (t *tasks) apply(e *ktrace.Event) bool {
	switch e.Kind {
	case kindFork:
		t.belongs(e.TID, e.PID)
		delete(t.gone, e.TID)
		if c, ok := t.comm[e.Target]; ok {
			t.named(e.TID, []byte(c))
		} else {
			delete(t.comm, e.TID)
		}
	case kindExit:
		if c, ok := t.comm[e.TID]; ok {
			if len(t.gone) >= maxTasks {
				clear(t.gone)
			}
			t.gone[e.TID] = gone{c, e.Time}
		}
		delete(t.comm, e.TID)
		delete(t.process, e.TID)
	case kindComm:
		t.named(e.TID, []byte(e.Comm))
	default:
		return false
	}
	return true
}
