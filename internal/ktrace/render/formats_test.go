//go:build linux

package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// picture is a ping of one eventfd, with all that a timeline can have: two
// sleeps in one call, a wake by a thread, one by an interrupt, one of which
// the calls are not known, a call that is open and clocks that disagree.
func picture() *Timeline {
	path := ktrace.Path{Name: "eventfd_write", Title: "write(2) on an eventfd", Kernel: "6.18", Roots: []string{"vfs_write"},
		Functions: map[string]ktrace.Function{"eventfd_write": {Name: "eventfd_write", Text: "Adds, and wakes </script><b>."}},
		Edges: []ktrace.Edge{
			{Caller: "vfs_write", Callee: "eventfd_write", File: "fs/read_write.c", Line: 684, Kind: ktrace.Pointer, Pointer: "file->f_op->write"},
			{Caller: "eventfd_write", Callee: "__wake_up_locked_key", File: "fs/eventfd.c", Kind: ktrace.Macro, Branch: "woke"},
		}}
	const base = 5_000_000_000_123
	at := func(us int64) int64 { return base + us*1000 }
	return &Timeline{Title: "pings & <pongs>", Kernel: "6.18.44", Arch: "amd64", Origin: "recording", Clock: "CLOCK_MONOTONIC", Lost: 2,
		Threads: []Thread{{PID: 10, TID: 10, Comm: "ping"}, {PID: 10, TID: 11, Comm: "ping", Note: "writer"}},
		Calls: []Call{
			{TID: 10, Start: at(0), End: at(900), Name: "ppoll", Text: "ppoll([{fd=3, events=POLLIN}], 1, NULL, NULL, 8) = 1", FD: 3, Object: "eventfd 3", Outcome: "slept", Path: -1,
				Sleeps: []Sleep{{at(10), at(300), []string{"do_sys_poll", "schedule"}}, {at(310), at(890), []string{"do_sys_poll", "schedule"}}}},
			{TID: 11, Start: at(880), End: at(895), Name: "write", Text: "write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8", FD: 3, Object: "eventfd 3", Path: 0},
			{TID: 10, Start: at(899), End: at(905), Name: "read", FD: 3, Path: -1},
			{TID: 11, Start: at(950), End: at(990), Open: true, Name: "read", FD: 3, Path: -1},
		},
		Wakes: []Wake{
			{Time: at(299), Running: at(309), Waker: Side{Context: "hardirq", FD: -1}, Wakee: Side{PID: 10, TID: 10, FD: -1}, WakerCall: -1, WakeeCall: 0, Callback: "hrtimer_wakeup", Path: -1},
			{Time: at(888), Running: at(891), Waker: Side{PID: 10, TID: 11, Comm: "ping", Syscall: "write", FD: 3, Context: "task"}, Wakee: Side{PID: 10, TID: 10, FD: 3},
				WakerCall: 1, WakeeCall: 0, Object: "eventfd 3 (id 7)", Callback: "pollwake", Path: 0},
			{Time: at(940), Running: 0, Waker: Side{PID: 20, TID: 20, Comm: "other", FD: -1}, Wakee: Side{PID: 10, TID: 11, FD: -1}, WakerCall: -1, WakeeCall: -1, Path: -1},
		},
		Paths: []Path{{Path: path, Branch: "woke", Chain: []string{"vfs_write", "eventfd_write", "__wake_up_common", "pollwake"},
			Verdicts: []Verdict{{ktrace.Seen, "sched:sched_waking"}, {ktrace.TailCall, "eventfd_write+0xb2"}}}},
		Notes: []Note{{Kind: "lost", Text: "2 records were lost", Call: -1}, {Kind: "warning", Text: "look here", Call: 1}},
	}
}

func write(t *testing.T, format string) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, picture()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The rules of the viewers: slices of a track nest, times start at 0 and have
// three decimals, and both ends of an arrow lie in a slice.
func TestTraceEvents(t *testing.T) {
	var doc struct {
		TraceEvents []struct {
			Name, Ph, ID, BP string
			TS, Dur          json.Number
			PID, TID         int
		}
	}
	if err := json.Unmarshal([]byte(write(t, "trace-event")), &doc); err != nil {
		t.Fatal(err)
	}
	ns := func(n json.Number) int64 {
		whole, frac, ok := strings.Cut(n.String(), ".")
		if !ok || len(frac) != 3 {
			t.Fatalf("time %s has no three decimals", n)
		}
		var v int64
		if _, err := fmt.Sscan(whole+frac, &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	type slice struct{ from, to int64 }
	tracks := map[[2]int][]slice{}
	first, named := int64(1<<62), map[[2]int]bool{}
	for _, e := range doc.TraceEvents {
		switch e.Ph {
		case "X":
			s := slice{ns(e.TS), ns(e.TS) + ns(e.Dur)}
			if s.to <= s.from {
				t.Errorf("%s has no length", e.Name)
			}
			first = min(first, s.from)
			tracks[[2]int{e.PID, e.TID}] = append(tracks[[2]int{e.PID, e.TID}], s)
		case "M":
			if e.Name == "thread_name" {
				named[[2]int{e.PID, e.TID}] = true
			}
		}
	}
	if first != 0 {
		t.Errorf("the first slice starts at %d ns", first)
	}
	for id, ss := range tracks {
		sort.Slice(ss, func(i, j int) bool { return ss[i].from < ss[j].from || ss[i].from == ss[j].from && ss[i].to > ss[j].to })
		for i, a := range ss {
			for _, b := range ss[i+1:] {
				if b.from < a.to && b.to > a.to {
					t.Errorf("track %v: %v and %v overlap and do not nest", id, a, b)
				}
			}
		}
	}
	ends := map[string]string{}
	for _, e := range doc.TraceEvents {
		if e.Ph != "s" && e.Ph != "f" {
			continue
		}
		ends[e.ID] += e.Ph
		if e.Ph == "f" && e.BP != "e" {
			t.Error("an arrow ends without bp e")
		}
		in := false
		for _, s := range tracks[[2]int{e.PID, e.TID}] {
			in = in || ns(e.TS) >= s.from && ns(e.TS) < s.to
		}
		if !in {
			t.Errorf("end %s of %s at %s lies in no slice", e.Ph, e.ID, e.TS)
		}
	}
	if len(ends) != 3 {
		t.Errorf("arrows %v, want three", ends)
	}
	for id, e := range ends {
		if e != "sf" {
			t.Errorf("arrow %s has the ends %q", id, e)
		}
	}
	if !named[[2]int{10, 11}] || !named[[2]int{irqTrack, irqTrack}] {
		t.Errorf("tracks without a name: have %v", named)
	}
}

func TestFolded(t *testing.T) {
	want := `ping 10;ppoll;do_sys_poll;schedule;asleep;--;hrtimer_wakeup;hardirq 290000
ping 10;ppoll;do_sys_poll;schedule;asleep;--;pollwake;__wake_up_common;eventfd_write;vfs_write;write;ping 11 580000
ping 10;ppoll;slept 30000
ping 10;read 6000
ping 11 (writer);read 40000
ping 11 (writer);write 15000
`
	if got := write(t, "folded"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestJSONLines(t *testing.T) {
	count := map[string]int{}
	for line := range strings.Lines(write(t, "jsonl")) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		count[v["type"].(string)]++
		if v["type"] == "wake" && v["callback"] == "pollwake" && (v["waker_call"] != 1.0 || v["latency_ns"] != 3000.0) {
			t.Errorf("wake %s", line)
		}
	}
	for typ, n := range map[string]int{"timeline": 1, "thread": 2, "path": 1, "call": 4, "wake": 3, "lost": 1, "warning": 1} {
		if count[typ] != n {
			t.Errorf("%d records of type %s, want %d", count[typ], typ, n)
		}
	}
}

// The page holds its data whole, and nothing in it can end the script or load
// anything.
func TestHTMLIsSelfContained(t *testing.T) {
	s := write(t, "html")
	if strings.Contains(s, "</script><b>") || strings.Count(s, "<script") != 2 {
		t.Error("the data ends the element that it is in")
	}
	for _, bad := range []string{"src=", "@import", "url(", "fetch(", "XMLHttpRequest", "<link"} {
		if strings.Contains(s, bad) {
			t.Errorf("the page has %q: it has to load nothing", bad)
		}
	}
	if !strings.Contains(s, "<title>pings &amp; &lt;pongs&gt; - efdtrace</title>") {
		t.Error("the title is missing, or not escaped")
	}
	if _, err := (&bytes.Buffer{}).WriteString(s); err != nil || Write(&bytes.Buffer{}, "svg", picture()) == nil {
		t.Error("a format that does not exist is written")
	}
}
