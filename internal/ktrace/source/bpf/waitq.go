//go:build linux

// Package bpf reads the wait queues of all open files from the kernel's memory,
// by an iterator of type task_file. It needs CAP_BPF and CAP_PERFMON, and a
// kernel that has type information (/sys/kernel/btf/vmlinux) and iterators
// (Linux 5.8). Nothing is pinned: programs and links end with the process.
package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"golang.org/x/sys/unix"
)

// Type is the type of a Record.
type Type uint32

// The types of records. A File is followed by its Items and by the entries of
// its queues, each of which has an End.
const (
	File  Type = 1 + iota // a descriptor
	Entry                 // an entry of a wait queue
	End                   // the end of a queue: Some entries were read
	Item                  // an item of an epoll's ready list
)

// Kind is the kind of a file, as src/waitq.c numbers them.
type Kind uint32

// Kinds of files; a file of kind Other has a poll operation, and its queues
// are not known.
const (
	Other Kind = iota
	Eventfd
	Epoll
	Pipe
	Socket
	Timerfd
	Signalfd
	Inotify
	Pidfd
	Terminal
	IOUring
)

// kinds has the names that the catalogue gives the kinds.
var kinds = [...]string{Eventfd: "eventfd", Epoll: "epoll", Pipe: "pipe", Socket: "socket", Timerfd: "timerfd", Signalfd: "signalfd",
	Inotify: "inotify", Pidfd: "pidfd", Terminal: "terminal", IOUring: "io_uring"}

// String returns the name of the kind.
func (k Kind) String() string {
	if k == Other || int(k) >= len(kinds) {
		return "file"
	}
	return kinds[k]
}

// constants are the names that src/waitq.c has for the poll operations.
var constants = map[Kind]string{Eventfd: "poll_eventfd", Epoll: "poll_epoll", Pipe: "poll_pipe", Socket: "poll_socket", Timerfd: "poll_timerfd",
	Signalfd: "poll_signalfd", Inotify: "poll_inotify", Pidfd: "poll_pidfd", Terminal: "poll_tty", IOUring: "poll_io_uring"}

// Record is struct record of src/waitq.c. The meaning of A, B, C, Flags, Events
// and Some depends on Type and Kind, and is written there.
type Record struct {
	Type                Type
	Kind                Kind
	File, At            uint64
	Func, A, B, C       uint64
	PID, TID, FD        int32
	Flags, Events, Some uint32
}

const recordSize = 80

// Queue returns the number of the queue that an Entry or End is of: 0 for the
// readers' of a pipe or terminal and for the threads in epoll_wait, 1 for the
// writers' and for the waiters that watch an epoll.
func (r *Record) Queue() int { return int(r.Kind) }

// Iterator is a loaded program.
type Iterator struct {
	all *ebpf.Collection
	it  *link.Iter
	buf []byte
}

// Open loads the program. Its error is an *ktrace.AccessError that has the
// missing thing, and the smallest change that provides it.
func Open(m *catalog.Model, syms *ksym.Table) (*Iterator, error) {
	if err := ksym.Missing(syms); err != nil {
		return nil, err
	}
	spec, err := loadWaitq()
	if err != nil {
		return nil, fmt.Errorf("bpf: %w", err)
	}
	if err := spec.RewriteConstants(addresses(m, syms)); err != nil {
		return nil, fmt.Errorf("bpf: %w", err)
	}
	// Up to Linux 5.10 the memory of programs counts as locked; without the
	// right to raise the limit, NewCollection has the error.
	unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	all, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, refused(err)
	}
	it, err := link.AttachIter(link.IterOptions{Program: all.Programs["waiters"]})
	if err != nil {
		all.Close()
		return nil, refused(err)
	}
	return &Iterator{all: all, it: it}, nil
}

// addresses are the program's constants.
func addresses(m *catalog.Model, syms *ksym.Table) map[string]any {
	at := func(functions ...string) uint64 {
		for _, f := range functions {
			for _, name := range append(syms.Variants(f), f) {
				if start, _, ok := syms.Range(name); ok {
					return start
				}
			}
		}
		return 0
	}
	out := map[string]any{}
	for k, name := range constants {
		out[name] = at(m.Functions(catalog.PollsFile, k.String())...)
	}
	out["fn_pollwake"] = at(m.Functions(catalog.Callback, "poller")...)
	out["fn_ep_poll_callback"] = at(m.Functions(catalog.Callback, "epoll")...)
	var own []string // the functions of entries whose private is their thread
	for _, w := range m.Waiters() {
		if w.Sleeps {
			own = append(own, m.Functions(catalog.Callback, w.Kind)...)
		}
	}
	own = append(own, m.Functions(catalog.OfThread, "")...)
	var threads [6]uint64
	for i, f := range own[:min(len(own), len(threads))] {
		threads[i] = at(f)
	}
	out["fn_task"] = threads
	return out
}

// Close ends the program.
func (i *Iterator) Close() error {
	err := i.it.Close()
	i.all.Close()
	return err
}

// Read goes through the open files of all processes once.
func (i *Iterator) Read() ([]Record, error) {
	r, err := i.it.Open()
	if err != nil {
		return nil, refused(err)
	}
	defer r.Close()
	if i.buf == nil {
		i.buf = make([]byte, 1<<20)
	}
	var out []Record
	n := 0
	for {
		got, err := r.Read(i.buf[n:])
		n += got
		whole := n - n%recordSize
		for at := 0; at < whole; at += recordSize {
			out = append(out, decode(i.buf[at:at+recordSize]))
		}
		n = copy(i.buf, i.buf[whole:n])
		switch {
		case err == nil && got > 0:
		case err == nil, errors.Is(err, io.EOF):
			if n > 0 {
				return nil, fmt.Errorf("bpf: the last record has %d bytes of %d", n, recordSize)
			}
			return out, nil
		default:
			return nil, fmt.Errorf("bpf: read of the iterator: %w", err)
		}
	}
}

func decode(b []byte) Record {
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	return Record{Type: Type(u32(0)), Kind: Kind(u32(4)), File: u64(8), At: u64(16), Func: u64(24), A: u64(32), B: u64(40), C: u64(48),
		PID: int32(u32(56)), TID: int32(u32(60)), FD: int32(u32(64)), Flags: u32(68), Events: u32(72), Some: u32(76)}
}

// refused returns the reason that the kernel has for refusing the program.
func refused(err error) error {
	e := &ktrace.AccessError{Tier: "bpf", Err: err}
	locked, _ := os.ReadFile("/sys/kernel/security/lockdown")
	_, noTypes := os.Stat("/sys/kernel/btf/vmlinux")
	switch {
	case noTypes != nil:
		e.Missing, e.Change = "this kernel has no type information (/sys/kernel/btf/vmlinux)", "boot a kernel that is built with CONFIG_DEBUG_INFO_BTF"
	case errors.Is(err, unix.EPERM) && strings.Contains(string(locked), "[confidentiality]"):
		e.Missing, e.Change = "kernel lockdown in confidentiality mode refuses to read kernel memory", "boot with lockdown=integrity or none"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Missing, e.Change, e.Root = "the kernel refuses BPF programs to this process", "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYSLOG", true
	case errors.Is(err, unix.ENOSYS):
		e.Missing = "this kernel, or a seccomp filter, has no bpf(2)"
	default:
		e.Missing = fmt.Sprintf("this kernel does not take the iterator of type task_file (Linux 5.8): %v", err)
	}
	return e
}
