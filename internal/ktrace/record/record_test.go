//go:build linux

package record

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var header = Header{Release: "6.18.44", Arch: "x86_64", Symbols: map[string][]string{"do_poll": {}, "do_sys_poll": {"do_sys_poll"}}}

var stack = []ktrace.Frame{
	{Name: "try_to_wake_up", Off: 0x1a}, {Name: "ep_poll.part.0", Aliases: []string{"other.part.0"}, Off: 3}, {Name: "f", Module: "loop", Off: 9}, {},
}

var events = []ktrace.Event{
	{Kind: ktrace.SysEnter, Source: "raw_syscalls:sys_enter", Time: 10, CPU: 1, PID: 5, TID: 6, Comm: "a\"b\\<>é", Nr: 1, Args: [6]uint64{3, 1<<64 - 1, 8}},
	{Kind: ktrace.Waking, Source: "sched:sched_waking", Time: 12, PID: 5, TID: 6, Comm: "w", Target: 7, GlobalTarget: 70, TargetComm: "t", Stack: stack},
	{Kind: ktrace.Switch, Source: "sched:sched_switch", Time: 13, PID: 5, TID: 7, Target: 0, Preempted: true, State: 256, Stack: stack, Truncated: true},
	{Kind: ktrace.Watch, Source: "watch", Time: 14, Object: -3, Field: "wqh.lock", Stack: stack[1:]},
	{Kind: ktrace.SysExit, Time: 15, TID: 6, Nr: 1, Ret: -11},
}

var losses = []ktrace.Loss{{Source: "sched:sched_waking", Count: 3, From: 11, To: 14}}

func write(t testing.TB, opts Options) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, header, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(events, losses); err != nil {
		t.Fatal(err)
	}
	if err := w.Note(Note{Time: 15, Key: "eventfd", Value: "5 3 1"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(in io.Reader) (ev []ktrace.Event, lo []ktrace.Loss, notes []Note, h *Header, err error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	err = r.Replay(func(e []ktrace.Event, l []ktrace.Loss) error {
		ev, lo = append(ev, e...), append(lo, l...)
		return nil
	}, func(n Note) { notes = append(notes, n) })
	return ev, lo, notes, &r.Header, err
}

func TestRoundTrip(t *testing.T) {
	ev, lo, notes, h, err := read(bytes.NewReader(write(t, Options{})))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(events, ev); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	if d := cmp.Diff(losses, lo); d != "" {
		t.Errorf("losses (-want +got):\n%s", d)
	}
	if len(notes) != 1 || notes[0].Value != "5 3 1" {
		t.Errorf("notes %+v", notes)
	}
	if h.Release != "6.18.44" || h.Version != Version || !h.Asked("do_poll") || h.Asked("ep_poll") || len(h.Variants("do_sys_poll")) != 1 {
		t.Errorf("header %+v", h)
	}
}

func TestStripped(t *testing.T) {
	ev, _, _, h, err := read(bytes.NewReader(write(t, Options{NoComm: true, NoArgs: true})))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ev {
		if e.Comm != "" || e.TargetComm != "" || e.Args != [6]uint64{} {
			t.Errorf("a name or an argument is left: %+v", e)
		}
	}
	if d := cmp.Diff([]string{"comm", "args"}, h.Stripped); d != "" {
		t.Errorf("stripped (-want +got):\n%s", d)
	}
}

func TestCut(t *testing.T) {
	whole := write(t, Options{})
	for n := 0; n < len(whole)-1; n += 7 {
		ev, _, _, h, err := read(bytes.NewReader(whole[:n]))
		if err == nil {
			t.Fatalf("the first %d bytes of %d read as a whole recording", n, len(whole))
		}
		if h != nil && !errors.Is(err, ErrCut) {
			t.Fatalf("after %d bytes: %v, want ErrCut", n, err)
		}
		if h != nil && len(ev) > 0 {
			if d := cmp.Diff(events[0], ev[0]); d != "" {
				t.Fatalf("after %d bytes: first event (-want +got):\n%s", n, d)
			}
		}
	}
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	zw.Write(whole)
	zw.Close()
	if ev, _, _, _, err := read(&z); err != nil || len(ev) != len(events) {
		t.Errorf("compressed: %d events, %v", len(ev), err)
	}
	z.Reset()
	zw.Reset(&z)
	zw.Write(whole)
	zw.Close()
	if _, _, _, _, err := read(bytes.NewReader(z.Bytes()[:z.Len()/2])); !errors.Is(err, ErrCut) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half of a compressed recording: %v", err)
	}
}

func TestRefused(t *testing.T) {
	good := strings.SplitAfter(string(write(t, Options{})), "\n")
	for name, text := range map[string]string{
		"empty":         "",
		"no json":       "hello\n",
		"no header":     good[1],
		"newer":         `{"recording":{"version":2}}` + "\n",
		"no version":    `{"recording":{}}` + "\n",
		"unknown stack": good[0] + `{"event":{"kind":"waking","t":1,"stack":1}}` + "\n",
		"unknown frame": good[0] + `{"stack":{"id":1,"frames":[[7,0]]}}` + "\n",
		"unknown kind":  good[0] + `{"event":{"kind":"dream","t":1}}` + "\n",
		"wrong count":   good[0] + `{"end":{"events":1,"losses":0}}` + "\n",
		"long line":     good[0] + `{"note":{"key":"` + strings.Repeat("x", maxLine) + `"}}` + "\n",
		"loss":          good[0] + `{"loss":{"src":"s","count":1,"from":2,"to":1}}` + "\n",
	} {
		if _, _, _, _, err := read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v: not one line", name, err)
		}
	}
}

func TestForget(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, header, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const n = maxStacks + 100
	for i := range n {
		if err := w.Write([]ktrace.Event{{Kind: ktrace.Waking, Time: int64(i), Stack: []ktrace.Frame{{Name: "f", Off: uint32(i)}}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ev, _, _, _, err := read(&b)
	if err != nil || len(ev) != n {
		t.Fatalf("%d events of %d, %v", len(ev), n, err)
	}
	for i, e := range ev {
		if e.Stack[0].Off != uint32(i) {
			t.Fatalf("event %d has the stack of event %d", i, e.Stack[0].Off)
		}
	}
}

// A recording of the real kernel holds no kernel address, and reads back as it
// was seen.
func TestLive(t *testing.T) {
	syms, err := ksym.Load()
	testenv.Require(t, "kallsyms", err)
	s, err := perf.Open(perf.Config{Symbols: syms, PIDs: []int{os.Getpid()}})
	if ae, ok := errors.AsType[*ktrace.AccessError](err); ok {
		testenv.Require(t, ae.Tier, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	path := filepath.Join(t.TempDir(), "r.jsonl.gz")
	w, err := Create(path, NewHeader(syms, []string{"eventfd_write", "no_such_function"}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var live []ktrace.Event
	done := make(chan struct{})
	time.AfterFunc(30*time.Millisecond, func() { close(done) })
	err = source.Run(s, 5*time.Millisecond, done, func(e []ktrace.Event, l []ktrace.Loss) error {
		live = append(live, e...)
		return w.Write(e, l)
	})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var back []ktrace.Event
	if err := r.Replay(func(e []ktrace.Event, _ []ktrace.Loss) error { back = append(back, e...); return nil }, nil); err != nil {
		t.Fatal(err)
	}
	if len(live) == 0 || len(back) != len(live) {
		t.Fatalf("%d events live, %d replayed", len(live), len(back))
	}
	for i := range live {
		if len(live[i].Stack) == 0 {
			live[i].Stack = nil
		}
		if d := cmp.Diff(live[i], back[i]); d != "" {
			t.Fatalf("event %d (-live +replayed):\n%s", i, d)
		}
	}
	if v := r.Variants("eventfd_write"); len(v) == 0 || len(r.Variants("no_such_function")) != 0 || !r.Asked("no_such_function") {
		t.Errorf("symbols %v", r.Symbols)
	}
	var u unix.Utsname
	if unix.Uname(&u); r.Release != unix.ByteSliceToString(u.Release[:]) {
		t.Errorf("release %q", r.Release)
	}
	noAddresses(t, live)
}

// noAddresses writes the events without the arguments of system calls, which
// are the program's own words and may be anything.
func noAddresses(t *testing.T, events []ktrace.Event) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{}, Options{NoArgs: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(events, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\b1844[0-9]{16}\b|(?i)ffff[0-9a-f]{12}`).FindAll(b.Bytes(), -1) {
		t.Errorf("%s looks like a kernel address", m)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(write(f, Options{}))
	f.Add([]byte(`{"recording":{"version":1}}` + "\n" + `{"frame":{"id":1}}` + "\n" + `{"stack":{"id":1,"frames":[[1,2]]}}` + "\n" + `{"forget":true}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ev, lo, notes, h, err := read(bytes.NewReader(data))
		if err != nil {
			return
		}
		// What was read can be written, and then reads the same.
		var b bytes.Buffer
		w, err := NewWriter(&b, *h, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(ev, lo); err != nil {
			t.Fatal(err)
		}
		for _, n := range notes {
			if err := w.Note(n); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again, lo2, _, _, err := read(&b)
		if err != nil || len(again) != len(ev) || len(lo2) != len(lo) {
			t.Fatalf("%d events became %d: %v", len(ev), len(again), err)
		}
	})
}
