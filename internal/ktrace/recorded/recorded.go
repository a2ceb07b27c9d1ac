//go:build linux

// Package recorded adds to a recording the observer's knowledge beyond the
// events, and gives the observer a recording in place of the running kernel.
package recorded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/source/watch"
)

// Keys of the function tracer's facts in a recording's header.
const (
	tracerFact = "tracer"
	tracedFact = "traced"
)

// withoutFact is the header's key of the requested parts that were unavailable,
// a line each.
const withoutFact = "without"

// Sources adds to a recording's header the sources that were opened: the
// function tracer, nil for none, watchpoints, and the parts that the
// observation lacked.
func Sources(h *record.Header, f *observe.Functions, watching bool, without []string) {
	h.Sources = []string{"perf"}
	if watching {
		h.Sources = append(h.Sources, watch.Name)
	}
	if f != nil {
		Describe(h, f)
	}
	if len(without) > 0 {
		h.Facts[withoutFact] = strings.Join(without, "\n")
	}
}

// Without lists the parts that the observation of a recording lacked, with the
// reasons.
func Without(h *record.Header) []string {
	if text := h.Facts[withoutFact]; text != "" {
		return strings.Split(text, "\n")
	}
	return nil
}

// Describe adds the function tracer to the header of a recording.
func Describe(h *record.Header, f *observe.Functions) {
	var names []string
	for n := range f.Witness.Traced {
		names = append(names, n)
	}
	slices.Sort(names)
	h.Sources = append(h.Sources, f.Witness.Name)
	h.Facts[tracerFact], h.Facts[tracedFact] = f.Witness.Name, strings.Join(names, " ")
}

// WitnessOf is the function tracer that a recording was made with, nil for none.
func WitnessOf(h *record.Header) *match.Tracer {
	name := h.Facts[tracerFact]
	if name == "" {
		return nil
	}
	return observe.Witness(name, strings.Fields(h.Facts[tracedFact]))
}

// The keys of a recording's notes.
const (
	objectNote = "object" // the object of a wake: it was read from /proc, and the events do not have it
	textNote   = "text"   // the facts from the kernel's code
	watchNote  = "watch"  // how many eventfds were watched
)

// TrialNote is the key of the note that ends the events of a trial. They are
// those of the trial's own threads, up to its end.
const TrialNote = "trial"

// ObjectNote records the object of a wake.
func ObjectNote(j *observe.Judged) record.Note {
	return ObjectNoteOf(j.Time, j.Wakee.TID, j.Object)
}

// ObjectNoteOf records the object of the wake of a thread at a time.
func ObjectNoteOf(at int64, tid int, object string) record.Note {
	return record.Note{Time: at, Key: objectNote, Value: fmt.Sprintf("%d %s", tid, object)}
}

// byNote is the key of a note on the object of the waker's fd.
const byNote = "by"

// ByNote records the object of the waker's fd.
func ByNote(j *observe.Judged) record.Note {
	return record.Note{Time: j.Time, Key: byNote, Value: fmt.Sprintf("%d %s", j.Wakee.TID, j.By)}
}

// TextNote keeps the answers so far.
func TextNote(n *record.TextNotes) record.Note {
	b, err := json.Marshal(n.Facts())
	if err != nil {
		panic(err) // maps of strings
	}
	return record.Note{Key: textNote, Value: string(b)}
}

// watchValue is the value of a watchNote.
type watchValue struct {
	Watched   int      `json:"watched"`
	Unwatched []string `json:"unwatched,omitempty"`
}

// WatchNote keeps how many eventfds were watched, and which were not.
func WatchNote(p *observe.Pipeline) record.Note {
	b, err := json.Marshal(watchValue{p.Watched, p.Unwatched})
	if err != nil {
		panic(err) // numbers and strings
	}
	return record.Note{Key: watchNote, Value: string(b)}
}

// restore takes the answers from a note that has some: one of its own, or one
// of several things.
func restore(n *record.TextNotes, note record.Note) {
	var v struct {
		Text record.TextFacts `json:"text"`
	}
	to := any(&v)
	if note.Key == textNote {
		to = &v.Text
	}
	if json.Unmarshal([]byte(note.Value), to) == nil {
		n.Add(v.Text)
	}
}

// Replay feeds the recording of that name through a new pipeline.
func Replay(path string, k *observe.Kernel, o observe.Options) (*observe.Pipeline, error) {
	f, err := record.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReplayFile(context.Background(), f, k, o)
}

// ReplayFile feeds a recording through a new pipeline until ctx ends. It is
// read twice, since the objects of wakes follow them in it.
func ReplayFile(ctx context.Context, file *record.File, k *observe.Kernel, o observe.Options) (*observe.Pipeline, error) {
	objects, by := &objects{of: map[woken]string{}}, &objects{of: map[woken]string{}}
	text, facts := &record.TextNotes{}, 0
	var watched *watchValue
	h, err := readAll(file, func([]ktrace.Event, []ktrace.Loss) error { return context.Cause(ctx) }, func(n record.Note) {
		objects.note(n, objectNote)
		by.note(n, byNote)
		if facts += len(n.Value); n.Key == objectNote || n.Key == byNote {
			facts -= len(n.Value)
		} else if facts <= maxFacts {
			restore(text, n)
			if v := (watchValue{}); n.Key == watchNote && json.Unmarshal([]byte(n.Value), &v) == nil {
				watched = &v
			}
		}
		o.Partial = o.Partial || n.Key == TrialNote
	})
	if err != nil && !errors.Is(err, record.ErrCut) {
		return nil, err
	}
	if k.Text == nil {
		k.Text = text
	}
	o.Witness, o.NoArgs = WitnessOf(h), slices.Contains(h.Stripped, record.Args)
	onWake := o.OnWake
	o.OnWake = func(j *observe.Judged) {
		if what, ok := objects.of[woken{j.Time, j.Wakee.TID}]; ok {
			j.Object = what
		}
		if what, ok := by.of[woken{j.Time, j.Wakee.TID}]; ok {
			j.By = what
		}
		if onWake != nil {
			onWake(j)
		}
	}
	p := observe.NewPipeline(k, o)
	p.Without = Without(h)
	if watched != nil {
		p.Watching, p.Watched, p.Unwatched = true, watched.Watched, watched.Unwatched
	}
	_, err = readAll(file, func(e []ktrace.Event, l []ktrace.Loss) error {
		p.Feed(e, l)
		if o.OnBatch != nil {
			o.OnBatch()
		}
		return context.Cause(ctx)
	}, nil)
	p.Flush(0)
	return p, err
}

// objects are the objects of wakes.
type objects struct {
	of    map[woken]string
	names map[string]string // each once
	bytes int               // in names
}

// woken is a wake: its time, and the thread.
type woken struct {
	at  int64
	tid int
}

// Bounds of the notes that a replay keeps.
const (
	maxNoted      = 1 << 20
	maxNotedBytes = 8 << 20
	maxFacts      = 16 << 20
)

// note takes an object from a note that has one, as long as there is room.
func (o *objects) note(n record.Note, key string) {
	text, what, ok := strings.Cut(n.Value, " ")
	tid, err := strconv.Atoi(text)
	if !ok || err != nil || n.Key != key || len(o.of) >= maxNoted {
		return
	}
	name, known := o.names[what]
	if !known {
		if o.bytes += len(what); o.bytes > maxNotedBytes {
			return
		}
		if o.names == nil {
			o.names = map[string]string{}
		}
		name = strings.Clone(what)
		o.names[name] = name
	}
	o.of[woken{n.Time, tid}] = name
}

func readAll(file *record.File, fn func([]ktrace.Event, []ktrace.Loss) error, notes func(record.Note)) (*record.Header, error) {
	r, err := file.Open()
	if err != nil {
		return nil, err
	}
	return &r.Header, r.Replay(fn, notes)
}
