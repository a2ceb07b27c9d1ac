//go:build linux

package render

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestHostileNames: names from elsewhere break no format.
func TestHostileNames(t *testing.T) {
	const name = "{{data}}</title><script>\x1b[2J\u202ea;b"
	tl := &Timeline{Title: name, Kernel: "6.1", Threads: []Thread{{PID: 1, TID: 1, Comm: name}},
		Calls: []Call{{TID: 1, Start: -5000, End: 10, Name: name, Text: name, FD: -1, Path: -1, Sleeps: []Sleep{{From: -4000, To: 5, Chain: []string{name}}}}},
		Wakes: []Wake{{Time: -1, Waker: Side{TID: 1, FD: -1}, Wakee: Side{TID: 1, FD: -1}, WakerCall: -1, WakeeCall: 0, Path: -1, Callback: name}}}
	var b bytes.Buffer
	if err := HTML(&b, tl); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	title, _, _ := strings.Cut(page[strings.Index(page, "<title>"):], "</title>")
	if !strings.Contains(title, "{{data}}") || strings.Contains(title, "threads") {
		t.Errorf("title %q", title)
	}
	if strings.Contains(page, "\u202e") || strings.Contains(page, "\x1b") || strings.Count(page, `"threads":[{`) != 1 {
		t.Error("the page has characters of format, or its data in a wrong place")
	}
	b.Reset()
	if err := TraceEvents(&b, tl); err != nil || !json.Valid(b.Bytes()) {
		t.Errorf("trace-event: %v, valid: %v", err, json.Valid(b.Bytes()))
	}
	b.Reset()
	if err := Folded(&b, tl); err != nil || strings.ContainsAny(b.String(), "\x1b\u202e") {
		t.Errorf("folded: %v, %q", err, b.String())
	}
	for line := range strings.Lines(b.String()) {
		if strings.Count(line, "a;b") > 0 {
			t.Errorf("a frame in two: %q", line)
		}
	}
}

// TestMicros: times before the first one are numbers as well.
func TestMicros(t *testing.T) {
	for ns, want := range map[int64]string{0: "0.000", 1999: "1.999", -1: "-0.001", -1999: "-1.999", -1 << 63: "-9223372036854775.808", 1<<63 - 1: "9223372036854775.807"} {
		if got := micros(ns); string(got) != want || !json.Valid([]byte(got)) {
			t.Errorf("micros(%d) is %s, want %s", ns, got, want)
		}
	}
}
