//go:build linux

// Package waiters shows the wait queues of open files as they are: for each
// file its holders, its state, the entries of its queues, and the conclusions
// that follow from them.
package waiters

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/ktrace/program"
	"github.com/efd-go/efd/internal/ktrace/source/bpf"
)

// Snapshot is the state at one time: the records of the kernel's memory, and
// the state of the threads in them in /proc.
type Snapshot struct {
	Kernel    string            `json:"kernel"`
	Arch      string            `json:"arch"`
	At        time.Time         `json:"at"`
	Records   []bpf.Record      `json:"records"`
	Functions map[uint64]string `json:"functions"` // the names of the entries' functions
	Threads   map[int]Thread    `json:"threads"`   // by number
	Processes map[int]Process   `json:"processes"` // by number
	Items     map[uint64]int    `json:"items"`     // of epolls: how many descriptors they watch
}

// Thread is a thread that has an entry on a queue, as /proc has it.
type Thread struct {
	PID      int      `json:"pid"`
	Comm     string   `json:"comm"`
	Narrow   bool     `json:"narrow,omitempty"` // of a 32-bit program, whose calls have other numbers
	Nr       int      `json:"nr"`               // the system call that it sleeps in, -1 if it runs
	State    string   `json:"state"`
	Args     []uint64 `json:"args"`
	Switches int      `json:"switches"` // how often it gave up the CPU by itself
}

// Process is a process that holds a file.
type Process struct {
	Comm    string `json:"comm"`
	Threads int    `json:"threads"` // if one of them is on a queue
	Running int    `json:"running"` // threads that do not sleep, if it holds something readable
}

// take adds to a snapshot all that /proc says of its threads and processes.
func (s *Snapshot) take() {
	s.Threads, s.Processes, s.Items = map[int]Thread{}, map[int]Process{}, map[uint64]int{}
	ready := map[int]bool{}
	for i := range s.Records {
		r := &s.Records[i]
		switch {
		case r.Type == bpf.File:
			if _, known := s.Processes[int(r.PID)]; !known {
				s.Processes[int(r.PID)] = Process{Comm: line("/proc/" + strconv.Itoa(int(r.PID)) + "/comm")}
			}
			switch r.Kind {
			case bpf.Eventfd, bpf.Pipe, bpf.Timerfd, bpf.Inotify:
				if r.A > 0 {
					ready[int(r.PID)] = true
				}
			}
		case r.Type == bpf.Entry && r.TID > 0:
			if _, known := s.Threads[int(r.TID)]; !known {
				s.Threads[int(r.TID)] = thread(int(r.PID), int(r.TID))
			}
		}
	}
	for pid := range ready {
		p := s.Processes[pid]
		p.Running = awake(pid)
		s.Processes[pid] = p
	}
	for _, t := range s.Threads {
		if p := s.Processes[t.PID]; p.Threads == 0 {
			p.Threads = threads(t.PID)
			s.Processes[t.PID] = p
		}
	}
}

// awake counts the threads of a process that do not sleep.
func awake(pid int) (n int) {
	tids, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	for _, t := range tids {
		tid, _ := strconv.Atoi(t.Name())
		if s, err := asleep.Of(pid, tid); err == nil && s.Letter != 'S' {
			n++
		}
	}
	return n
}

// threads is how many threads a process has.
func threads(pid int) (n int) {
	for l := range strings.Lines(line("/proc/" + strconv.Itoa(pid) + "/status")) {
		if v, ok := strings.CutPrefix(l, "Threads:"); ok {
			n, _ = strconv.Atoi(strings.TrimSpace(v))
		}
	}
	return n
}

func thread(pid, tid int) Thread {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid)
	t := Thread{PID: pid, Nr: -1, Comm: line(dir + "/comm"), Narrow: program.Is32(pid)}
	if s, err := asleep.Of(pid, tid); err == nil {
		t.Nr, t.State = s.Nr, string(rune(s.Letter))
	}
	if f := strings.Fields(line(dir + "/syscall")); len(f) > 6 && f[0] == strconv.Itoa(t.Nr) { // the same call still
		for _, arg := range f[1:7] {
			v, _ := strconv.ParseUint(arg, 0, 64)
			t.Args = append(t.Args, v)
		}
	}
	t.Switches, _ = asleep.Switches(pid, tid)
	return t
}

// line reads a file of /proc, without the line feed at its end. It is "" if
// the thread is gone.
func line(name string) string {
	b, _ := os.ReadFile(name)
	return strings.TrimSuffix(string(b), "\n")
}

// countItems returns the number of descriptors that an epoll watches.
func countItems(pid, fd int) (n int, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, false
	}
	return strings.Count("\n"+string(b), "\ntfd:"), true
}
