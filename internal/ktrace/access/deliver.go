//go:build linux

package access

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"golang.org/x/sys/unix"
)

// Delivery holds the results of wakes that this process made under observation.
type Delivery struct {
	Opened error // why the events do not open together, with their rings

	Switched bool // that a thread ran
	Waking   bool // that a thread was woken, and by whom
	Arrived  bool // the arguments of a system call
	Elsewhen bool // a record of a time at which it cannot have been
	chain    bool // the whole call chain of a waking
	cut      int  // the frames of a chain of theirs that the kernel cut
}

// rings are the sizes of the rings of one try after another. Those of run are
// like the first: a machine that is busy fills it before two threads have woken
// each other.
var rings = []int{64 << 10, 1 << 20}

// Deliver has two threads wake each other, observed with the events and the
// rings of run: wakes of the whole system if system, else those that the
// threads do themselves. If records are lost to the wakes of others, it tries
// again: with larger rings, and then without those of others.
func Deliver(syms *ksym.Table, system bool) (d Delivery, src *perf.Source) {
	self := []int{os.Getpid()}
	c := perf.Config{Symbols: syms, PIDs: self, Tasks: self, Syscalls: []int{unix.SYS_READ, unix.SYS_WRITE}, Started: true}
	if system {
		c.System = []ktrace.EventKind{ktrace.Waking}
	}
	var lost uint64
	for _, c.Ring = range rings {
		if d, src, lost = try(c, src); !d.undecided(lost) {
			return d, src
		}
	}
	if system {
		c.System = nil
		d, src, lost = try(c, src)
	}
	if d.undecided(lost) && !d.Waking {
		d.Opened = busy(lost)
	}
	return d, src
}

// undecided reports whether what was not seen may be among the records that were
// lost.
func (d *Delivery) undecided(lost uint64) bool {
	return d.Opened == nil && lost > 0 && !(d.Waking && d.chain && d.Arrived)
}

// busy is the error if it cannot be decided whether wakes come.
func busy(lost uint64) error {
	return &ktrace.AccessError{Tier: "perf", Silent: true, Change: "try again when less runs here",
		Missing: "it is not decided whether wakes (sched:sched_waking) come: while two threads of this program woke each other " + count.Of(int(lost), "record was lost", "records were lost")}
}

// try is one try. It closes the source of the try before when its own is open:
// to close the last event of a tracepoint takes long.
func try(c perf.Config, before *perf.Source) (d Delivery, src *perf.Source, lost uint64) {
	src, err := perf.Open(c)
	if errors.Is(err, unix.EMFILE) && c.System != nil {
		c.Tasks, c.System = nil, nil
		src, err = perf.Open(c)
	}
	if before != nil {
		before.Close()
	}
	if err != nil {
		d.Opened = err
		return d, nil, 0
	}
	from := source.Now()
	threads, err := wakeEachOther()
	to := source.Now()
	if err == nil {
		err = src.Stop()
	}
	var events []ktrace.Event
	if err == nil {
		events, err = src.Read(source.End, nil)
	}
	d.Opened = err
	for i := range events {
		if e := &events[i]; slices.Contains(threads, e.TID) && (e.Time < from-int64(time.Second) || e.Time > to+int64(time.Second)) {
			d.Elsewhen = true
		}
		d.take(&events[i], threads)
	}
	for _, l := range src.Losses() {
		lost += l.Count
	}
	return d, src, lost
}

// take records the evidence of an event of the two threads.
func (d *Delivery) take(e *ktrace.Event, threads []int) {
	ours := slices.Contains(threads, e.TID)
	if ours && e.Truncated && len(e.Stack) > 0 {
		d.cut = len(e.Stack)
	}
	switch e.Kind {
	case ktrace.Switch:
		d.Switched = d.Switched || ours || slices.Contains(threads, e.Target)
	case ktrace.SysEnter:
		d.Arrived = d.Arrived || ours && e.Nr == unix.SYS_WRITE && e.Args[2] == 8
	case ktrace.Waking:
		if !ours || !slices.Contains(threads, e.Target) {
			return
		}
		d.Waking = true
		d.chain = d.chain || !e.Truncated && slices.ContainsFunc(e.Stack, func(f ktrace.Frame) bool { return strings.HasPrefix(f.Name, "eventfd_write") })
	}
}

// wakeEachOther has two threads hand two eventfds to and fro, and returns their
// numbers. That often, one of them was asleep at times.
func wakeEachOther() (threads []int, err error) {
	const rounds = 32
	var fds [2]int
	for i := range fds {
		if fds[i], err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
			return nil, os.NewSyscallError("eventfd2", err)
		}
		defer unix.Close(fds[i])
	}
	one := []byte{1, 1, 1, 1, 1, 1, 1, 1}
	var mu sync.Mutex
	var g sync.WaitGroup
	for i := range fds {
		g.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			mu.Lock()
			threads = append(threads, unix.Gettid())
			mu.Unlock()
			var b [8]byte
			for range rounds {
				if i == 0 {
					unix.Write(fds[1], one)
				}
				for _, e := unix.Read(fds[i], b[:]); e == unix.EINTR; _, e = unix.Read(fds[i], b[:]) {
				}
				if i == 1 {
					unix.Write(fds[0], one)
				}
			}
		})
	}
	g.Wait()
	return threads, nil
}

// Missing is why no wake can be shown with its call chain, nil if it can.
func (d *Delivery) Missing() error {
	switch {
	case d.Opened != nil:
		return d.Opened
	case d.Elsewhen:
		return otherClock()
	case !d.Waking:
		return Silent("wakes (sched:sched_waking)")
	case !d.chain || d.cut > 0:
		return cutShort(d.cut)
	}
	return nil
}

// Silent returns the error for a source that opens and does not deliver.
func Silent(what string) error {
	return &ktrace.AccessError{Tier: "perf", Silent: true, Missing: what + " open, and do not deliver: two threads of this program woke each other, and there is no record of it"}
}

// otherClock is the error for records whose times are not of this process's
// clock.
func otherClock() error {
	return &ktrace.AccessError{Tier: "perf", Silent: true, Change: "run in the initial time namespace, or start efdtrace by a process of this one (unshare --time --fork)",
		Missing: "the records of tracepoints have times of another CLOCK_MONOTONIC than this process's, which is in a time namespace whose offset cannot be read"}
}

// cutShort says which sysctl cuts call chains.
func cutShort(frames int) error {
	name := "kernel.perf_event_max_stack"
	change := "set kernel.perf_event_max_stack to 127, while no perf event is open"
	if File("/proc/sys/kernel/perf_event_max_contexts_per_stack") == "0" {
		name, change = "kernel.perf_event_max_contexts_per_stack", "set kernel.perf_event_max_contexts_per_stack to 8, while no perf event is open"
	}
	return &ktrace.AccessError{Tier: "perf", Silent: true, Change: change,
		Missing: fmt.Sprintf("call chains open, and do not deliver: of those of two threads that woke each other through eventfds some %s (%s is %s)",
			cutAt(frames), name, File("/proc/sys/kernel/"+strings.TrimPrefix(name, "kernel.")))}
}

// cutAt says how much of a chain there is.
func cutAt(frames int) string {
	if frames == 0 {
		return "have no frame at all"
	}
	return "are cut at " + count.Of(frames, "frame")
}

// File is the content of a file of one line, "" if it cannot be read.
func File(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
