//go:build linux

package perf

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// Spec is one kind of event to open.
type Spec struct {
	Name   string // in Event.Source and Loss.Source
	Attr   unix.PerfEventAttr
	Filter string // on a tracepoint's fields, in the kernel's syntax
	Chain  bool   // with the kernel's call chain
	Raw    bool   // with the tracepoint's record
	System bool   // in rings of its own: events of the whole system must not displace those of some tasks

	// Decode sets the fields of the event. It returns false for a record that
	// is of no interest.
	Decode func(*Sample, *ktrace.Event) bool
}

// Rings are one ring per CPU that all events of that CPU share, and another
// for those of Spec.System.
type Rings struct {
	rings  []*ring
	byCPU  map[place]*ring
	events []*opened
	byID   map[uint64]*opened
	size   int
	chain  int // depth at which the kernel cuts chains

	perTask bool          // events belong to tasks but for those of Spec.System: a wake is recorded for the waker and again for the woken
	local   func(int) int // from the kernel's number of a task to the observer's; nil: they are the same
	noLost  bool          // the kernel has no PERF_FORMAT_LOST (before 6.0)
	stacks  *Stacks
	sample  Sample
	event   ktrace.Event // that is being decoded
	queues  map[place]*queue
	merged  []*queue
	losses  []ktrace.Loss
	until   int64 // the last until of Read: nothing older may follow
	mapped  bool  // Map was called
	stopped bool
	full    bool // in the last reading a ring was more than half full
	backlog bool // the last reading left something in a ring
}

// place is which ring of which CPU.
type place struct {
	cpu    int
	system bool
}

// opened is one open event.
type opened struct {
	spec *Spec
	at   place
	fd   int
	ring *ring // nil until Map
	bits uint64
	lost uint64 // as last read from the kernel
}

// internal kinds of pending events, for records that say something of tasks.
const (
	kindFork ktrace.EventKind = 200 + iota
	kindExit
	kindComm
)

// NewRings prepares rings of at most size bytes each, a power of two of pages.
// It opens nothing.
func NewRings(size int, stacks *Stacks) *Rings {
	depth, err := strconv.Atoi(sysctl("perf_event_max_stack"))
	if err != nil || depth < 0 {
		depth = 127
	}
	return &Rings{size: size, stacks: stacks, chain: depth, byCPU: map[place]*ring{}, byID: map[uint64]*opened{}, queues: map[place]*queue{}}
}

// Event is an event that Add opened.
type Event struct{ o *opened }

// Enable starts the event.
func (e *Event) Enable() error {
	return os.NewSyscallError("ioctl of a perf event", unix.IoctlSetInt(e.o.fd, unix.PERF_EVENT_IOC_ENABLE, 0))
}

// Count is how often the event has happened.
func (e *Event) Count() (uint64, error) { return countOf(e.o.fd) }

// Add opens an event for a task (-1: all) on a CPU. It is not yet enabled.
func (rs *Rings) Add(spec *Spec, pid, cpu int, inherit bool) (*Event, error) {
	attr := spec.Attr
	attr.Size = uint32(sizeofAttr)
	attr.Sample_type = sampleBase
	if spec.Chain {
		attr.Sample_type |= sampleCallchain
	}
	if spec.Raw {
		attr.Sample_type |= sampleRaw
	}
	attr.Read_format = formatID
	if !rs.noLost {
		attr.Read_format |= formatLost
	}
	attr.Bits |= unix.PerfBitDisabled | unix.PerfBitSampleIDAll | unix.PerfBitWatermark | unix.PerfBitUseClockID | unix.PerfBitExcludeCallchainUser
	if inherit {
		attr.Bits |= unix.PerfBitInherit
	}
	if attr.Sample == 0 {
		attr.Sample = 1
	}
	// Nobody waits for the ring: as rarely as can be said, the kernel need not try to wake anyone.
	attr.Wakeup = 1 << 31
	attr.Clockid = unix.CLOCK_MONOTONIC

	fd, err := unix.PerfEventOpen(&attr, pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if errors.Is(err, unix.EINVAL) && !rs.noLost {
		attr.Read_format &^= formatLost
		if fd, err = unix.PerfEventOpen(&attr, pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC); err == nil {
			rs.noLost = true
		}
	}
	if err != nil {
		return nil, err
	}
	o := &opened{spec: spec, fd: fd, bits: attr.Sample_type}
	if err := rs.attach(o, cpu); err != nil {
		unix.Close(fd)
		return nil, err
	}
	rs.events = append(rs.events, o)
	return &Event{o}, nil
}

// attach gives the event its filter and, once there are rings, that of its CPU.
func (rs *Rings) attach(o *opened, cpu int) error {
	if o.spec.Filter != "" {
		if err := ioctlString(o.fd, unix.PERF_EVENT_IOC_SET_FILTER, o.spec.Filter); err != nil {
			return fmt.Errorf("filter %q on %s: %w", o.spec.Filter, o.spec.Name, err)
		}
	}
	o.at = place{cpu, o.spec.System}
	if rs.mapped {
		if err := rs.output(o); err != nil {
			return err
		}
	}
	id, err := eventID(o.fd)
	if err != nil {
		return err
	}
	rs.byID[id] = o
	return nil
}

// output has the event write into the ring of its place, which is made if
// there is none.
func (rs *Rings) output(o *opened) error {
	r := rs.byCPU[o.at]
	if r == nil {
		var err error
		if r, err = mapRing(o.fd, o.at, rs.size); err != nil {
			return err
		}
		rs.byCPU[o.at] = r
		rs.rings = append(rs.rings, r)
	} else if err := unix.IoctlSetInt(o.fd, unix.PERF_EVENT_IOC_SET_OUTPUT, r.fd); err != nil {
		return os.NewSyscallError("ioctl PERF_EVENT_IOC_SET_OUTPUT", err)
	}
	o.ring = r
	return nil
}

// Map makes the rings of all events that were added, and of later ones. They
// share the memory that the kernel lets this user lock: if they do not fit, all
// of them are made half as large, down to a page.
func (rs *Rings) Map() error {
	if rs.mapped {
		return nil
	}
	for {
		err := rs.mapAll()
		if err == nil {
			rs.mapped = true
			return nil
		}
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOMEM) {
			return err
		}
		if e := rs.unmapAll(); e != nil {
			return e
		}
		if rs.size <= os.Getpagesize() {
			return noRings(len(rs.places()), err)
		}
		rs.size /= 2
	}
}

func (rs *Rings) mapAll() error {
	for _, o := range rs.events {
		if err := rs.output(o); err != nil {
			return err
		}
	}
	return nil
}

// places are those of all events.
func (rs *Rings) places() map[place]bool {
	at := map[place]bool{}
	for _, o := range rs.events {
		at[o.at] = true
	}
	return at
}

func (rs *Rings) unmapAll() error {
	var first error
	for _, r := range rs.rings {
		if err := r.unmap(); err != nil && first == nil {
			first = err
		}
	}
	for _, o := range rs.events {
		o.ring = nil
	}
	rs.rings = nil
	clear(rs.byCPU)
	return first
}

// Size is that of each ring, in bytes.
func (rs *Rings) Size() int { return rs.size }

// Remove closes one event, after its records were read from the ring. The event
// that a ring was made with stays until Close.
func (rs *Rings) Remove(e *Event) error {
	if e.o.ring != nil && e.o.ring.fd == e.o.fd {
		return errors.New("the first event of a CPU holds its ring")
	}
	if err := unix.IoctlSetInt(e.o.fd, unix.PERF_EVENT_IOC_DISABLE, 0); err != nil {
		return os.NewSyscallError("ioctl of a perf event", err)
	}
	if err := rs.drain(true, math.MaxInt); err != nil {
		return err
	}
	rs.events = slices.DeleteFunc(rs.events, func(o *opened) bool { return o == e.o })
	for id, o := range rs.byID {
		if o == e.o {
			delete(rs.byID, id)
		}
	}
	return unix.Close(e.o.fd)
}

// Drain takes all records out of the rings, for a later Read to pass on.
func (rs *Rings) Drain() error { return rs.drain(rs.stopped, math.MaxInt) }

// Enable starts all events, with rings.
func (rs *Rings) Enable() error {
	if err := rs.Map(); err != nil {
		return err
	}
	return rs.ioctl(unix.PERF_EVENT_IOC_ENABLE)
}

// Stop ends all events. The contents of the rings can still be read.
func (rs *Rings) Stop() error {
	if rs.stopped {
		return nil
	}
	rs.stopped = true
	return rs.ioctl(unix.PERF_EVENT_IOC_DISABLE)
}

func (rs *Rings) ioctl(req uint) error {
	for _, o := range rs.events {
		if err := unix.IoctlSetInt(o.fd, req, 0); err != nil {
			return os.NewSyscallError("ioctl of a perf event", err)
		}
	}
	return nil
}

// Close closes all events and rings.
func (rs *Rings) Close() error {
	first := rs.unmapAll()
	for _, o := range rs.events {
		if err := unix.Close(o.fd); err != nil && first == nil {
			first = err
		}
	}
	rs.events = nil
	clear(rs.byID)
	return first
}

// Full reports whether in the last reading a ring was more than half full.
func (rs *Rings) Full() bool { return rs.full }

// Backlogged reports whether the last Read left records in the rings: the next
// one should follow immediately.
func (rs *Rings) Backlogged() bool { return rs.backlog }

// Watermark is the time up to which Read has passed on everything.
func (rs *Rings) Watermark() int64 { return rs.until }

// Account queries the kernel for the losses up to now: a ring reports them only
// in the next record that it has room for. Before Linux 6.0 there is no other
// way.
func (rs *Rings) Account() error { return rs.account(true) }

// Losses returns the losses since the last call.
func (rs *Rings) Losses() []ktrace.Loss {
	l := rs.losses
	rs.losses = nil
	return l
}

// CPUs lists the CPUs that are online.
func CPUs() ([]int, error) {
	b, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, noCPUs(err)
	}
	return parseCPUs(strings.TrimSpace(string(b)))
}

// noCPUs says why the list of CPUs cannot be read.
func noCPUs(err error) error {
	e := &ktrace.AccessError{Tier: "perf", Missing: "the list of CPUs cannot be read: " + err.Error(), Change: "mount /sys", Err: err}
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		e.Missing, e.Change = "too many open files for the list of CPUs", "raise the limit of open files (ulimit -n)"
	}
	return e
}

// parseCPUs reads a list such as 0-3,8,10-11.
func parseCPUs(s string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(s, ",") {
		lo, hi, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(lo)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(hi)
		}
		if err != nil || a < 0 || b < a || b > 1<<16 {
			return nil, fmt.Errorf("invalid CPU list %q", s)
		}
		for c := a; c <= b; c++ {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}
