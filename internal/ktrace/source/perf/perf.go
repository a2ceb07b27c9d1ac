//go:build linux

// Package perf observes the kernel through its perf events: the scheduler's
// tracepoints with the kernel's call chain, and the enter and exit of system
// calls without one.
//
// There is one ring per CPU. Records are put into one order by their
// CLOCK_MONOTONIC times. Nobody is ever woken to read: the reader comes by the
// clock (source.Run), since a reader that polled the rings would show up as a
// woken poller itself.
package perf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"github.com/efd-go/efd/internal/order"
	"golang.org/x/sys/unix"
)

// Config selects the events to observe. The zero value is the whole system with
// all kinds of events and stacks without names.
type Config struct {
	// Symbols resolve the call chains. Without them no event has a stack.
	Symbols *ksym.Table

	// Kinds are the events wanted: Waking, Switch, SysEnter, SysExit. None: all.
	Kinds []ktrace.EventKind

	// Syscalls are the numbers of the system calls whose enter and exit are
	// wanted; the kernel drops the others. None: all.
	Syscalls []int

	// PIDs limits the result to these processes, their children, and the wakes
	// that they do or get. The kernel still records the whole system.
	PIDs []int

	// Tasks limits the recording itself to the threads of these processes and
	// their children. Wakes of them by others are recorded too; switches to
	// them are recorded without the previous task (Event.TID is -1). This needs
	// an open file per thread, CPU and kind of event.
	Tasks []int

	// System are the Kinds that are recorded for the whole system although Tasks
	// limits the others. They have rings of their own.
	System []ktrace.EventKind

	// Running has a Switch for each time a thread of Tasks gets a CPU, also if
	// Kinds has no Switch: a record without a call chain.
	Running bool

	// A Switch whose TID is -1 and whose Source is "perf:switch" says only that
	// Target got its CPU.

	// Started has a Started for each process that one of those observed starts.
	Started bool

	// ExcludePIDs are processes that are left out, such as the observer itself.
	ExcludePIDs []int

	// Ring is the size of a CPU's ring in bytes. 0: by the number of CPUs.
	Ring int
}

// Source is a running observation. It implements source.Source.
type Source struct {
	rings   *Rings
	cpus    cpuWatch
	tasks   *tasks
	started bool         // Config.Started
	follow  map[int]bool // nil: everybody
	left    int          // that were followed when those that are gone were forgotten last
	exits   exits        // of those
	exclude map[int]bool
}

var _ source.Source = (*Source)(nil)

// Open starts to observe. Its error is an *ktrace.AccessError if a
// privilege or a part of the kernel is missing.
func Open(c Config) (*Source, error) {
	if err := OwnProc(); err != nil && (c.PIDs != nil || c.Tasks != nil) {
		return nil, err
	}
	cpus, err := CPUs()
	if err != nil {
		return nil, err
	}
	if c.Ring == 0 {
		c.Ring = ringSize(len(cpus))
	}
	if page := os.Getpagesize(); c.Ring < page || c.Ring%page != 0 || c.Ring&(c.Ring-1) != 0 {
		return nil, fmt.Errorf("perf ring of %d bytes: want a power of two of at least a page (%d)", c.Ring, page)
	}
	s := &Source{tasks: newTasks(), started: c.Started, exclude: map[int]bool{}}
	specs, err := s.specs(c)
	if err != nil {
		return nil, err
	}
	if c.PIDs != nil {
		s.follow = map[int]bool{}
		for _, pid := range c.PIDs {
			s.Follow(pid)
		}
	}
	for _, pid := range c.ExcludePIDs {
		s.exclude[pid] = true
	}
	s.rings = NewRings(c.Ring, NewStacks(c.Symbols))
	if !s.tasks.initial {
		s.rings.local = func(global int) int { return s.tasks.local[global] }
	}
	if c.Tasks == nil {
		err = s.openSystem(specs, cpus)
	} else {
		s.rings.perTask = true
		own, system := split(specs)
		if err = s.openTasks(own, cpus, c.Tasks); err == nil && len(system) > 0 {
			err = s.openSystem(system, cpus)
		}
	}
	if err == nil {
		err = s.rings.Enable()
	}
	if err != nil {
		s.rings.Close()
		return nil, err
	}
	s.cpus = cpuWatch{open: map[int]bool{}, changed: map[int]bool{}, looked: source.Now(), list: CPUs}
	for _, cpu := range cpus {
		s.cpus.open[cpu] = true
	}
	return s, nil
}

// ringSize shares 16 MB among the CPUs. A thread that does nothing but wake
// another fills 1 MB in some 15 ms, and on a busy machine the reader may miss
// its time several times over.
func ringSize(cpus int) int {
	size := 8 << 20
	for size*cpus > 16<<20 && size > 64<<10 {
		size /= 2
	}
	return size
}

// split parts the events of the whole system from those of tasks.
func split(specs []*Spec) (own, system []*Spec) {
	for _, spec := range specs {
		if spec.System {
			system = append(system, spec)
		} else {
			own = append(own, spec)
		}
	}
	return own, system
}

func (s *Source) openSystem(specs []*Spec, cpus []int) error {
	for _, cpu := range cpus {
		for _, spec := range specs {
			_, err := s.rings.Add(spec, -1, cpu, false)
			if errors.Is(err, unix.ENODEV) {
				break // the CPU went offline
			}
			if err != nil {
				return addError(spec, err)
			}
		}
	}
	if len(s.rings.events) == 0 {
		return errors.New("no CPU to observe")
	}
	return nil
}

// openTasks opens the events of all threads of the processes. It looks again
// until no thread is new: one may have been started by a thread that had no
// event to inherit yet.
func (s *Source) openTasks(specs []*Spec, cpus, pids []int) error {
	have := map[int]bool{}
	for more := true; more; {
		more = false
		for _, pid := range pids {
			for _, tid := range Threads(pid) {
				if have[tid] {
					continue
				}
				have[tid], more = true, true
				if err := s.openThread(specs, cpus, tid); err != nil {
					return err
				}
			}
		}
	}
	if len(s.rings.events) == 0 {
		return fmt.Errorf("the process has ended, or there is none: no thread to observe of PID %v", pids)
	}
	return nil
}

func (s *Source) openThread(specs []*Spec, cpus []int, tid int) error {
	for _, cpu := range cpus {
		for _, spec := range specs {
			_, err := s.rings.Add(spec, tid, cpu, true)
			if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
				break // the thread has ended, or the CPU went offline
			}
			if err != nil {
				return addError(spec, err)
			}
		}
	}
	return nil
}

func addError(spec *Spec, err error) error {
	if _, ok := errors.AsType[unix.Errno](err); !ok {
		return err
	}
	return Refused(spec.Name, err)
}

// Follow adds a process, with its threads and children, to those that the
// result is limited to.
func (s *Source) Follow(pid int) {
	if s.follow == nil {
		s.follow = map[int]bool{}
	}
	s.follow[pid] = true
	for _, tid := range Threads(pid) {
		s.tasks.belongs(tid, pid)
	}
}

// Follows reports whether a process is one of those that the result is limited
// to.
func (s *Source) Follows(pid int) bool { return s.follow == nil || s.follow[pid] }

// Threads lists the threads of a process, in ascending order.
func Threads(pid int) []int {
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return nil
	}
	var tids []int
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	order.Ints(tids)
	return tids
}

// Read implements source.Source.
func (s *Source) Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	s.rings.losses = append(s.rings.losses, s.cpus.look(source.Now(), false)...)
	return s.rings.Read(until, buf, s.pass)
}

// Account implements source.Accountant.
func (s *Source) Account() error { return s.rings.Account() }

// Losses implements source.Source.
func (s *Source) Losses() []ktrace.Loss { return s.rings.Losses() }

// Full reports whether the last Read found a ring more than half full: the
// next one should come soon.
func (s *Source) Full() bool { return s.rings.Full() }

// Backlogged implements source.Backlogged.
func (s *Source) Backlogged() bool { return s.rings.Backlogged() }

// Watermark implements source.Backlogged.
func (s *Source) Watermark() int64 { return s.rings.Watermark() }

// SilentCPUs lists the CPUs on which the kernel keeps the events of the idle task
// to itself, as far as that has shown: it was switched to again and again and
// left no record. A wake that an interrupt did while such a CPU was idle cannot
// be seen. Some running kernels are found in that state for no visible reason;
// it stays until they are booted again.
func (s *Source) SilentCPUs() []int {
	return s.cpusWith(func(q *queue) bool { return q.idle >= enoughIdle })
}

// Undecided lists the CPUs that were not idle often enough for Blind to be sure.
func (s *Source) Undecided() []int {
	return s.cpusWith(func(q *queue) bool { return q.idle < enoughIdle && !q.idled })
}

// enoughIdle is how often an idle task may be switched to and leave no record by
// chance.
const enoughIdle = 8

func (s *Source) cpusWith(is func(*queue) bool) []int {
	var cpus []int
	for at, q := range s.rings.queues {
		if is(q) {
			cpus = append(cpus, at.cpu)
		}
	}
	order.Ints(cpus)
	return cpus
}

// Stop implements source.Source.
func (s *Source) Stop() error {
	if !s.rings.stopped {
		s.rings.losses = append(s.rings.losses, s.cpus.look(source.Now(), true)...)
	}
	return s.rings.Stop()
}

// Close implements source.Source.
func (s *Source) Close() error {
	err := s.rings.Stop()
	return errors.Join(err, s.rings.Close())
}

// pass updates the task table and reports whether to keep the event.
func (s *Source) pass(e *ktrace.Event) bool {
	t := s.tasks
	s.followFork(e)
	if t.apply(e) {
		if e.Kind != kindFork || !s.started || e.TID != e.PID {
			return false
		}
		e.Kind, e.Source, e.Target = ktrace.Started, Tasks, 0
		return s.wanted(e)
	}
	if e.TID > 0 {
		t.belongs(e.TID, e.PID)
	}
	if e.Kind == ktrace.Waking || e.Kind == ktrace.Switch {
		t.target(e)
		if e.TargetComm != "" && e.Target > 0 {
			t.named(e.Target, []byte(e.TargetComm))
		}
	}
	if !s.wanted(e) {
		return false
	}
	if e.Comm == "" {
		e.Comm = t.name(e.TID, e.Time)
	}
	return true
}

func (s *Source) wanted(e *ktrace.Event) bool {
	if s.exclude[e.PID] {
		return false
	}
	if s.follow == nil && len(s.exclude) == 0 {
		return true
	}
	target := 0
	if e.Target > 0 {
		target = s.tasks.processOf(e.Target)
		e.TargetPID = target
	}
	for _, pid := range []int{e.PID, target} {
		if s.exits.another(pid, e.Time) {
			delete(s.follow, pid)
		}
	}
	if s.follow == nil {
		return target == 0 || !s.exclude[target]
	}
	return s.follow[e.PID] || target != 0 && s.follow[target]
}

// specs are the events to open, with the layouts of this kernel.
func (s *Source) specs(c Config) ([]*Spec, error) {
	fs, err := tracefs.Open()
	if err != nil {
		return nil, err
	}
	defer fs.Close()
	want := func(k ktrace.EventKind) bool { return len(c.Kinds) == 0 || slices.Contains(c.Kinds, k) }
	chain := c.Symbols != nil
	specs := []*Spec{tasksSpec(want(ktrace.Switch) || c.Running)}
	if c.Tasks != nil && len(c.System) > 0 {
		specs = append(specs, namesSpec())
	}
	for _, one := range []struct {
		kind ktrace.EventKind
		name string
		make func(*tracefs.Format, *Spec) error
	}{
		{ktrace.Waking, "sched:sched_waking", s.waking},
		{ktrace.Switch, "sched:sched_switch", s.switched},
		{ktrace.SysEnter, "raw_syscalls:sys_enter", s.entered},
		{ktrace.SysExit, "raw_syscalls:sys_exit", s.exited},
	} {
		if !want(one.kind) {
			continue
		}
		f, err := fs.Event(one.name)
		if err != nil {
			return nil, err
		}
		spec := Tracepoint(one.name, f)
		spec.System = c.Tasks != nil && slices.Contains(c.System, one.kind)
		spec.Chain = chain && (one.kind == ktrace.Waking || one.kind == ktrace.Switch)
		if one.kind == ktrace.SysEnter || one.kind == ktrace.SysExit {
			spec.Filter = anyOf("id", c.Syscalls)
		}
		if err := one.make(f, spec); err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// anyOf is a filter that lets the given values of a field pass.
func anyOf(field string, values []int) string {
	terms := make([]string, len(values))
	for i, v := range values {
		terms[i] = field + "==" + strconv.Itoa(v)
	}
	return strings.Join(terms, "||")
}

// Tracepoint is the spec of a tracepoint, still without Decode.
func Tracepoint(name string, f *tracefs.Format) *Spec {
	return &Spec{Name: name, Raw: true, Attr: unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: uint64(f.ID)}}
}

// Tasks is the Source name of task events (fork, exec, exit) and of their
// losses.
const Tasks = "perf:tasks"

// tasksSpec is an event that never fires, but brings the records of forks,
// exits and renames, and with switches also those of tasks that get a CPU.
func tasksSpec(switches bool) *Spec {
	bits := uint64(unix.PerfBitTask | unix.PerfBitComm)
	if switches {
		bits |= unix.PerfBitContextSwitch
	}
	return &Spec{
		Name:   Tasks,
		Attr:   unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY, Bits: bits},
		Decode: func(*Sample, *ktrace.Event) bool { return false },
	}
}

// Names is the Source name of the renames of all tasks, and of their losses.
const Names = "perf:names"

// namesSpec brings the records of the names of all tasks of the system: the
// waker of an observed thread may have executed another program since its name
// was read.
func namesSpec() *Spec {
	return &Spec{
		Name:   Names,
		System: true,
		Attr:   unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY, Bits: unix.PerfBitComm},
		Decode: func(*Sample, *ktrace.Event) bool { return false },
	}
}

func (s *Source) waking(f *tracefs.Format, spec *Spec) error {
	fields, err := f.Need("common_pid", "comm", "pid")
	if err != nil {
		return err
	}
	self, comm, pid := fields[0], fields[1], fields[2]
	spec.Decode = func(smp *Sample, e *ktrace.Event) bool {
		e.Kind = ktrace.Waking
		s.tasks.sameTask(int(self.Int(smp.Raw)), smp.TID)
		s.tasks.buried(int(self.Int(smp.Raw)), e)
		e.GlobalTarget = int(pid.Int(smp.Raw))
		e.TargetComm = s.text(comm.Bytes(smp.Raw))
		return true
	}
	return nil
}

// tasks that the scheduler still counts as runnable have no bit of prev_state
// set but this one, which says that they were preempted (TASK_REPORT_MAX).
const statePreempted = 0x100

func (s *Source) switched(f *tracefs.Format, spec *Spec) error {
	fields, err := f.Need("prev_comm", "prev_pid", "prev_state", "next_comm", "next_pid")
	if err != nil {
		return err
	}
	prevComm, prevPID, state, nextComm, nextPID := fields[0], fields[1], fields[2], fields[3], fields[4]
	spec.Decode = func(smp *Sample, e *ktrace.Event) bool {
		e.Kind = ktrace.Switch
		s.tasks.sameTask(int(prevPID.Int(smp.Raw)), smp.TID)
		s.tasks.buried(int(prevPID.Int(smp.Raw)), e)
		e.Comm = s.text(prevComm.Bytes(smp.Raw))
		e.State = int(state.Int(smp.Raw))
		e.Preempted = e.State&^statePreempted == 0
		e.GlobalTarget = int(nextPID.Int(smp.Raw))
		e.TargetComm = s.text(nextComm.Bytes(smp.Raw))
		return true
	}
	return nil
}

func (s *Source) entered(f *tracefs.Format, spec *Spec) error {
	fields, err := f.Need("id", "args")
	if err != nil {
		return err
	}
	id, args := fields[0], fields[1]
	word := args.Size / len(ktrace.Event{}.Args)
	spec.Decode = func(smp *Sample, e *ktrace.Event) bool {
		e.Kind, e.Nr = ktrace.SysEnter, int(id.Int(smp.Raw))
		for i := range e.Args {
			e.Args[i] = uint64(args.Element(i, word).Int(smp.Raw))
		}
		return true
	}
	return nil
}

func (s *Source) exited(f *tracefs.Format, spec *Spec) error {
	fields, err := f.Need("id", "ret")
	if err != nil {
		return err
	}
	id, ret := fields[0], fields[1]
	spec.Decode = func(smp *Sample, e *ktrace.Event) bool {
		e.Kind, e.Nr, e.Ret = ktrace.SysExit, int(id.Int(smp.Raw)), ret.Int(smp.Raw)
		return true
	}
	return nil
}

// text makes a string of a name without a copy for every record: there are few
// names.
func (s *Source) text(b []byte) string {
	if v, ok := s.tasks.texts[string(b)]; ok {
		return v
	}
	if len(s.tasks.texts) >= maxTasks {
		clear(s.tasks.texts)
	}
	v := strings.ToValidUTF8(string(b), "\uFFFD")
	s.tasks.texts[string(b)] = v
	return v
}
