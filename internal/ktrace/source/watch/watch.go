//go:build linux

// Package watch observes eventfds themselves, with the processor's watchpoints:
// every write to an eventfd's counter, and every acquisition of the lock of its
// wait queue, with which a waiter is added or removed. This shows the part of a
// wait that no tracepoint shows, on kernels that refuse every function tracer.
//
// An eventfd's address is known only from its allocation, so only eventfds
// that are made under observation can be watched. A processor of the x86 kind
// has four watchpoints, and each eventfd takes two. The addresses stay in here.
package watch

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"github.com/efd-go/efd/internal/order"
	"golang.org/x/sys/unix"
)

// Name is the Source of the events and losses of this package's watchpoints.
const Name = "watchpoint"

// The values of Event.Field.
const (
	FieldCount = "count"
	FieldLock  = "wqh.lock"
)

// Config selects the objects to watch.
type Config struct {
	Symbols *ksym.Table

	// Wanted chooses whose new eventfds are watched as they are made, as long as
	// watchpoints are free. nil: only those of Eventfd.
	Wanted func(pid, tid int) bool

	Ring int // bytes per CPU, 0: 256 KB
}

// Source watches eventfds. It implements source.Source.
type Source struct {
	cpus    []int
	layout  layout
	rings   *perf.Rings
	syms    *ksym.Table
	wanted  func(pid, tid int) bool
	made    *perf.Spec // an allocation of an eventfd
	free    *tracefs.Format
	fresh   []alloc
	objects map[uint64]*object // that have watchpoints, by address
	known   map[int]*object    // the same and those of late, by the key of their allocation
	nextKey int
	missed  map[string]int // eventfds that went unwatched, by the reason
	armed   int            // eventfds that were watched
	gone    int            // eventfds that had ended before they were
	locks   map[locker]string
	stacks  *perf.Stacks
	proving int // TID that reads the fdinfo of eventfds, 0 for none
	losses  []ktrace.Loss
	stopped bool
}

var _ source.Source = (*Source)(nil)

// alloc is an eventfd that was just allocated.
type alloc struct {
	addr     uint64
	pid, tid int
	time     int64
	key      int
}

// object is a watched eventfd.
type object struct {
	addr   uint64
	serial int // the key of its allocation: negative and used once
	key    int // the key of its events: its eventfd-id, or serial if that is unknown
	pid    int // which made it
	tid    int
	events []*perf.Event
	freed  int64 // when it was, 0: not yet
	alive  bool  // it was found to be an eventfd of its process since it was armed, and since a record was lost
	was    bool  // it was found to be at some time
	armed  int64 // when it was, or when that became doubtful
}

// Open prepares to watch and starts to look for new eventfds. Its error is an
// *ktrace.AccessError if a privilege or a part of the kernel is missing.
func Open(c Config) (*Source, error) {
	if err := needSymbols(c.Symbols); err != nil {
		return nil, err
	}
	if err := Probe(); err != nil {
		return nil, err
	}
	return prepare(c)
}

func prepare(c Config) (*Source, error) {
	cpus, err := perf.CPUs()
	if err != nil {
		return nil, err
	}
	if c.Ring == 0 {
		c.Ring = 256 << 10
	}
	s := &Source{
		cpus: cpus, syms: c.Symbols, wanted: c.Wanted, objects: map[uint64]*object{}, known: map[int]*object{}, missed: map[string]int{}, locks: map[locker]string{},
		stacks: perf.NewStacks(c.Symbols),
	}
	s.rings = perf.NewRings(c.Ring, s.stacks)
	if s.layout, err = thisLayout(); err != nil {
		return nil, &ktrace.AccessError{Tier: "watch", Missing: "the layout of an eventfd in this kernel is not known: " + err.Error(), Change: "run a kernel with CONFIG_DEBUG_INFO_BTF", Err: err}
	}
	if err := s.openAlloc(); err != nil {
		s.rings.Close()
		return nil, err
	}
	return s, nil
}

// Layout says where the offsets of the watched fields are known from.
func (s *Source) Layout() string { return s.layout.from }

func (s *Source) openAlloc() error {
	fs, err := tracefs.Open()
	if err != nil {
		return err
	}
	defer fs.Close()
	made, err := fs.Event("kmem:kmalloc")
	if err != nil {
		return err
	}
	if s.free, err = fs.Event("kmem:kfree"); err != nil {
		return err
	}
	if _, err := s.free.Need("ptr"); err != nil {
		return err
	}
	fields, err := made.Need("ptr", "bytes_req")
	if err != nil {
		return err
	}
	spec := perf.Tracepoint("kmem:kmalloc", made)
	spec.Chain = true
	if spec.Filter = s.syms.CallSites(catalog.DefaultModel().Functions(catalog.MakesEventfd, "")...); spec.Filter == "" {
		return &ktrace.AccessError{Tier: "watch", Missing: "this kernel has no function that makes eventfds under a known name"}
	}
	spec.Decode = func(smp *perf.Sample, e *ktrace.Event) bool {
		if fields[1].Int(smp.Raw) != int64(s.layout.size) {
			return false // another allocation on the way, or another layout than the one known
		}
		s.nextKey--
		s.fresh = append(s.fresh, alloc{uint64(fields[0].Int(smp.Raw)), smp.PID, smp.TID, smp.Time, s.nextKey})
		e.Kind, e.Object = ktrace.Alloc, s.nextKey
		return true
	}
	s.made = spec
	for _, cpu := range s.cpus {
		// An event that never happens holds the ring, since the others come and go.
		if _, err := s.rings.Add(holder, -1, cpu, false); err != nil {
			return perf.Refused(holder.Name, err)
		}
	}
	if err := s.rings.Map(); err != nil {
		return err
	}
	if s.wanted == nil {
		return nil // Eventfd looks for its own only
	}
	_, err = s.lookOut(-1)
	return err
}

var holder = &perf.Spec{
	Name:   "perf:ring",
	Attr:   unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY},
	Decode: func(*perf.Sample, *ktrace.Event) bool { return false },
}

// lookOut starts to look for new eventfds of a thread, -1 for all.
func (s *Source) lookOut(tid int) ([]*perf.Event, error) {
	var events []*perf.Event
	for _, cpu := range s.cpus {
		e, err := s.rings.Add(s.made, tid, cpu, false)
		if err == nil {
			events = append(events, e)
			err = e.Enable()
		}
		if err != nil {
			s.remove(events)
			return nil, perf.Refused(s.made.Name, err)
		}
	}
	return events, nil
}

func (s *Source) remove(events []*perf.Event) error {
	var first error
	for _, e := range events {
		if err := s.rings.Remove(e); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// breakpoint is a write watchpoint.
func breakpoint(addr, size uint64, decode func(*perf.Sample, *ktrace.Event) bool) *perf.Spec {
	return &perf.Spec{
		Name: Name, Chain: true, Decode: decode,
		Attr: unix.PerfEventAttr{Type: unix.PERF_TYPE_BREAKPOINT, Bp_type: 2 /* HW_BREAKPOINT_W */, Ext1: addr, Ext2: size},
	}
}

// take watches the new eventfds that are wanted. One that cannot be watched is
// counted, with the reason: the rest goes on without.
func (s *Source) take(wanted func(a *alloc) bool) error {
	fresh := s.fresh
	s.fresh = nil // more may come while they are armed
	for i := range fresh {
		a := &fresh[i]
		if !wanted(a) {
			continue
		}
		if again(fresh[i+1:], a.addr) {
			s.gone++
			continue
		}
		err := s.arm(a)
		switch {
		case err == nil:
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EBUSY):
			s.missed["all watchpoints of the processor were in use, and each eventfd takes two"]++
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			s.missed["too many open files for a watchpoint; raise the limit of open files (ulimit -n)"]++
		default:
			s.missed[access(err).Error()]++
		}
	}
	return s.prove()
}

// again reports whether memory was allocated again for a later eventfd.
func again(later []alloc, addr uint64) bool {
	return slices.ContainsFunc(later, func(a alloc) bool { return a.addr == addr })
}

// arm watches for the end of an eventfd on every CPU, and then sets its
// watchpoints there. Its events count once it is known to live.
func (s *Source) arm(a *alloc) error {
	if old := s.objects[a.addr]; old != nil {
		s.disarm(old)
	}
	o := &object{addr: a.addr, serial: a.key, key: a.key, pid: a.pid, tid: a.tid, armed: source.Now()}
	for _, spec := range []*perf.Spec{
		s.freedSpec(o),
		breakpoint(a.addr+uint64(s.layout.count), 8, s.hit(o, FieldCount)),
		breakpoint(a.addr+uint64(s.layout.lock), 4, s.hit(o, FieldLock)),
	} {
		for _, cpu := range s.cpus {
			e, err := s.rings.Add(spec, -1, cpu, false)
			if errors.Is(err, unix.ENODEV) {
				continue // the CPU went offline
			}
			if err == nil {
				o.events = append(o.events, e)
				err = e.Enable()
			}
			if err != nil {
				s.disarm(o)
				return err
			}
		}
	}
	s.objects[a.addr], s.known[o.serial] = o, o
	s.armed++
	return nil
}

func (s *Source) disarm(o *object) error {
	err := s.remove(o.events)
	o.events = nil
	if s.objects[o.addr] == o {
		delete(s.objects, o.addr)
	}
	return err
}

func (s *Source) freedSpec(o *object) *perf.Spec {
	spec := perf.Tracepoint("kmem:kfree", s.free)
	spec.Raw = false
	spec.Filter = fmt.Sprintf("ptr==%#x", o.addr)
	spec.Decode = func(smp *perf.Sample, _ *ktrace.Event) bool {
		if o.freed == 0 || smp.Time < o.freed { // the rings of the CPUs are read one after another
			o.freed = smp.Time
		}
		return false
	}
	return spec
}

func (s *Source) hit(o *object, field string) func(*perf.Sample, *ktrace.Event) bool {
	return func(smp *perf.Sample, e *ktrace.Event) bool {
		if smp.TID == s.proving && s.asks(smp) {
			o.alive = true
			return false
		}
		e.Kind, e.Object, e.Field = ktrace.Watch, o.serial, field
		return true
	}
}

// Eventfd has make make an eventfd on this thread and watches it from then on.
// make returns its descriptor. armed is false if no watchpoint is free.
func (s *Source) Eventfd(make func() (int, error)) (fd int, armed bool, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.rings.Drain(); err != nil {
		return -1, false, err
	}
	if err := s.takeWanted(); err != nil {
		return -1, false, err
	}
	tid := unix.Gettid()
	if s.wanted == nil {
		mine, err := s.lookOut(tid)
		if err != nil {
			return -1, false, err
		}
		defer s.remove(mine)
	}
	from := source.Now()
	if fd, err = make(); err != nil {
		return fd, false, err
	}
	id := eventfdID(fd) // before it is watched: reading it takes the lock
	if err := s.rings.Drain(); err != nil {
		return fd, false, err
	}
	var mine *alloc
	err = s.take(func(a *alloc) bool {
		if a.tid == tid && a.time >= from {
			c := *a
			mine = &c
			return true
		}
		return s.wanted != nil && s.wanted(a.pid, a.tid)
	})
	if err != nil || mine == nil {
		return fd, false, err
	}
	o := s.objects[mine.addr]
	if o == nil || !o.alive {
		return fd, false, nil
	}
	if id >= 0 {
		o.key = id
	}
	return fd, true, nil
}

// Bind gives the eventfd whose allocation has the (negative) key its
// eventfd-id. Events that are read from then on carry it.
func (s *Source) Bind(key, id int) {
	if o := s.known[key]; o != nil {
		o.key = id
	}
}

// eventfdID reads an eventfd's id from fdinfo, -1 if the kernel does not show
// it (before 5.2).
func eventfdID(fd int) int {
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "eventfd-id:"); ok {
			if id, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
				return id
			}
		}
	}
	return -1
}

// Exhausted reports whether an eventfd went unwatched that was to be watched.
func (s *Source) Exhausted() bool { return len(s.missed) > 0 }

// Unwatched says how many eventfds went unwatched that were to be watched, and why.
func (s *Source) Unwatched() []string {
	var out []string
	for _, why := range order.Names(s.missed) {
		out = append(out, "changes of "+count.Of(s.missed[why], "further eventfd")+": "+why)
	}
	if n := s.gone + s.undecided(); n > 0 {
		out = append(out, "changes of "+count.Of(n, "further eventfd: it had ended before it could be watched, or was no longer among the descriptors of its process",
			"further eventfds: they had ended before they could be watched, or were no longer among the descriptors of their process"))
	}
	return out
}

// Armed counts the eventfds that were watched, for a time at least.
func (s *Source) Armed() int {
	return s.armed - s.undecided()
}

// undecided counts the armed eventfds that were not found to live yet.
func (s *Source) undecided() int {
	n := 0
	for _, o := range s.objects {
		if !o.was {
			n++
		}
	}
	return n
}

// Watched is the number of eventfds that are watched now.
func (s *Source) Watched() int { return len(s.objects) }

func (s *Source) takeWanted() error {
	return s.take(func(a *alloc) bool { return s.wanted != nil && s.wanted(a.pid, a.tid) })
}

// Read implements source.Source.
func (s *Source) Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	if !s.stopped {
		if err := s.rings.Drain(); err != nil {
			return buf, err
		}
		if err := s.takeWanted(); err != nil {
			return buf, err
		}
	}
	if err := s.doubt(); err != nil {
		return buf, err
	}
	buf, err := s.rings.Read(until, buf, s.pass)
	if err != nil {
		return buf, err
	}
	return buf, s.bury(until)
}

// bury gives the watchpoints of eventfds that are gone back, and forgets them
// when nothing can be left of them in the rings.
func (s *Source) bury(until int64) error {
	for serial, o := range s.known {
		if o.freed == 0 || o.freed >= until {
			continue
		}
		if o.events != nil {
			if err := s.disarm(o); err != nil {
				return err
			}
		}
		if o.freed < until-int64(time.Second) {
			delete(s.known, serial)
		}
	}
	return nil
}

// pass drops writes to an eventfd's memory that were or may have been after its
// end, and makes one event of the writes of taking and releasing a lock.
func (s *Source) pass(e *ktrace.Event) bool {
	if e.Kind != ktrace.Alloc && e.Kind != ktrace.Watch {
		return false
	}
	o := s.known[e.Object]
	if e.Kind == ktrace.Watch && (o == nil || !o.alive || o.freed != 0 && e.Time >= o.freed || asksFdinfo(e.Stack)) {
		return false
	}
	if o != nil {
		e.Object = o.key
	}
	if e.Comm == "" && e.TID > 0 {
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(e.TID) + "/comm")
		e.Comm = strings.TrimSuffix(string(b), "\n")
	}
	if e.Kind == ktrace.Watch && e.Field == FieldLock {
		return s.takes(e)
	}
	return true
}

func names(stack []ktrace.Frame) string {
	var b strings.Builder
	for _, f := range stack {
		b.WriteString(f.Name)
		b.WriteByte(' ')
	}
	return b.String()
}

// Account implements source.Accountant.
func (s *Source) Account() error { return s.rings.Account() }

// Backlogged implements source.Backlogged.
func (s *Source) Backlogged() bool { return s.rings.Backlogged() }

// Watermark implements source.Backlogged.
func (s *Source) Watermark() int64 { return s.rings.Watermark() }

// Losses implements source.Source.
func (s *Source) Losses() []ktrace.Loss {
	l := append(s.losses, s.rings.Losses()...)
	s.losses = nil
	return l
}

// Stop implements source.Source.
func (s *Source) Stop() error {
	s.stopped = true
	return s.rings.Stop()
}

// Close implements source.Source.
func (s *Source) Close() error { return errors.Join(s.Stop(), s.rings.Close()) }
