//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/record"
)

// checkLines: each wake has its path and its calls, and the call that slept the
// verdicts of its scenario.
func checkLines(t *testing.T, s string) {
	type line struct {
		Type, Summary, Callback, Text string
		Path                          any  // a path's name, or the index of one
		WakerCall                     *int `json:"waker_call"`
		WakeeCall                     *int `json:"wakee_call"`
		Edges                         []struct{ Verdict string }
	}
	var wakes, calls, paths, notes []line
	for l := range strings.Lines(s) {
		var v line
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		switch v.Type {
		case "wake":
			wakes = append(wakes, v)
		case "call":
			calls = append(calls, v)
		case "path":
			paths = append(paths, v)
		case "note":
			notes = append(notes, v)
		}
	}
	if len(wakes) != 2 || wakes[0].Callback != "pollwake" || wakes[1].Callback != "ep_poll_callback" || len(notes) != 2 {
		t.Fatalf("wakes %+v, notes %+v", wakes, notes)
	}
	for _, c := range calls {
		if strings.HasPrefix(c.Text, "read(") || strings.HasSuffix(c.Text, "EPERM") {
			t.Errorf("a call that the scenarios do not make: %s", c.Text)
		}
	}
	for i, w := range wakes {
		if w.Path == nil || w.WakerCall == nil || w.WakeeCall == nil {
			t.Fatalf("a wake without its path or calls: %+v", w)
		}
		c := calls[*w.WakeeCall]
		if want := "scenario " + keptScenarios[i] + ": ok"; c.Summary != want || !strings.HasPrefix(notes[i].Text, want) {
			t.Errorf("call %q, note %q, want %q", c.Summary, notes[i].Text, want)
		}
		path, ok := c.Path.(float64)
		if !ok {
			t.Fatalf("a call without its path: %+v", c)
		}
		verdicts := map[string]int{}
		for _, e := range paths[int(path)].Edges {
			verdicts[e.Verdict]++
		}
		if verdicts["seen"] == 0 || verdicts["not_taken"] == 0 || verdicts[""] != 0 {
			t.Errorf("%s: verdicts %v", keptScenarios[i], verdicts)
		}
	}
}

// checkTrace: every end of an arrow lies in a slice of its track.
func checkTrace(t *testing.T, s string) {
	type event struct {
		Ph, ID, Name string
		PID, TID     int
		TS, Dur      float64
	}
	var doc struct{ TraceEvents []event }
	if err := json.Unmarshal([]byte(s), &doc); err != nil {
		t.Fatal(err)
	}
	ends := 0
	for _, e := range doc.TraceEvents {
		if e.Ph != "s" && e.Ph != "f" {
			continue
		}
		ends++
		in := false
		for _, x := range doc.TraceEvents {
			in = in || x.Ph == "X" && x.PID == e.PID && x.TID == e.TID && x.Name != "wakes" && e.TS >= x.TS && e.TS < x.TS+x.Dur
		}
		if !in {
			t.Errorf("end %s of %s lies in no call", e.Ph, e.ID)
		}
	}
	if ends != 4 {
		t.Errorf("%d ends of arrows, want those of two wakes", ends)
	}
}

func contains(want ...string) func(*testing.T, string) {
	return func(t *testing.T, s string) {
		for _, w := range want {
			if !strings.Contains(s, w) {
				t.Errorf("no %q", w)
			}
		}
	}
}

var keptScenarios = []string{"ppoll", "epoll_wait"}

// Every form of verify's file has both scenarios in it.
func TestVerifyWritesEveryForm(t *testing.T) {
	needPerf(t)
	checks := map[string]func(*testing.T, string){
		"text":        contains("scenario ppoll: ok", "scenario epoll_wait: ok", " in ppoll through pollwake on eventfd ", "through ep_poll_callback", "2 wakes of threads"),
		"jsonl":       checkLines,
		"trace-event": checkTrace,
		"folded":      contains(";ppoll;", ";epoll_pwait;", ";asleep;--;try_to_wake_up;pollwake;"),
		"html":        contains("<!doctype html>", "scenario ppoll: ok", "scenario epoll_wait: ok", `"cb":"pollwake"`, `"cb":"ep_poll_callback"`, "</html>"),
		"recording":   nil,
	}
	for _, f := range formats {
		t.Run(f, func(t *testing.T) {
			check, ok := checks[f]
			if !ok {
				t.Fatal("nothing checks this form")
			}
			file := filepath.Join(t.TempDir(), "out")
			status, stdout, stderr := invoke(t, append([]string{"verify", "-o", file, "-format", f}, keptScenarios...)...)
			if status != exitOK || !strings.Contains(stdout, "2 scenarios ok") {
				t.Fatalf("status %d: %s%s", status, stdout, stderr)
			}
			if f == "recording" {
				checkRecording(t, file)
				return
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			check(t, string(b))
		})
	}
}

func checkRecording(t *testing.T, file string) {
	r, err := record.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if status, stdout, stderr := invoke(t, "replay", file); status != exitOK || !strings.Contains(stdout, "through pollwake") {
		t.Errorf("replay: status %d: %s%s", status, stdout, stderr)
	}
}

// Bad usage is told before a scenario runs.
func TestVerifyFileUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	for want, args := range map[string][]string{
		`"svg": there are: text recording jsonl trace-event folded html`: {"-o", file, "-format", "svg"},
		"-format html wants -o FILE":                                     {"-format", "html"},
	} {
		status, stdout, stderr := invoke(t, append([]string{"verify"}, args...)...)
		if status != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: status %d: %s%s", args, status, stdout, stderr)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("bad usage leaves a file behind")
	}
	if status, _, stderr := invoke(t, "verify", "-o", file+"/x", "-format", "html", "ppoll"); status != exitCannot || !strings.Contains(stderr, "no such file") {
		t.Errorf("a file that cannot be made: status %d: %s", status, stderr)
	}
}
