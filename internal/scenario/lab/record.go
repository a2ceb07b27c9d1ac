//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/access"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/scenario"
)

const trialNote = recorded.TrialNote

// trialValue is the part of a trial that a recording keeps with its events.
type trialValue struct {
	Scenario string   `json:"scenario"`
	Waiter   int      `json:"waiter"`
	Waker    int      `json:"waker"`
	Began    int64    `json:"began"`
	Ended    int64    `json:"ended"`
	Object   string   `json:"object,omitempty"`
	Calls    []string `json:"calls,omitempty"`

	Wakes       []scenario.Wake           `json:"wakes,omitempty"`
	StillAsleep []scenario.SleepingThread `json:"rests,omitempty"`

	Without []string `json:"without,omitempty"` // as Trial has it

	Text *record.TextFacts `json:"text,omitempty"` // the facts read in the kernel's machine code so far
}

// Header describes the running kernel for a recording.
func (l *Lab) Header() record.Header {
	h := record.NewHeader(l.Kernel.Symbols, l.Kernel.Functions())
	without := l.Without()
	recorded.Sources(&h, l.tracer, l.NoWatch == nil, without)
	return h
}

// Without lists the parts of an observation that this machine lacks, with the
// reasons.
func (l *Lab) Without() []string {
	if l.Denied != nil {
		return nil
	}
	var without []string
	if err := access.Chains(); err != nil {
		without = append(without, "call chains: "+err.Error())
	}
	if err := l.Unwatched(); err != nil {
		without = append(without, "changes of eventfds: "+err.Error())
	}
	for i := range l.lacking {
		without = append(without, l.text(&l.lacking[i]))
	}
	return without
}

// Ours reports whether a thread is one of the scenario's.
func (t *Trial) Ours(tid int) bool {
	r := t.Result
	return tid != 0 && (tid == r.Waiter || tid == r.Waker ||
		slices.ContainsFunc(r.Wakes, func(w scenario.Wake) bool { return tid == w.Waiter || tid == w.Waker }) ||
		slices.ContainsFunc(r.StillAsleep, func(r scenario.SleepingThread) bool { return tid == r.TID }))
}

// Record adds a trial to a recording: the events of its threads, and the wakes
// of them.
func (t *Trial) Record(w *record.Writer) error {
	var events []ktrace.Event
	for _, e := range t.Events {
		if e.Kind == ktrace.FuncEntry && (t.Ours(e.TID) || t.waking(&e)) || e.Time <= t.Result.Ended && (t.Ours(e.TID) || t.Ours(e.Target)) {
			events = append(events, e)
		}
	}
	if err := w.Write(events, t.Losses); err != nil {
		return err
	}
	v := trialValue{Scenario: t.Scenario.Name, Waiter: t.Result.Waiter, Waker: t.Result.Waker, Began: t.Result.Began, Ended: t.Result.Ended, Object: t.Result.Object, Wakes: t.Result.Wakes, StillAsleep: t.Result.StillAsleep, Without: t.Without}
	if t.text != nil {
		f := t.text.Facts()
		v.Text = &f
	}
	for _, c := range t.Result.Calls {
		if !c.After && !w.Options().NoArgs {
			v.Calls = append(v.Calls, fmt.Sprintf("%d %s", c.TID, c.Text))
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Note(record.Note{Time: v.Ended, Key: trialNote, Value: string(b)})
}

// KernelOf is the kernel that a recording comes from.
func KernelOf(h *record.Header) (*observe.Kernel, error) {
	v, err := ktrace.KernelVersion(h.Release, h.Facts["version"])
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if observe.Observable(goarch(h.Arch)) != nil {
		return nil, fmt.Errorf("recording: architecture %q: want x86_64 or aarch64, whose ways into the kernel are documented", h.Arch)
	}
	k := &observe.Kernel{Release: h.Release, Arch: goarch(h.Arch), Version: v, Catalog: catalog.Default()}
	if len(h.Symbols) > 0 {
		k.Symbols = h
	}
	return k, nil
}

// Opened is the kernel and the header of a recording's file.
func Opened(file string) (*observe.Kernel, *record.Header, error) {
	f, err := record.OpenFile(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return HeaderOf(f)
}

// HeaderOf is the kernel and the header of a recording.
func HeaderOf(f *record.File) (*observe.Kernel, *record.Header, error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	k, err := KernelOf(&r.Header)
	return k, &r.Header, err
}

// goarch is Go's name for a machine as uname -m prints it.
func goarch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "i386", "i486", "i586", "i686":
		return "386"
	case "armv6l", "armv7l", "armv8l":
		return "arm"
	}
	return machine
}

// ReadTrials reads the trials of a recording and judges them. change, if
// it is not nil, may change a trial's events before.
func ReadTrials(r *record.Reader, k *observe.Kernel, change func(*Trial)) ([]*Trial, error) {
	var trials []*Trial
	tracer, noArgs := recorded.WitnessOf(&r.Header), slices.Contains(r.Header.Stripped, record.Args)
	t := &Trial{noArgs: noArgs}
	for {
		it, err := r.Next()
		if err == io.EOF {
			return trials, nil
		}
		if err != nil {
			return trials, err
		}
		switch {
		case it.Event != nil:
			t.Events = append(t.Events, *it.Event)
		case it.Loss != nil:
			t.Losses = append(t.Losses, *it.Loss)
		case it.Note != nil && it.Note.Key == trialNote:
			if err := t.restore(it.Note.Value, k); err != nil {
				return trials, err
			}
			if change != nil {
				change(t)
			}
			t.Tracer = tracer
			(&Lab{Kernel: k}).judge(t)
			trials = append(trials, t)
			t = &Trial{noArgs: noArgs}
		}
	}
}

func (t *Trial) restore(note string, k *observe.Kernel) error {
	var v trialValue
	if err := json.Unmarshal([]byte(note), &v); err != nil {
		return fmt.Errorf("recording: note %s: %w", trialNote, err)
	}
	s, err := scenario.Find(false, v.Scenario)
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	if v.Text != nil {
		notes, ok := k.Text.(*record.TextNotes)
		if !ok {
			notes = &record.TextNotes{}
			k.Text = notes
		}
		notes.Add(*v.Text)
		k.Forget()
	}
	t.Scenario, t.Tries, t.Without = s[0], 1, v.Without
	t.Result = &scenario.Result{Waiter: v.Waiter, Waker: v.Waker, Began: v.Began, Ended: v.Ended, Object: v.Object, Wakes: v.Wakes, StillAsleep: v.StillAsleep}
	for _, c := range v.Calls {
		var l scenario.Line
		tid, text, _ := strings.Cut(c, " ")
		fmt.Sscan(tid, &l.TID)
		l.Text = text
		t.Result.Calls = append(t.Result.Calls, l)
	}
	return nil
}
