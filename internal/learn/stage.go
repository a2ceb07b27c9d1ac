//go:build linux

package learn

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/uapi"
)

// The numbers under which a log names the threads of a lesson.
const (
	actorTID  = 1001
	waiterTID = 1002
)

// stage is the environment of a lesson: it keeps the calls, and ends the
// threads that it started.
type stage struct {
	ctx     context.Context
	called  context.Context // ends with ctx, and when the waiter's call returns
	remove  func()
	waiter  int // tid of the thread that sleeps
	waiters map[int]bool
	nr      []int
	done    chan error
	ends    []func()

	mu    sync.Mutex
	calls []*efd.Call
	naps  []time.Time // when /proc said that the waiter sleeps
}

func newStage(ctx context.Context) *stage {
	// The first epoll of a process makes an eventfd too: it is to be there before
	// the lesson, so that each run shows the same calls.
	if p, err := efd.NewEpoll(); err == nil {
		p.Close()
	}
	s := &stage{ctx: ctx, waiters: map[int]bool{}}
	s.remove = efd.AddTracer(func(c *efd.Call) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, c)
	})
	return s
}

func (s *stage) end() {
	s.remove()
	for _, end := range slices.Backward(s.ends) {
		end()
	}
}

func (s *stage) cleanup(end func()) { s.ends = append(s.ends, end) }

// eventfd makes an eventfd for the lesson.
func (s *stage) eventfd(initial uint32, flags efd.Flag) (*efd.EventFD, error) {
	e, err := efd.New(initial, flags)
	if err == nil {
		s.cleanup(func() { e.Close() })
	}
	return e, err
}

func (s *stage) epoll() (*efd.Epoll, error) {
	p, err := efd.NewEpoll()
	if err == nil {
		s.cleanup(func() { p.Close() })
	}
	return p, err
}

// sleep runs call on a thread of its own and returns when that thread sleeps
// in one of the system calls nr.
func (s *stage) sleep(call func() error, nr ...int) error {
	tid := make(chan int)
	s.done, s.nr = make(chan error, 1), nr
	until, returned := asleep.UntilReturn(s.ctx)
	s.called = until
	go func(done chan<- error) {
		runtime.LockOSThread() // ends with the goroutine
		tid <- gettid()
		err := call()
		returned(err)
		done <- err
	}(s.done)
	s.waiter = <-tid
	s.waiters[s.waiter] = true
	return s.asleep()
}

// asleep returns when the waiter sleeps, or sleeps on.
func (s *stage) asleep() error {
	err := asleep.Await(s.called, os.Getpid(), s.waiter, s.nr...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.naps = append(s.naps, time.Now())
	return err
}

// woken waits for the end of the waiter's call.
func (s *stage) woken() error {
	select {
	case err := <-s.done:
		return err
	case <-s.ctx.Done():
		return fmt.Errorf("the waiter was not woken: %w", s.ctx.Err())
	}
}

// log lists the calls as strace -f does: in the order in which they began, and
// one that slept in two halves, around the calls of others.
func (s *stage) log() Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.calls, func(a, b *efd.Call) int { return a.Start.Compare(b.Start) })
	n := &numbering{fds: map[int]int{}, open: map[int]bool{}}
	var out Log
	for _, c := range s.calls {
		l := line{at: c.Start, tid: actorTID, text: n.call(c)}
		if s.waiters[c.TID] {
			l.tid = waiterTID
		}
		end := c.Start.Add(c.Duration)
		if l.tid == waiterTID && slices.ContainsFunc(s.naps, func(t time.Time) bool { return t.After(c.Start) && t.Before(end) }) {
			second := line{at: end, tid: l.tid, slept: true}
			l.text, second.text = uapi.Halves(l.text)
			out = append(out, l, second)
			continue
		}
		out = append(out, l)
	}
	for _, t := range s.naps {
		out = append(out, line{at: t, text: fmt.Sprintf("#: /proc says that thread %d sleeps.", waiterTID)})
	}
	slices.SortStableFunc(out, func(a, b line) int { return a.at.Compare(b.at) })
	return out
}

// numbering gives descriptors new numbers from 3, as a kernel would in a
// process that has nothing else open.
type numbering struct {
	fds  map[int]int  // real to new, of closed ones too
	open map[int]bool // new ones
}

// made numbers a new descriptor.
func (n *numbering) made(real int) int {
	if real < 0 {
		return real
	}
	v := 3
	for n.open[v] {
		v++
	}
	n.fds[real], n.open[v] = v, true
	return v
}

// fd is the number of a descriptor, of one that was not made here as well.
func (n *numbering) fd(real int) int {
	if real < 0 {
		return real
	}
	if v, ok := n.fds[real]; ok {
		return v
	}
	return n.made(real)
}

func (n *numbering) text(s string) string {
	if v, err := strconv.Atoi(s); err == nil {
		return strconv.Itoa(n.fd(v))
	}
	return s
}

// call prints a call with its descriptors and addresses numbered anew.
func (n *numbering) call(real *efd.Call) string {
	c := *real
	c.Args = slices.Clone(real.Args)
	highest := -1
	for i := range c.Args {
		a := &c.Args[i]
		switch a.Name {
		case "fd", "epfd":
			a.In = n.text(a.In)
		case "fds":
			a.In, a.Out = n.pollfds(a.In), n.pollfds(a.Out)
		case "readfds", "writefds", "exceptfds":
			a.In, a.Out = n.set(a.In, &highest), n.set(a.Out, &highest)
		case "buf", "events", "event":
			if strings.HasPrefix(a.In, "0x") {
				a.In = "0xc000100000"
			}
		}
	}
	switch c.Syscall {
	case "eventfd2", "epoll_create1":
		c.Ret = n.made(c.Ret)
	case "fcntl", "fcntl64":
		if c.Args[1].In == "F_DUPFD_CLOEXEC" {
			c.Ret = n.made(c.Ret)
		}
	case "close":
		if fd, err := strconv.Atoi(real.Args[0].In); err == nil {
			delete(n.open, n.fds[fd])
		}
	}
	if highest >= 0 && c.Args[0].Name == "nfds" {
		c.Args[0].In = strconv.Itoa(highest + 1)
	}
	return c.String()
}

// pollfds numbers the fd= of an array of struct pollfd anew.
func (n *numbering) pollfds(s string) string {
	parts := strings.Split(s, "fd=")
	for i := 1; i < len(parts); i++ {
		end := strings.IndexAny(parts[i], ",}")
		if end > 0 {
			parts[i] = n.text(parts[i][:end]) + parts[i][end:]
		}
	}
	return strings.Join(parts, "fd=")
}

// set numbers the members of "[3 4]" anew.
func (n *numbering) set(s string, highest *int) string {
	in, ok := strings.CutPrefix(strings.TrimSuffix(s, "]"), "[")
	if !ok || in == "" {
		return s
	}
	var fds []int
	for _, f := range strings.Fields(in) {
		v, err := strconv.Atoi(f)
		if err != nil {
			return s
		}
		fds = append(fds, n.fd(v))
	}
	slices.Sort(fds)
	*highest = max(*highest, fds[len(fds)-1])
	return strings.Trim(fmt.Sprint(fds), " ")
}
