//go:build linux

package ktrace

// EventKind is the kind of an event.
type EventKind uint8

const (
	Waking    EventKind = iota + 1 // sched:sched_waking: TID wakes Target; Stack is the waker's
	Switch                         // sched:sched_switch: TID leaves the CPU to Target; Stack is the leaver's
	SysEnter                       // TID enters system call Nr with Args
	SysExit                        // TID leaves system call Nr with Ret
	Watch                          // TID wrote to watched memory; Object and Field say which
	Alloc                          // TID allocated kernel memory; Object is its key
	FuncEntry                      // the function tracer saw a call; Stack has callee and caller
	Started                        // PID is a new process, under a number that another may have had
)

// Event is one thing that one source saw. Times are CLOCK_MONOTONIC
// nanoseconds. Stack is leaf first and has kernel frames only.
type Event struct {
	Kind   EventKind
	Source string // as verdicts name it in their evidence: "sched:sched_waking"
	Time   int64
	CPU    int
	PID    int // of the task that was running, in the observer's PID namespace
	TID    int
	Comm   string

	Target       int // Waking: the wakee. Switch: the next task. Same namespace as TID if known, else GlobalTarget alone is set
	GlobalTarget int // Target in the initial PID namespace, as the kernel's own records have it
	TargetPID    int // the process of Target, 0 if it was not asked for or is not known
	TargetComm   string
	Preempted    bool // Switch: the task was still runnable
	State        int  // Switch: prev_state as the kernel gives it

	Nr   int // SysEnter, SysExit
	Args [6]uint64
	Ret  int64

	Object int    // Watch, Alloc: the eventfd's id if it is known, else a key of the recording
	Field  string // Watch: "count" or "wqh.lock"

	IRQ string // FuncEntry: "hardirq" or "softirq" if one had the CPU, "" for none and if the tracer does not show it

	Stack     []Frame
	Truncated bool // the chain is as deep as chains can be: its outer end may be missing
}

// Frame is one kernel function of a call chain. A recording holds no
// addresses: a frame is a symbol and an offset into it.
type Frame struct {
	Name    string   // the symbol, with the compiler's suffix if it has one; "" if no symbol is known
	Aliases []string // other symbols at the same address
	Module  string
	Off     uint32
}

// Loss says how many records of a source never reached the recording, and
// between which times.
type Loss struct {
	Source   string
	Count    uint64
	From, To int64
}
