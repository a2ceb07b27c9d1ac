//go:build linux

package efdtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/recorded"
)

// tape keeps the newest records of the observation, for a recording of a failure.
// It implements observe.Recorder.
type tape struct {
	mu      sync.Mutex
	s       *observe.Session
	events  []ktrace.Event // a ring once it is full
	next    int
	losses  []ktrace.Loss
	lost    int // records, of all losses
	unwoken []unwoken
}

// unwoken is a sleep that ended without a record of its wake.
type unwoken struct {
	tid      int
	from, to int64
}

// maxEvents and maxLosses bound the tape: some 10 MB.
const (
	maxEvents = 1 << 15
	maxLosses = 1 << 10
)

// Opened implements observe.Tap.
func (t *tape) Opened(s *observe.Session) (observe.Recorder, error) {
	t.s = s
	return t, nil
}

// Write implements observe.Recorder.
func (t *tape) Write(events []ktrace.Event, losses []ktrace.Loss) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range losses {
		t.lost += int(l.Count)
	}
	if t.losses = append(t.losses, losses...); len(t.losses) > maxLosses {
		t.losses = slices.Delete(t.losses, 0, len(t.losses)-maxLosses)
	}
	if !live.any() {
		return nil
	}
	for _, e := range events {
		if len(t.events) < maxEvents {
			t.events = append(t.events, e)
			continue
		}
		t.events[t.next] = e
		t.next = (t.next + 1) % maxEvents
	}
	return nil
}

// Unwoken implements observe.Tap.
func (t *tape) Unwoken(u *observe.Unwoken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unwoken = append(t.unwoken, unwoken{u.TID, u.From, u.To}); len(t.unwoken) > maxLosses {
		t.unwoken = slices.Delete(t.unwoken, 0, len(t.unwoken)-maxLosses)
	}
}

// endedUnseen reports whether a sleep of a thread ended in a stretch of time, and
// its wake left no record.
func (t *tape) endedUnseen(tid int, begin, end time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.unwoken, func(u unwoken) bool {
		return u.tid == tid && u.to >= int64(begin) && u.from <= int64(end)
	})
}

// since are the events and losses from a time on.
func (t *tape) since(begin time.Duration) (events []ktrace.Event, losses []ktrace.Loss) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.events {
		if e := &t.events[(t.next+i)%len(t.events)]; e.Time >= int64(begin) {
			events = append(events, *e)
		}
	}
	for _, l := range t.losses {
		if l.To >= int64(begin) {
			losses = append(losses, l)
		}
	}
	return events, losses
}

// lostSoFar is how many records are known to be lost: a sleep whose waker left no
// record is not among them.
func (t *tape) lostSoFar() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost
}

// lostIn is how many records of a stretch of time were lost.
func (t *tape) lostIn(begin, end time.Duration) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.losses {
		if l.To >= int64(begin) && l.From <= int64(end) {
			n += int(l.Count)
		}
	}
	return n
}

// entered is when a thread entered the system call in which it was at a time.
func (t *tape) entered(tid int, at time.Duration) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.events {
		e := &t.events[(t.next+len(t.events)-1-i)%len(t.events)]
		if e.TID != tid || e.Time > int64(at) {
			continue
		}
		switch e.Kind {
		case ktrace.SysEnter:
			return time.Duration(e.Time), true
		case ktrace.SysExit:
			return 0, false
		}
	}
	return 0, false
}

// record writes the recording of the test so far and its page, once, and returns
// their names.
func (k *K) record() (saved string, err error) {
	if k.saved != "" {
		return k.saved, nil
	}
	events, losses := observed.tape.since(k.begin)
	if len(events) == 0 {
		return "", fmt.Errorf("no record is of this test")
	}
	dir := k.artifacts()
	if dir == "" {
		return "", fmt.Errorf("no directory for it")
	}
	path := filepath.Join(dir, fileName(k.TB.Name())+".rec.jsonl")
	if err := writeRecording(path, events, losses, observed.between(k.begin, mono())); err != nil {
		return "", err
	}
	k.saved = "recording: " + path + " (efdtrace replay)"
	page := strings.TrimSuffix(path, ".rec.jsonl") + ".html"
	if err := writePage(page, path, k.TB.Name()); err != nil {
		k.saved += fmt.Sprintf("\nno page of it: %v", err)
	} else {
		k.saved += "\npage: " + page
	}
	return k.saved, nil
}

func writeRecording(path string, events []ktrace.Event, losses []ktrace.Loss, wakes []efd.Wake) error {
	s := observed.tape.s
	h := record.NewHeader(s.Kernel.Symbols, s.Kernel.Functions())
	recorded.Sources(&h, s.Functions(), s.Watches(), s.Without())
	w, err := record.Create(path, h, record.Options{})
	if err != nil {
		return err
	}
	err = w.Write(events, losses)
	for _, wake := range wakes {
		if wake.Object != "" && err == nil {
			err = w.Note(recorded.ObjectNoteOf(int64(wake.Time), wake.Wakee.TID, wake.Object))
		}
	}
	if closed := w.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

var noFileName = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// fileName is a test's name as one of a file.
func fileName(test string) string {
	name := noFileName.ReplaceAllString(test, "_")
	return name[:min(len(name), 100)]
}
