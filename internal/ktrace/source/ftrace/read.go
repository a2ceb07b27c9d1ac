//go:build linux

package ftrace

import (
	"bytes"
	"os"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
	"golang.org/x/sys/unix"
)

// Read implements source.Source. The losses among the events that it returns
// are known when it returns.
func (s *Source) Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	if now := source.Now(); s.asked != 0 && now > s.asked+askEvery {
		s.ask(now)
	}
	if err := s.drain(s.most); err != nil {
		return buf, err
	}
	s.pending, buf = source.Cut(s.pending, until, buf)
	return buf, nil
}

// maxRead bounds the bytes of one reading.
const maxRead = 4 << 20

// pipeRead is the size of one read of trace_pipe: less than the page that the
// kernel prints into, by more than a line. An entry that does not fit into the
// rest of it is printed by the next read, under the thread and the time of the
// entry after it (print_graph_function_flags).
const pipeRead = 3 << 10

// drain reads the pipe's contents, and drops all beyond most bytes.
func (s *Source) drain(most int) error {
	if s.pipe < 0 {
		return nil
	}
	if s.buf == nil {
		s.buf = make([]byte, pipeRead)
	}
	for began := source.Now(); most > 0; {
		n, err := s.readPipe()
		if err != nil {
			return err
		}
		if n == 0 {
			s.empty = began
			return nil
		}
		s.rest = append(s.rest, s.buf[:n]...)
		for {
			nl := bytes.IndexByte(s.rest, '\n')
			if nl < 0 {
				break
			}
			s.line(string(s.rest[:nl]))
			s.rest = s.rest[nl+1:]
		}
		s.rest = append([]byte(nil), s.rest...)
		most -= n
	}
	return s.skip()
}

// readPipe returns 0 if there is nothing to be read.
func (s *Source) readPipe() (int, error) {
	for {
		n, err := unix.Read(s.pipe, s.buf)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("read of trace_pipe", err)
		}
	}
}

// skip empties the buffers unread while nothing is traced. Their contents and
// the records of this time are lost.
func (s *Source) skip() error {
	on, err := s.in.read("tracing_on")
	if err != nil {
		return err
	}
	if err := s.in.write("tracing_on", "0"); err != nil {
		return err
	}
	lines := uint64(1)
	for {
		n, err := s.readPipe()
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		lines += uint64(bytes.Count(s.buf[:n], []byte{'\n'}))
	}
	s.forget()
	s.rest = nil
	if err := s.in.write("tracing_on", on); err != nil {
		return err
	}
	// Whichever CPU's lines these were, they are younger than the oldest of the
	// lines that were read last of any.
	from := s.last
	for _, t := range s.seen {
		from = min(from, t)
	}
	now := source.Now()
	s.losses = append(s.losses, ktrace.Loss{Source: s.tracer, Count: lines, From: max(from, s.empty), To: now})
	s.empty = now
	return nil
}

func (s *Source) line(line string) {
	e, ok := parseLost(line)
	if ok {
		// The next line of this CPU is younger than the lost ones.
		from := max(s.seen[e.cpu], s.empty)
		s.losses = append(s.losses, ktrace.Loss{Source: s.tracer, Count: e.lost, From: from, To: max(from, source.Now())})
		s.forget()
		return
	}
	if s.tracer == Graph {
		e, ok = parseGraph(line)
	} else {
		e, ok = parseFunction(line)
	}
	if !ok {
		return
	}
	e.time = source.FromKernel(e.time*1000) / 1000
	// Lines within one microsecond keep their order.
	t := max(e.time*1000, min(s.last+1, e.time*1000+999))
	s.last = max(s.last, t)
	s.seen[e.cpu] = max(s.seen[e.cpu], e.time*1000)
	s.take(&e, t)
}

// forget drops the open entries.
func (s *Source) forget() {
	clear(s.stacks)
	clear(s.found)
}

// interrupted is a thread's stack as an entry finds it. That of the thread's own
// says that an interrupt on top of it is over, though leaves may be missing.
func (s *Source) interrupted(e *entry) []string {
	stack := s.stacks[e.tid]
	n, in := s.found[e.tid]
	switch {
	case e.irq != "" && !in:
		s.found[e.tid] = len(stack)
	case e.irq == "" && in:
		stack = stack[:min(n, len(stack))]
		s.stacks[e.tid] = stack
		delete(s.found, e.tid)
	}
	return stack
}

func (s *Source) take(e *entry, t int64) {
	if !e.enter {
		s.stacks[e.tid] = left(s.stacks[e.tid], e.name)
		return
	}
	stack := s.interrupted(e)
	ev := ktrace.Event{Kind: ktrace.FuncEntry, Source: s.tracer, Time: t, CPU: e.cpu, TID: e.tid, PID: s.processOf(e.tid), Comm: s.text(e.comm), IRQ: e.irq}
	ev.Stack = s.way(e, stack)
	s.pending = append(s.pending, ev)
	if !e.leave && len(stack) < 128 {
		if len(s.stacks) > 1<<12 {
			s.forget()
		}
		s.stacks[e.tid] = append(stack, e.name)
	}
}

// maxWays bounds the memory of stacks.
const maxWays = 1 << 13

// way is the stack of an entry, the same slice for each that came the same way.
func (s *Source) way(e *entry, stack []string) []ktrace.Frame {
	key := strings.Join(stack, " ") + " " + e.parent + " " + e.name
	if w, ok := s.ways[key]; ok {
		return w
	}
	w := []ktrace.Frame{s.frame(e.name)}
	if e.parent != "" {
		w = append(w, s.frame(e.parent))
	}
	for _, f := range slices.Backward(stack) {
		w = append(w, s.frame(f))
	}
	if len(s.ways) >= maxWays {
		clear(s.ways)
	}
	s.ways[key] = w
	return w
}

func (s *Source) frame(name string) ktrace.Frame {
	return ktrace.Frame{Name: strings.Clone(name), Aliases: s.aliases[name]}
}
