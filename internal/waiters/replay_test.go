//go:build linux

package waiters

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/ktrace/source/bpf"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
)

// recorded is the snapshot of the child of TestLook on Linux 6.18. With
// EFD_UPDATE=1 TestRecord writes it anew.
var recorded = filepath.Join("testdata", "child.json")

func read(t *testing.T) *Snapshot {
	t.Helper()
	b, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	s := &Snapshot{}
	if err := json.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRecord(t *testing.T) {
	if os.Getenv("EFD_UPDATE") == "" {
		t.Skip("records a snapshot: set EFD_UPDATE=1")
	}
	l := open(t)
	w := start(t)
	var s *Snapshot
	testenv.Until(t, "all four threads on the queues", func() bool {
		var err error
		if s, err = l.Snapshot(w.pid); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, th := range s.Threads {
			if th.PID == w.pid && th.Nr >= 0 {
				n++
			}
		}
		return n >= 4
	})
	of := map[uint64]bool{}
	for _, r := range s.Records {
		if r.Type == bpf.File && int(r.PID) == w.pid && r.Kind != bpf.Other && r.FD > 2 && r.FD < 100 { // others are inherited
			of[r.File] = true
		}
	}
	s.Records = slices.DeleteFunc(s.Records, func(r bpf.Record) bool { return !of[r.File] })
	for tid, th := range s.Threads {
		if th.PID != w.pid {
			delete(s.Threads, tid)
		}
	}
	for pid := range s.Processes {
		if pid != w.pid {
			delete(s.Processes, pid)
		}
	}
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recorded, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A snapshot gives the same texts without privileges, on every machine.
func TestReplay(t *testing.T) {
	r := Build(read(t))
	var text bytes.Buffer
	Write(render.NewText(&text, false), r, true)
	j, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"child.txt": text.Bytes(), "report.json": append(j, '\n')} {
		name = filepath.Join("testdata", name)
		if os.Getenv("EFD_UPDATE") != "" {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// A lost wake is what stays true in two looks: a counter above zero, and a
// thread that sleeps on it although nobody is about to read.
func TestLostWake(t *testing.T) {
	change := func(s *Snapshot, f func(*bpf.Record)) *Snapshot {
		for i := range s.Records {
			f(&s.Records[i])
		}
		return s
	}
	var polled uint64 // the file of the entry of poll
	for _, r := range read(t).Records {
		if r.Type == bpf.Entry && r.TID > 0 && r.Events != 0 {
			polled = r.File
		}
	}
	counted := func(s *Snapshot) *Snapshot {
		return change(s, func(r *bpf.Record) {
			if r.File == polled && r.Type == bpf.File {
				r.A = 5
			}
		})
	}
	lost := func(r *Report) (texts []string) {
		for _, f := range r.Findings {
			if f.Code == LostWake {
				texts = append(texts, f.Text)
			}
		}
		return texts
	}
	if got := lost(Build(read(t))); got != nil {
		t.Errorf("with a counter of 0: %q", got)
	}
	first, second := Build(counted(read(t))), Build(counted(read(t)))
	got := lost(first)
	if len(got) != 2 || !strings.Contains(got[0], "counter 5") || !strings.Contains(got[0], "poll") || !strings.Contains(got[1], "epoll_wait") {
		t.Errorf("with a counter of 5: %q", got)
	}
	second.Confirm(first)
	if len(lost(second)) != 2 {
		t.Errorf("confirmed: %q", lost(second))
	}
	moved := counted(read(t))
	for tid, th := range moved.Threads {
		th.Switches++
		moved.Threads[tid] = th
	}
	r := Build(moved)
	r.Confirm(first)
	if got := lost(r); got != nil {
		t.Errorf("threads that ran between two looks: %q", got)
	}
	busy := counted(read(t))
	for pid, p := range busy.Processes {
		p.Running = 1
		busy.Processes[pid] = p
	}
	if got := lost(Build(busy)); got != nil {
		t.Errorf("with a thread that runs: %q", got)
	}
	woken := change(counted(read(t)), func(r *bpf.Record) {
		if r.Type == bpf.Entry && r.TID > 0 {
			r.Some = 1
		}
	})
	if got := lost(Build(woken)); len(got) != 1 || !strings.Contains(got[0], "epoll_wait") {
		t.Errorf("with a poll that was woken: %q", got)
	}
}

// The calls of a 32-bit program have other numbers: they get no name.
func TestNarrow(t *testing.T) {
	s := read(t)
	for tid, th := range s.Threads {
		th.Narrow = true
		s.Threads[tid] = th
	}
	n := 0
	for _, o := range Build(s).Objects {
		for _, e := range o.Queue {
			if e.TID == 0 {
				continue
			}
			if n++; !strings.HasPrefix(e.Syscall, "call ") || !strings.HasSuffix(e.Syscall, " of 32 bits") {
				t.Errorf("%+v", e)
			}
		}
	}
	if n == 0 {
		t.Error("no entry of a thread")
	}
}
