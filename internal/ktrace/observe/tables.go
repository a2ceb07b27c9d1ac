//go:build linux

package observe

import (
	"os"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// tables knows which threads and processes may share a table of descriptors in
// another way than the threads of one process do.
type tables struct {
	split  map[int]bool // processes of which a thread has a table of its own
	hidden map[int]bool // processes whose table changes without an event
	shared bool         // processes may share one
	clone3 bool         // a process may have been made with one, and its flags are not known
}

// call handles the calls that split or share tables. It reports whether the
// caller's fds may have changed.
func (t *tables) call(name string, ev *ktrace.Event) bool {
	switch name {
	case "unshare":
		if ev.Args[0]&unix.CLONE_FILES != 0 {
			note(&t.split, ev.PID)
			return true
		}
	case "close_range":
		if ev.Args[2]&unix.CLOSE_RANGE_UNSHARE != 0 {
			note(&t.split, ev.PID)
		}
	case "clone":
		if ev.Args[0]&(unix.CLONE_FILES|unix.CLONE_THREAD) == unix.CLONE_FILES {
			t.shared = true
		}
		if ev.Args[0]&(unix.CLONE_FILES|unix.CLONE_THREAD) == unix.CLONE_THREAD {
			note(&t.split, ev.PID)
			return true
		}
	case "clone3":
		t.clone3 = true
	case "io_uring_enter":
		// A request may close a descriptor, and a polling thread of the kernel's
		// may at any time.
		if ev.Args[3]&unixSQWakeup != 0 {
			note(&t.hidden, ev.PID)
		}
		return ev.Args[1] > 0
	}
	return false
}

// unixSQWakeup is IORING_ENTER_SQ_WAKEUP.
const unixSQWakeup = 2

func note(set *map[int]bool, pid int) {
	if *set == nil || len(*set) >= maxObjects {
		*set = map[int]bool{}
	}
	(*set)[pid] = true
}

// started: a process is new. Only clone3 hides whether it has its parent's
// table; ask says that it can be looked at.
func (t *tables) started(pid int, ask bool) {
	delete(t.split, pid)
	delete(t.hidden, pid)
	if t.shared || !t.clone3 || !ask {
		return
	}
	same, ok := sameTable(pid, parentOf(pid))
	t.shared = same || !ok
}

// attached looks at processes that are there already: at their threads, and
// for others that have their table.
func (t *tables) attached(pids []int) {
	ours := map[int]bool{}
	for _, pid := range pids {
		ours[pid] = true
	}
	others, _ := os.ReadDir("/proc")
	for _, pid := range pids {
		tasks, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		for _, e := range tasks {
			tid, err := strconv.Atoi(e.Name())
			if err != nil || tid == pid {
				continue
			}
			if same, ok := sameTable(pid, tid); ok && !same {
				note(&t.split, pid)
			}
		}
		for _, e := range others {
			other, err := strconv.Atoi(e.Name())
			if err != nil || other == pid {
				continue
			}
			if same, _ := sameTable(pid, other); same && ours[other] {
				t.shared = true
			} else if same {
				note(&t.hidden, pid) // its calls are not observed
			}
		}
	}
}

// sameTable reports whether two threads have one table; ok is false if that
// cannot be known.
func sameTable(a, b int) (same, ok bool) {
	const files = 2 // KCMP_FILES
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), files, 0, 0, 0)
	return errno == 0 && r == 0, errno == 0
}

// parentOf is the process that started another, 0 if it is not known.
func parentOf(pid int) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "PPid:"); ok {
			parent, _ := strconv.Atoi(strings.TrimSpace(v))
			return parent
		}
	}
	return 0
}
