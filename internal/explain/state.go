//go:build linux

package explain

import (
	"bytes"

	"github.com/efd-go/efd/internal/aged"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// The bounds of what is remembered. What is oldest goes first.
const (
	maxThreads     = 8192
	maxDescriptors = 16384
	maxRegs        = 16 // epolls that one file is known to be in
)

// thread is one thread, as far as it is known.
type thread struct {
	pid         int
	table       *table
	interrupted interrupted
	closing     *descriptor // the first half of its close has been
	half        moment      // of the first half that waits for its second
	habits      habits
	place       aged.Node[*thread]
}

type interrupted struct {
	name      string
	line      int
	signalled bool // the signal that ended it was in the log: later ones did not
}

// made is a descriptor that was made a moment ago, for patterns.
type made struct {
	call string
	fd   int
}

// descriptor is a number in a table, open or closed a while ago.
type descriptor struct {
	table   *table
	fd      int
	file    *file
	closed  int  // line of its close, 0 while open
	source  int  // the number that it is a duplicate of, if duped is set
	duped   int  // line of the dup, 0 if it is none
	closer  int  // the thread that closed it, 0 if that is not known
	asked   int  // line of the last select that asks it
	cloexec bool // known to be close-on-exec
	flagged bool // the log has the call that set that
	place   aged.Node[*descriptor]
}

// file is an open file description: what dup and fork share.
type file struct {
	kind      string
	made      int // line, 0 if it was there before the log
	call      string
	initial   uint64
	semaphore bool
	blocking  bool
	vague     bool // the log does not have the flags it was made with
	open      int  // descriptors that point at it
	regs      []registration
	items     map[uint64]*file   // of an epoll: what its data stands for; bounded by maxRegs*64
	alike     map[uint64][]*file // further files with the same data
	writes    int
	reads     int
	polled    int
	waits     int
	again     int
	added     uint64
	taken     uint64
	unvalued  bool   // of some transfers the log does not show the value
	kernel    string // what in the kernel has it: "io_uring", "AIO"
	runtime   bool
	book      ledger // of an unknown kind
	peer      *file  // of a pipe or socketpair
	mail      mail   // of a socket
	lastFD    int
	path      string // of a kind "file"
	directory bool   // it was opened as one
	messages  bool   // a socket whose reads take one message each
	traits    traits
}

// nonblocking reports whether a file is known not to block.
func (f *file) nonblocking() bool { return f.made > 0 && !f.vague && !f.blocking }

type registration struct {
	epoll *file
	file  *file
	table *table // of the process that made it
	fd    int
	data  uint64
	edge  bool
	once  bool
	line  int

	unseen bool // the log does not have its EPOLL_CTL_ADD, which was before line
}

type state struct {
	threads     map[int]*thread
	recent      [64]*thread // of threads, by the last bits of the ID
	byUse       aged.List[*thread]
	descriptors aged.List[*descriptor]
	known       int     // descriptors
	starting    []start // clone calls that have not returned
	letThreads  int
	letFDs      int
	sawReads    bool // reads are in the log at all: -e trace= may leave them out
	given       bool // the kernel was given some eventfd, and the log does not say which
}

// start is a clone that is going on.
type start struct {
	pid    int
	shares bool
}

func (s *state) init() { s.threads = map[int]*thread{} }

// find returns the thread of a pid that has been seen, nil if it has not.
func (s *state) find(pid int) *thread {
	recent := &s.recent[pid&(len(s.recent)-1)]
	if *recent == nil || (*recent).pid != pid {
		if th := s.threads[pid]; th != nil {
			*recent = th
		} else {
			return nil
		}
	}
	return *recent
}

// thread returns the thread of a pid, new ones with the table that they have
// most likely.
func (s *state) thread(pid int) *thread {
	th := s.find(pid)
	if th != nil {
		s.byUse.Use(&th.place)
		return th
	}
	return s.addThread(pid, s.tableFor())
}

func (s *state) addThread(pid int, t *table) *thread {
	th := &thread{pid: pid, table: t, habits: newHabits()}
	th.place.Of = th
	t.threads++
	s.threads[pid] = th
	s.byUse.Add(&th.place)
	for len(s.threads) > maxThreads {
		s.dropThread(s.byUse.Oldest().Of)
		s.letThreads++
	}
	return th
}

func (s *state) dropThread(th *thread) {
	s.byUse.Remove(&th.place)
	delete(s.threads, th.pid)
	if recent := &s.recent[th.pid&(len(s.recent)-1)]; *recent == th {
		*recent = nil
	}
}

// tableFor is the table of a thread that appears without having been
// announced: that of a clone that is going on, else that of the thread seen
// last, which is a guess.
func (s *state) tableFor() *table {
	for i := len(s.starting) - 1; i >= 0; i-- {
		if th := s.find(s.starting[i].pid); th != nil {
			t := th.table
			if !s.starting[i].shares {
				t = s.copyTable(t)
			}
			t.guessed = t.guessed || len(s.starting) > 1 // it may be another's child
			return t
		}
	}
	if last := s.byUse.Newest(); last != nil {
		last.Of.table.guessed = true
		return last.Of.table
	}
	return &table{}
}

// open makes a number point at a file.
func (s *state) open(t *table, fd int, f *file) *descriptor {
	if old := t.get(fd); old != nil {
		s.drop(old)
	}
	d := &descriptor{table: t, fd: fd, file: f}
	d.place.Of = d
	t.set(fd, d)
	f.open++
	f.lastFD = fd
	s.descriptors.Add(&d.place)
	for s.known++; s.known > maxDescriptors; {
		s.letFDs++
		s.drop(s.descriptors.Oldest().Of)
	}
	return d
}

// share makes a further number point at a file, which keeps the number that it
// is named by.
func (s *state) share(t *table, fd int, f *file) *descriptor {
	was := f.lastFD
	d := s.open(t, fd, f)
	f.lastFD = was
	return d
}

// drop forgets a number.
func (s *state) drop(d *descriptor) {
	s.descriptors.Remove(&d.place)
	s.known--
	if d.closed == 0 {
		d.file.open--
	}
	if d.table.get(d.fd) == d {
		d.table.set(d.fd, nil)
	}
}

// use returns the descriptor that a call names, made up where the log did not
// show its making. What -y says of it settles what it is.
func (s *state) use(th *thread, fd strace.FD) *descriptor {
	d := th.table.get(fd.N)
	kind := fd.Kind()
	if d == nil || d.closed != 0 && kind != "" {
		d = s.open(th.table, fd.N, &file{kind: kind})
		if kind == "file" {
			d.file.path = string(fd.Info[:min(len(fd.Info), maxPath)])
		}
	} else {
		s.descriptors.Use(&d.place)
	}
	if d.file.kind == kind || agree(d.file.kind, kind) {
		return d
	}
	if d.file.kind != "" && !agree(kind, d.file.kind) { // "socket" is made out as what it is
		d = s.open(th.table, fd.N, &file{kind: kind})
	}
	d.file.kind = kind
	if kind == "file" {
		d.file.path = string(fd.Info[:min(len(fd.Info), maxPath)])
	}
	return d
}

// announced takes "Process 7 attached".
func (s *state) announced(rec *strace.Record) {
	if rec.PID != 0 && bytes.Contains(rec.Text, []byte("attached")) && s.find(rec.PID) == nil {
		s.thread(rec.PID)
	}
}
