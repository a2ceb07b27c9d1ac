package explain

import (
	"bytes"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// The bounds of what is remembered. What is oldest goes first.
const (
	maxThreads     = 8192
	maxDescriptors = 16384
	maxRegs        = 16 // epolls that one file is known to be in
)

// thread is what is known of one thread.
type thread struct {
	pid         int
	table       *table
	last        string // the call before
	lastPoll    []int  // descriptors that answered POLLNVAL in the poll before
	interrupted interrupted
	againFD     int // EAGAIN in a row on this descriptor
	againRuns   int
	spinEpoll   int // epoll_wait in a row without anything else
	spinRuns    int
	prev, next  *thread
}

// quiet ends every loop: the thread did something else.
func (th *thread) quiet() { th.againRuns, th.spinRuns = 0, 0 }

type interrupted struct {
	name, code string
	line       int
	told       bool // the signal that ended it was in the log: later ones did not
}

// table is a table of descriptors, shared by the threads of a process.
type table struct {
	fds     map[int]*descriptor
	guessed bool // that these threads share it was not in the log
	newest  [2]made
}

// made is a descriptor that was made a moment ago, for patterns.
type made struct {
	call string
	fd   int
}

// descriptor is a number in a table, open or closed a while ago.
type descriptor struct {
	table      *table
	fd         int
	file       *file
	closed     int // line of its close, 0 while open
	warned     bool
	prev, next *descriptor
}

// file is an open file description: what dup and fork share.
type file struct {
	kind      string
	made      int // line, 0 where it was there before the log
	call      string
	initial   uint64
	semaphore bool
	blocking  bool
	open      int // descriptors that point at it
	regs      []registration
	items     map[uint64]*file // of an epoll: what its data stands for; bounded by maxRegs*64
	writes    int
	reads     int
	polled    int
	waits     int
	again     int
	added     uint64
	taken     uint64
	kernel    string // what in the kernel has it: "io_uring", "KVM"
	runtime   bool
	lastFD    int
	warned    warned
}

type registration struct {
	epoll *file
	fd    int
	data  uint64
	edge  bool
	line  int
}

type warned uint8

const (
	warnedSpin warned = 1 << iota
	warnedAgain
	warnedDup
	warnedNval
	warnedRead
)

type state struct {
	threads      map[int]*thread
	thHead, thT  *thread
	dHead, dTail *descriptor
	descriptors  int
	starting     []start // clone calls that have not returned
	letThreads   int
	letFDs       int
	sawReads     bool // reads are in the log at all: -e trace= may leave them out
	sawOpens     bool
}

// start is a clone that is going on.
type start struct {
	pid    int
	shares bool
}

func (s *state) init() { s.threads = map[int]*thread{} }

// thread returns the thread of a pid, new ones with the table that they have
// most likely.
func (s *state) thread(pid int) *thread {
	if th := s.threads[pid]; th != nil {
		if th != s.thT {
			s.unlinkThread(th)
			s.linkThread(th)
		}
		return th
	}
	th := &thread{pid: pid, againFD: -1, spinEpoll: -1}
	th.table = s.tableFor()
	s.addThread(th)
	return th
}

func (s *state) addThread(th *thread) {
	s.threads[th.pid] = th
	s.linkThread(th)
	for len(s.threads) > maxThreads {
		old := s.thHead
		s.unlinkThread(old)
		delete(s.threads, old.pid)
		s.letThreads++
	}
}

// tableFor is the table of a thread that appears without having been
// announced: that of a clone that is going on, else that of the thread seen
// last, which is a guess.
func (s *state) tableFor() *table {
	for i := len(s.starting) - 1; i >= 0; i-- {
		if th := s.threads[s.starting[i].pid]; th != nil {
			if s.starting[i].shares {
				return th.table
			}
			return s.copyTable(th.table)
		}
	}
	if s.thT != nil {
		s.thT.table.guessed = true
		return s.thT.table
	}
	return &table{fds: map[int]*descriptor{}}
}

func (s *state) copyTable(t *table) *table {
	c := &table{fds: map[int]*descriptor{}, guessed: t.guessed}
	n := 0
	for fd, d := range t.fds {
		if d.closed == 0 {
			s.open(c, fd, d.file)
			if n++; n >= 256 {
				break
			}
		}
	}
	return c
}

func (s *state) linkThread(th *thread) {
	th.prev, th.next = s.thT, nil
	if s.thT != nil {
		s.thT.next = th
	} else {
		s.thHead = th
	}
	s.thT = th
}

func (s *state) unlinkThread(th *thread) {
	if th.prev != nil {
		th.prev.next = th.next
	} else {
		s.thHead = th.next
	}
	if th.next != nil {
		th.next.prev = th.prev
	} else {
		s.thT = th.prev
	}
}

// open makes a number point at a file.
func (s *state) open(t *table, fd int, f *file) *descriptor {
	if old := t.fds[fd]; old != nil {
		s.drop(old)
	}
	d := &descriptor{table: t, fd: fd, file: f}
	t.fds[fd] = d
	f.open++
	f.lastFD = fd
	s.link(d)
	for s.descriptors > maxDescriptors {
		s.letFDs++
		s.drop(s.dHead)
	}
	return d
}

// drop forgets a number.
func (s *state) drop(d *descriptor) {
	s.unlink(d)
	if d.closed == 0 {
		d.file.open--
	}
	if d.table.fds[d.fd] == d {
		delete(d.table.fds, d.fd)
	}
}

func (s *state) link(d *descriptor) {
	d.prev, d.next = s.dTail, nil
	if s.dTail != nil {
		s.dTail.next = d
	} else {
		s.dHead = d
	}
	s.dTail = d
	s.descriptors++
}

func (s *state) unlink(d *descriptor) {
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		s.dHead = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		s.dTail = d.prev
	}
	s.descriptors--
}

// use returns the descriptor that a call names, made up where the log did not
// show its making. What -y says of it settles what it is.
func (s *state) use(th *thread, fd strace.FD) *descriptor {
	d := th.table.fds[fd.N]
	kind := fd.Kind()
	if d == nil || d.closed != 0 && kind != "" {
		d = s.open(th.table, fd.N, &file{kind: kind})
	} else if d != s.dTail {
		s.unlink(d)
		s.link(d)
	}
	if kind != "" && d.file.kind != kind {
		if d.file.kind != "" {
			d = s.open(th.table, fd.N, &file{kind: kind})
		}
		d.file.kind = kind
	}
	return d
}

// announced takes "Process 7 attached".
func (s *state) announced(rec *strace.Record) {
	if rec.PID != 0 && bytes.Contains(rec.Text, []byte("attached")) && s.threads[rec.PID] == nil {
		s.thread(rec.PID)
	}
}
