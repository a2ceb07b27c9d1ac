package observe

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
)

// Pipeline takes events, live or from a recording, and tells of wakes.
type Pipeline struct {
	Total   int    // wakes told of
	Lost    uint64 // records that never arrived
	Losses  []ktrace.Loss
	Ignored int // wakes that concern no eventfd, poll, select or epoll

	k       *Kernel
	o       Options
	t       *Tracker
	objects *Objects // nil in a replay
	pollers goPollers
	pids    map[int]bool
	held    []*held
}

// held is a wake that waits until what /proc said of its descriptor is known
// to be right.
type held struct {
	j     *Judged
	ob    *object
	until int64
}

// NewPipeline makes a pipeline for events of a kernel.
func NewPipeline(k *Kernel, o Options) *Pipeline {
	p := &Pipeline{k: k, o: o, t: NewTracker()}
	p.t.OnWake = p.wake
	p.t.OnCall = o.OnCall
	return p
}

// live prepares for events of this machine's processes: what they are and
// what they are doing already.
func (p *Pipeline) live(pids []int) {
	p.objects = newObjects(p.k.Arch, source.Now)
	for _, pid := range pids {
		tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*")
		for _, t := range tasks {
			tid, err := strconv.Atoi(filepath.Base(t))
			if err == nil {
				p.known(pid, tid, t)
			}
		}
	}
}

// known tells the tracker of the call that a thread sleeps in already.
func (p *Pipeline) known(pid, tid int, dir string) {
	b, err := os.ReadFile(dir + "/syscall")
	if err != nil {
		return
	}
	f := strings.Fields(string(b))
	if len(f) < 7 {
		return
	}
	nr, err := strconv.Atoi(f[0])
	if err != nil || nr < 0 {
		return
	}
	var args [6]uint64
	for i := range args {
		args[i], _ = strconv.ParseUint(strings.TrimPrefix(f[i+1], "0x"), 16, 64)
	}
	comm, _ := os.ReadFile(dir + "/comm")
	p.t.Known(pid, tid, strings.TrimSpace(string(comm)), nr, args)
}

// Feed takes the next batch.
func (p *Pipeline) Feed(events []ktrace.Event, losses []ktrace.Loss) {
	for _, l := range losses {
		p.Lost += l.Count
		p.Losses = append(p.Losses, l)
		p.t.Loss(l)
		if p.objects != nil {
			p.objects.lost()
		}
	}
	if len(p.Losses) > 1024 {
		p.Losses = slices.Delete(p.Losses, 0, 512)
	}
	for i := range events {
		if p.objects != nil {
			p.objects.event(&events[i])
		}
		p.t.Event(&events[i])
	}
	p.release(p.t.now)
}

// Flush tells of what is still open.
func (p *Pipeline) Flush() {
	p.t.Flush()
	p.release(source.End)
}

// polls: the calls that wait for descriptors.
func polls(name string) bool {
	switch name {
	case "poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2", "restart_syscall":
		return true
	}
	return false
}

// concerns: the wake of a waiter for descriptors, or by an eventfd.
func concerns(j *Judged) bool {
	if polls(j.WakeeSyscall) {
		return true
	}
	if len(j.WakePaths) == 0 {
		return false
	}
	switch j.WakePaths[0] {
	case "eventfd_write", "eventfd_read", "eventfd_signal", "aio", "io_uring", "kvm_ioeventfd", "memcg", "vfio":
		return len(j.Callbacks) > 0
	}
	return false
}

func (p *Pipeline) wake(w *Wake) {
	j := p.k.Judge(w)
	if !concerns(j) {
		p.Ignored++
		return
	}
	h := &held{j: j}
	if c := w.Waker.Call; c != nil && !c.Doubtful && byDescriptor(j.WakerSyscall) {
		w.FD = int(int32(c.Args[0]))
	}
	if p.objects != nil {
		if c := w.Wakee.Call; c != nil && !c.Doubtful && strings.HasPrefix(j.WakeeSyscall, "epoll_") {
			w.Runtime = p.pollers.is(w.Wakee.PID, int(int32(c.Args[0])))
		}
		if w.FD >= 0 {
			h.ob = p.objects.ask(w.Waker.PID, w.FD)
			h.until = h.ob.asked
		}
	}
	p.held = append(p.held, h)
	if len(p.held) > 1<<12 {
		p.release(source.End) // without what is not known for certain yet
	}
}

// byDescriptor: the call's first argument is the descriptor that it wakes on.
func byDescriptor(name string) bool {
	switch name {
	case "write", "read", "writev", "readv", "pwrite64", "pread64", "pwritev", "preadv", "pwritev2", "preadv2", "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg":
		return true
	}
	return false
}

// release tells of the wakes whose descriptors are known up to now.
func (p *Pipeline) release(now int64) {
	n := 0
	for _, h := range p.held {
		if h.ob != nil && h.until > now {
			break
		}
		if h.ob != nil && !h.ob.bad && h.until <= p.t.now {
			h.j.Object = h.ob.what
		}
		p.Total++
		if p.o.OnWake != nil {
			p.o.OnWake(h.j)
		}
		n++
	}
	p.held = slices.Delete(p.held, 0, n)
}
