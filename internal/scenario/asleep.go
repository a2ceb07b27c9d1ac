package scenario

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// state is what /proc says of a thread of this process.
type state struct {
	letter byte // of stat: R, S, D, …; 0 once the thread is gone
	nr     int  // the system call that it is blocked in, -1 while it runs
}

// threadState reads a thread's state. The kernel names the system call only
// of a thread that is off its queue, so that nr >= 0 means that it sleeps,
// and not that it is about to.
func threadState(pid, tid int) (state, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid)
	sc, err := os.ReadFile(dir + "/syscall")
	if err != nil {
		return state{nr: -1}, err
	}
	st, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return state{nr: -1}, err
	}
	// The name in brackets may hold anything, a bracket too.
	s := state{nr: -1}
	if i := strings.LastIndexByte(string(st), ')'); i >= 0 && i+2 < len(st) {
		s.letter = st[i+2]
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(sc)), " ")
	if n, err := strconv.Atoi(word); err == nil {
		s.nr = n
	}
	return s, nil
}

// AwaitAsleep returns once the thread sleeps in the system call nr, one of
// several where a call has variants.
func AwaitAsleep(ctx context.Context, pid, tid int, nr ...int) error {
	var last state
	for i := 0; ; i++ {
		s, err := threadState(pid, tid)
		if err != nil {
			return fmt.Errorf("state of thread %d: %w", tid, err)
		}
		last = s
		for _, n := range nr {
			if s.letter == 'S' && s.nr == n {
				return nil
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("thread %d did not fall asleep in system call %v: state %c in system call %d: %w", tid, nr, last.letter, last.nr, ctx.Err())
		}
		// What is waited for is the state. How often one looks decides only
		// how soon it is known.
		if i < 20 {
			runtime.Gosched()
		} else {
			time.Sleep(50 * time.Microsecond)
		}
	}
}
