//go:build linux

package waiters

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/source/bpf"
)

// Report is a snapshot put together. Its JSON is a contract.
type Report struct {
	Kernel   string    `json:"kernel"`
	At       time.Time `json:"at"`
	Objects  []*Object `json:"objects"`
	Findings []Finding `json:"findings"`
}

// Object is a file that threads can wait for. All descriptors of one eventfd,
// epoll, pipe … are one object.
type Object struct {
	Kind    string   `json:"kind"`
	ID      *int     `json:"id,omitempty"` // an eventfd's
	Holders []Holder `json:"holders"`
	State   State    `json:"state"`
	Queue   []*Entry `json:"queue"`
	More    int      `json:"more"` // queues that are longer than what was read
	Torn    bool     `json:"torn"` // it changed each time that it was read

	at, peer uint64
	semaphor bool
	kernel   int // holders in the kernel, of an eventfd
}

// Holder is a descriptor.
type Holder struct {
	PID  int    `json:"pid"`
	FD   int    `json:"fd"`
	Comm string `json:"comm"`
	Mode string `json:"mode,omitempty"` // of a pipe: "r", "w" or "rw"
}

// State is the state of an object, by its kind. A field that is nil does not
// exist for the kind, or is not known.
type State struct {
	Count   *uint64 `json:"count,omitempty"` // eventfd: the counter
	Items   *int    `json:"items,omitempty"` // epoll: the descriptors that it watches
	Ready   []int   `json:"ready,omitempty"` // epoll: those on its ready list
	Queued  *uint64 `json:"queued,omitempty"`
	Readers *int    `json:"readers,omitempty"` // pipe: open ends
	Writers *int    `json:"writers,omitempty"`
	Family  string  `json:"family,omitempty"` // socket
}

// Entry is an entry of a wait queue.
type Entry struct {
	Callback  string   `json:"callback"`
	Exclusive bool     `json:"exclusive"`
	PID       int      `json:"pid,omitempty"`
	TID       int      `json:"tid,omitempty"`
	Comm      string   `json:"comm,omitempty"`
	Syscall   string   `json:"syscall,omitempty"` // "" if the thread runs
	Events    string   `json:"events,omitempty"`  // that it waits for
	Epoll     *Watch   `json:"epoll,omitempty"`
	Path      []string `json:"path,omitempty"` // by which it came onto the queue

	object    *Object
	at, ep    uint64
	queue     int
	mask      uint32
	triggered bool
}

// Watch is an epoll that watches an object.
type Watch struct {
	Holders  []Holder `json:"holders"`
	FD       int      `json:"fd"` // the number by which it was added
	Events   string   `json:"events"`
	Data     uint64   `json:"data"`
	Sleepers []int    `json:"sleepers"` // threads in epoll_wait
}

// exclusive is WQ_FLAG_EXCLUSIVE of linux/wait.h.
const exclusive = 1

// builder puts a snapshot together.
type builder struct {
	s       *Snapshot
	m       *catalog.Model
	objects map[uint64]*Object // by the address that identifies them
	files   map[uint64]*Object // by the address of a struct file
	socks   map[uint64]*Object
	seen    map[uint64]bool // files whose queues were read
}

// Build puts the records together.
func Build(s *Snapshot) *Report {
	b := &builder{s: s, m: catalog.DefaultModel(), objects: map[uint64]*Object{}, files: map[uint64]*Object{}, socks: map[uint64]*Object{}, seen: map[uint64]bool{}}
	skip := false
	var file uint64
	for i := range s.Records {
		switch r := &s.Records[i]; r.Type {
		case bpf.File:
			o := b.object(r)
			file = b.identity(r)
			skip = b.seen[file] && !o.Torn
			if b.seen[file] && o.Torn { // it is read once more
				o.Torn, o.More, o.Queue, o.State.Ready = false, 0, nil, nil
				b.state(o, r)
			}
			b.seen[file] = true
		case bpf.Item:
			if o := b.files[r.File]; o != nil && !skip {
				o.State.Ready = append(o.State.Ready, int(r.FD))
			}
		case bpf.Entry:
			if o := b.files[r.File]; o != nil && !skip {
				o.Queue = append(o.Queue, b.entry(o, r))
			}
		case bpf.End:
			if o := b.files[r.File]; o != nil && !skip {
				o.Torn = o.Torn || r.Flags != 0
				if r.Events != 0 {
					o.More++
				}
			}
		}
	}
	return b.report()
}

// identity is the address by which descriptors are of one object.
func (b *builder) identity(r *bpf.Record) uint64 {
	if r.At != 0 && r.Kind != bpf.Other && r.Kind != bpf.Signalfd {
		return r.At
	}
	return r.File
}

func (b *builder) object(r *bpf.Record) *Object {
	id := b.identity(r)
	o := b.objects[id]
	if o == nil {
		o = &Object{Kind: r.Kind.String(), at: id}
		b.objects[id] = o
		b.state(o, r)
	}
	b.files[r.File] = o
	h := Holder{PID: int(r.PID), FD: int(r.FD), Comm: b.s.Processes[int(r.PID)].Comm}
	if r.Kind == bpf.Pipe {
		h.Mode = [...]string{"r", "w", "rw", ""}[r.Flags&3]
	}
	o.Holders = append(o.Holders, h)
	return o
}

// families are those of linux/socket.h.
var families = map[uint32]string{1: "unix", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet", 40: "vsock"}

func (b *builder) state(o *Object, r *bpf.Record) {
	number := func(v uint64) *int { n := int(v); return &n }
	a := r.A
	switch r.Kind {
	case bpf.Eventfd:
		o.State.Count, o.semaphor = &a, r.Flags&1 != 0
		o.kernel = int(r.B) - 1
		if id := int(int32(r.Events)); id >= 0 {
			o.ID = &id
		}
	case bpf.Epoll:
		if n, ok := b.s.Items[o.at]; ok {
			o.State.Items = &n
		}
	case bpf.Pipe:
		o.State.Queued, o.State.Readers, o.State.Writers = &a, number(r.B), number(r.C)
	case bpf.Socket:
		o.State.Queued, o.State.Family = &a, families[r.Events]
		o.peer = r.C
		b.socks[r.B] = o
	case bpf.Timerfd, bpf.Inotify:
		o.State.Queued = &a
	}
}

func (b *builder) entry(o *Object, r *bpf.Record) *Entry {
	e := &Entry{Callback: b.s.Functions[r.Func], Exclusive: r.Flags&exclusive != 0, object: o, at: r.At, queue: r.Queue(), mask: r.Events}
	waiter := b.m.Woken(e.Callback)
	if r.TID > 0 {
		t := b.s.Threads[int(r.TID)]
		e.PID, e.TID, e.Comm = int(r.PID), int(r.TID), t.Comm
		e.Syscall = b.syscall(e, &t, waiter)
	}
	switch {
	case waiter != nil && waiter.Kind == "poller":
		e.Events, e.triggered = pollEvents(r.Events), r.Some != 0
	case waiter != nil && waiter.Kind == "epoll":
		e.ep = r.A
		e.Epoll = &Watch{FD: int(r.FD), Events: epollEvents(r.Events), Data: r.B, Sleepers: []int{}}
	}
	if waiter != nil {
		e.Path = b.path(o.Kind, waiter)
	}
	return e
}

// syscall returns the call in which the thread of an entry sleeps, "" if it has
// gone on between the reading of the queue and of /proc.
func (b *builder) syscall(e *Entry, t *Thread, w *catalog.Waiter) string {
	switch {
	case t.Nr < 0:
		return ""
	case t.Narrow:
		return fmt.Sprintf("call %d of 32 bits", t.Nr)
	}
	name := observe.SyscallName(b.s.Arch, t.Nr)
	if w != nil && w.Calls != nil && !slices.Contains(w.Calls, name) {
		return ""
	}
	return name
}

// path returns the functions by which a waiter's entry comes onto the queue of
// a file of this kind, as far as the kind's are documented.
func (b *builder) path(kind string, w *catalog.Waiter) []string {
	own := b.m.PollChain(kind)
	if len(w.Joins) == 0 || len(own) == 0 {
		return nil
	}
	if kind == "socket" || kind == "epoll" {
		return nil // which protocol's, and through how many epolls, is not known
	}
	return slices.Concat(own, w.Joins[1:])
}

// report joins entries and the epolls that they are of, and sorts the objects.
func (b *builder) report() *Report {
	rep := &Report{Kernel: b.s.Kernel, At: b.s.At}
	sleepers := map[*Object][]int{}
	for _, o := range b.objects {
		if o.Kind != "epoll" {
			continue
		}
		for _, e := range o.Queue {
			if e.queue == 0 && e.TID > 0 {
				sleepers[o] = append(sleepers[o], e.TID)
			}
		}
	}
	for _, o := range b.objects {
		for _, e := range o.Queue {
			if e.Epoll == nil {
				continue
			}
			if ep := b.files[e.ep]; ep != nil {
				e.Epoll.Holders = ep.Holders
				e.Epoll.Sleepers = append(e.Epoll.Sleepers, sleepers[ep]...)
			}
		}
		if o.Kind != "file" {
			rep.Objects = append(rep.Objects, o)
		}
	}
	slices.SortFunc(rep.Objects, func(a, b *Object) int {
		return cmp.Or(cmp.Compare(a.Holders[0].PID, b.Holders[0].PID), cmp.Compare(a.Holders[0].FD, b.Holders[0].FD), cmp.Compare(a.at, b.at))
	})
	for _, o := range rep.Objects {
		slices.SortFunc(o.Holders, func(a, b Holder) int { return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.FD, b.FD)) })
		o.Holders = slices.Compact(o.Holders)
		if o.Queue == nil {
			o.Queue = []*Entry{}
		}
	}
	rep.Findings = b.findings(rep)
	return rep
}

// Only leaves the objects of a process, or of one of its descriptors if fd is
// not negative, and the findings on them. The process's own descriptors come
// first.
func (r *Report) Only(pid, fd int) {
	kept := map[*Object]bool{}
	r.Objects = slices.DeleteFunc(r.Objects, func(o *Object) bool {
		kept[o] = slices.ContainsFunc(o.Holders, func(h Holder) bool { return h.PID == pid && (fd < 0 || h.FD == fd) })
		return !kept[o]
	})
	other := func(h Holder) int {
		if h.PID == pid {
			return 0
		}
		return 1
	}
	for _, o := range r.Objects {
		slices.SortStableFunc(o.Holders, func(a, b Holder) int { return cmp.Compare(other(a), other(b)) })
	}
	slices.SortStableFunc(r.Objects, func(a, b *Object) int { return cmp.Compare(a.Holders[0].FD, b.Holders[0].FD) })
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool {
		return !slices.ContainsFunc(f.objects, func(o *Object) bool { return kept[o] }) || f.PID != pid && f.Code == WaitsFor
	})
}
