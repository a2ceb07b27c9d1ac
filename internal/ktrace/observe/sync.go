//go:build linux

package observe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace/source"
	"golang.org/x/sys/unix"
)

// barrier is a time up to which every record is to be delivered.
type barrier struct {
	at     int64
	sync   bool          // wakes are to be delivered too, and not only read
	counts bool          // the losses up to it are counted
	passed chan struct{} // closed once everything is delivered
	left   string        // the rest, when the records were read last; guarded by Session.mu
}

// Sync returns once every record up to the call was delivered, and every
// callback has returned. Its errors are os.ErrClosed after Stop, and
// os.ErrDeadlineExceeded, with the missing records, if no record from before
// the call is read within the limit.
//
// The operations of a thread before it calls Sync, or before another goroutine
// does that it synchronises with, are in the kernel's rings by then: a record
// is complete before its call returns. The rings are read once more after that.
func (s *Session) Sync(limit time.Duration) error {
	if err := s.onReader(); err != nil {
		return err
	}
	if s.stopping.Load() {
		return os.ErrClosed
	}
	b := s.barrier(true)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for read := s.upTo.Load(); ; timer.Reset(limit) {
		select {
		case <-b.passed:
			return nil
		case <-s.ended: // everything was delivered when it ended
			return s.failed
		case <-timer.C:
		}
		// A machine that reads its backlog slowly is not stuck.
		was := read
		if read = min(s.upTo.Load(), b.at); read <= was {
			s.drop(b)
			return fmt.Errorf("waited %v: %s: %w", limit, s.late(b), os.ErrDeadlineExceeded)
		}
	}
}

// onReader refuses a call by an OnWake function: it would wait for itself.
func (s *Session) onReader() error {
	if int64(unix.Gettid()) == s.reader.Load() {
		return errors.New("called by an OnWake function, which every record waits for")
	}
	return nil
}

// barrier asks for everything up to now.
func (s *Session) barrier(sync bool) *barrier {
	b := &barrier{sync: sync, passed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.at = source.Now()
	s.barriers = append(s.barriers, b)
	return b
}

func (s *Session) drop(b *barrier) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barriers = slices.DeleteFunc(s.barriers, func(o *barrier) bool { return o == b })
}

// late describes the records that a barrier waits for.
func (s *Session) late(b *barrier) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.left != "" {
		return b.left
	}
	text := "no record was read yet"
	if upTo := s.upTo.Load(); upTo != 0 {
		text = fmt.Sprintf("the records are read up to %v before the call", time.Duration(b.at-upTo).Round(time.Millisecond))
	}
	if since := s.delivering.Load(); since != 0 {
		text += fmt.Sprintf(", and an OnWake function has not returned for %v", time.Duration(source.Now()-since).Round(time.Millisecond))
	}
	return text
}

// pass ends the waits at the barriers up to which everything is delivered. All
// records up to upTo were fed. Only the reader calls it.
func (s *Session) pass(o *Options, upTo int64) error {
	s.upTo.Store(upTo)
	s.mu.Lock()
	waiting := slices.Clone(s.barriers)
	s.mu.Unlock()
	for _, b := range waiting {
		if b.at > upTo {
			continue
		}
		if b.sync && !b.counts {
			if err := s.count(o); err != nil {
				return err
			}
			b.counts = true
		}
		left := ""
		if b.sync {
			left = s.p.settle(b.at)
		}
		s.mu.Lock()
		b.left = left
		s.mu.Unlock()
		if left == "" {
			s.drop(b)
			close(b.passed)
		}
	}
	return nil
}

// count takes the losses that no record of a ring reports yet.
func (s *Session) count(o *Options) error {
	if err := s.src.Account(); err != nil {
		return err
	}
	losses := s.src.Losses()
	if len(losses) == 0 {
		return nil
	}
	if o.Record != nil {
		if err := o.Record.Write(nil, losses); err != nil {
			return err
		}
	}
	s.p.Feed(nil, losses)
	return nil
}

// settle delivers the wakes up to a time whose threads will not be seen to run,
// and describes the records up to then that are still held, "" for none. It does
// not wait for a thread that has not run for patience.
func (p *Pipeline) settle(at int64) (left string) {
	runs := func(w *Wake) bool { return p.o.Calls && p.follows(w.Wakee.PID) && w.Time > p.t.now-patience }
	waiting := p.t.settle(at, runs)
	if waiting > 0 {
		return count.Of(waiting, "wake") + " up to the call " + count.Word(waiting, "waits", "wait") + " for the woken thread to run"
	}
	p.release(p.t.now)
	for _, h := range p.pending {
		if h.at() <= at {
			waiting++
		}
	}
	if waiting > 0 {
		return count.Of(waiting, "wake or call", "wakes or calls") + " up to the call " + count.Word(waiting, "waits", "wait") + " for the resolution of descriptors and functions"
	}
	return ""
}

// settle delivers the wakes up to a time but for those of threads that may still
// be seen to run, and returns how many these are.
func (t *Tracker) settle(at int64, runs func(*Wake) bool) (waiting int) {
	var open []*Wake
	for _, th := range t.threads {
		switch w := th.pending; {
		case w == nil || w.Time > at:
		case runs(w):
			waiting++
		default:
			open = append(open, w)
			th.pending = nil
			if th.asleep != nil {
				th.asleep.woken = true
			}
		}
	}
	sort.Slice(open, func(i, j int) bool { return open[i].Time < open[j].Time })
	for _, w := range open {
		t.deliver(w)
	}
	return waiting
}

// timed records when an OnWake function runs.
func (s *Session) timed(o *Options) {
	if onWake := o.OnWake; onWake != nil {
		o.OnWake = func(j *Judged) {
			s.delivering.Store(source.Now())
			defer s.delivering.Store(0)
			onWake(j)
		}
	}
}

// Lost is how many records were lost so far.
func (s *Session) Lost() uint64 { return s.p.lostSoFar.Load() }
