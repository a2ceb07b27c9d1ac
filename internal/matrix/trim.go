//go:build linux

package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/source/ftrace"
)

// trim copies a recording of verify for the tests: smaller, and with the same
// verdicts. A function that was entered from the same place a second time in the
// same part of a trial proves nothing more.
func trim(from, to string) error {
	r, err := record.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	var text bytes.Buffer
	w, err := record.NewWriter(&text, r.Header, record.Options{})
	if err != nil {
		return err
	}
	var events []ktrace.Event
	var losses []ktrace.Loss
	for {
		it, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case it.Event != nil:
			events = append(events, *it.Event)
		case it.Loss != nil:
			losses = append(losses, *it.Loss)
		case it.Note != nil:
			events, err = firstEntries(events, it.Note.Value)
			if err = cmp.Or(err, w.Write(events, losses), w.Note(*it.Note)); err != nil {
				return err
			}
			events, losses = nil, nil
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return writeGzip(to, text.Bytes())
}

// firstEntries keeps of the function entries the first of each place in each
// part of the trial: parts end at the beginning or end of a wake. With the
// plain function tracer a tail call shows in the previous entry with the same
// return address, so there that is part of the place, and is kept too.
func firstEntries(events []ktrace.Event, note string) ([]ktrace.Event, error) {
	var trial struct {
		Wakes []struct{ Began, Ended int64 }
	}
	if err := json.Unmarshal([]byte(note), &trial); err != nil {
		return nil, err
	}
	type entry struct {
		part, tid     int
		place, before string
	}
	type returning struct {
		tid int
		to  string
	}
	have, last := map[entry]bool{}, map[returning]int{}
	keep := make([]bool, len(events))
	for i, e := range events {
		if keep[i] = e.Kind != ktrace.FuncEntry || len(e.Stack) == 0; keep[i] {
			continue
		}
		part := 0
		for _, w := range trial.Wakes {
			for _, edge := range []int64{w.Began - 1000, w.Ended} {
				if e.Time > edge {
					part++
				}
			}
		}
		key, before := entry{part: part, tid: e.TID, place: place(e.Stack)}, i
		if e.Source == ftrace.Function {
			at := returning{e.TID, place(e.Stack[1:])}
			if b, ok := last[at]; ok {
				key.before, before = events[b].Stack[0].Name, b
			}
			last[at] = i
		}
		if !have[key] {
			have[key], keep[i], keep[before] = true, true, true
		}
	}
	var kept []ktrace.Event
	for i, e := range events {
		if keep[i] {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

func place(stack []ktrace.Frame) string {
	var names []string
	for _, f := range stack {
		names = append(names, f.Name)
	}
	return strings.Join(names, " ")
}

func writeGzip(name string, text []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestCompression)
	_, err = z.Write(text)
	return errors.Join(err, z.Close(), f.Close())
}
