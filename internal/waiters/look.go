//go:build linux

package waiters

import (
	"os"
	"runtime"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/running"
	"github.com/efd-go/efd/internal/ktrace/source/bpf"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"golang.org/x/sys/unix"
)

// Looker reads the wait queues of this system.
type Looker struct {
	it    *bpf.Iterator
	syms  *ksym.Table
	names map[uint64]string
}

// Open loads the program that reads the queues. Its error is an
// *ktrace.AccessError.
func Open() (*Looker, error) {
	if ns, err := os.Readlink("/proc/self/ns/pid"); err == nil && !perf.InitialPIDNamespace(ns) {
		return nil, &ktrace.AccessError{Tier: "bpf", Missing: "this PID namespace is not the initial one, whose numbers the kernel's memory has", Change: "run in the initial PID namespace"}
	}
	syms, err := ksym.Load()
	if err != nil {
		return nil, err
	}
	it, err := bpf.Open(catalog.DefaultModel(), syms)
	if err != nil {
		return nil, err
	}
	return &Looker{it: it, syms: syms, names: map[uint64]string{}}, nil
}

// Try reads the queues once, and reports why they cannot be read: that of an
// eventfd of its own has to be among them.
func Try() error {
	l, err := Open()
	if err != nil {
		return err
	}
	defer l.Close()
	fd, err := unix.Eventfd(7, unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	records, err := l.it.Read()
	if err != nil {
		return err
	}
	pid := int32(os.Getpid())
	for i := range records {
		if r := &records[i]; r.Kind == bpf.Eventfd && r.PID == pid && r.FD == int32(fd) && r.A == 7 {
			return nil
		}
	}
	return &ktrace.AccessError{Tier: "bpf", Silent: true, Missing: "the iterator is taken, and does not show an eventfd of this process"}
}

// Close ends the program.
func (l *Looker) Close() error { return l.it.Close() }

// tries is how often a queue is read that changes under the reading.
const tries = 3

// Snapshot reads all queues. The epolls of the process pid get the number of
// their items, which takes long; all if pid is 0.
func (l *Looker) Snapshot(pid int) (*Snapshot, error) {
	s := &Snapshot{Arch: runtime.GOARCH, At: time.Now(), Functions: l.names}
	s.Kernel, _, _ = running.Kernel()
	for range tries {
		records, err := l.it.Read()
		if err != nil {
			return nil, err
		}
		s.Records = append(s.Records, records...)
		if !torn(records) {
			break
		}
	}
	for i := range s.Records {
		if r := &s.Records[i]; r.Type == bpf.Entry {
			if _, known := l.names[r.Func]; !known {
				l.names[r.Func] = ksym.Base(l.syms.Resolve(r.Func, true).Name)
			}
		}
	}
	s.take()
	for i := range s.Records {
		r := &s.Records[i]
		if r.Type != bpf.File || r.Kind != bpf.Epoll || pid != 0 && int(r.PID) != pid {
			continue
		}
		if _, known := s.Items[r.At]; !known {
			if n, ok := countItems(int(r.PID), int(r.FD)); ok {
				s.Items[r.At] = n
			}
		}
	}
	return s, nil
}

func torn(records []bpf.Record) bool {
	for i := range records {
		if records[i].Type == bpf.End && records[i].Flags != 0 {
			return true
		}
	}
	return false
}

// settle is how long a state has to last to be a finding.
const settle = 20 * time.Millisecond

// Look reads all queues and draws the conclusions: what a second look does not
// confirm was on its way.
func (l *Looker) Look(pid int) (*Report, error) {
	s, err := l.Snapshot(pid)
	if err != nil {
		return nil, err
	}
	r := Build(s)
	if !r.Doubtful() {
		return r, nil
	}
	time.Sleep(settle)
	if s, err = l.Snapshot(pid); err != nil {
		return nil, err
	}
	later := Build(s)
	later.Confirm(r)
	return later, nil
}
