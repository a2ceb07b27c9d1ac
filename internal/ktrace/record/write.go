//go:build linux

package record

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// Options select the parts that are left out of a recording.
type Options struct {
	NoComm bool // names of tasks
	NoArgs bool // arguments of system calls
}

// The values of a header's Stripped.
const (
	Comm = "comm"
	Args = "args"
)

// Anonymous leaves out the data of the programs: their names, those of their
// threads, and the arguments of their calls.
var Anonymous = Options{NoComm: true, NoArgs: true}

// maxStacks bounds the memory of both sides: beyond it all are forgotten.
const maxStacks = 1 << 14

// slice is the identity of a stack that is not written to.
type slice struct {
	first *ktrace.Frame
	n     int
}

// Options are those that the Writer was made with.
func (w *Writer) Options() Options { return w.opts }

// Writer writes a recording. Its methods are for one goroutine.
type Writer struct {
	opts   Options
	out    *bufio.Writer
	enc    *json.Encoder
	frames map[string]int
	stacks map[string]int
	byPtr  map[slice]int // the same stack is mostly the same slice
	key    []byte

	stacked, named int // frames in stacks, bytes in names of frames
	n              endLine
	last           int64
	close          []func() error
	err            error
}

// Create makes a recording in a new file, which only its owner can read. If
// the name ends in .gz it is compressed.
func Create(path string, h Header, opts Options) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	w, err := NewNamed(f, path, h, opts)
	if err != nil {
		f.Close()
		return nil, err
	}
	w.close = append(w.close, f.Close)
	return w, nil
}

// NewNamed writes a recording to out, compressed if the name of out's file ends
// in .gz. Close does not close out.
func NewNamed(out io.Writer, name string, h Header, opts Options) (*Writer, error) {
	if !strings.HasSuffix(name, ".gz") {
		return NewWriter(out, h, opts)
	}
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed) // the reader of the kernel's rings waits for it
	if err != nil {
		panic(err) // the level is a right one
	}
	w, err := NewWriter(z, h, opts)
	if err == nil {
		w.close = append(w.close, z.Close)
	}
	return w, err
}

// NewWriter writes a recording to out.
func NewWriter(out io.Writer, h Header, opts Options) (*Writer, error) {
	w := &Writer{opts: opts, out: bufio.NewWriterSize(out, 64<<10)}
	w.enc = json.NewEncoder(w.out)
	w.enc.SetEscapeHTML(false)
	w.reset()
	h.Version = Version
	h.Stripped = nil
	if opts.NoComm {
		h.Stripped = append(h.Stripped, Comm)
	}
	if opts.NoArgs {
		h.Stripped = append(h.Stripped, Args)
	}
	if h.Symbols == nil {
		h.Symbols = map[string][]string{}
	}
	w.put(&line{Recording: &h})
	return w, w.err
}

func (w *Writer) reset() {
	w.stacked, w.named = 0, 0
	w.frames, w.stacks, w.byPtr = map[string]int{}, map[string]int{}, map[slice]int{}
}

func (w *Writer) put(l *line) {
	if w.err == nil {
		w.err = w.enc.Encode(l)
	}
}

// Write adds events and the losses among them. The losses come first, so that a
// reader of the events knows of them.
func (w *Writer) Write(events []ktrace.Event, losses []ktrace.Loss) error {
	for _, l := range losses {
		w.put(&line{Loss: &lossLine{l.Source, l.Count, l.From, l.To}})
		w.n.Losses += l.Count
	}
	for i := range events {
		w.event(&events[i])
	}
	return w.err
}

// Note adds a note.
func (w *Writer) Note(n Note) error {
	w.put(&line{Note: &n})
	return w.err
}

func (w *Writer) event(e *ktrace.Event) {
	kind, ok := kinds[e.Kind]
	if !ok {
		w.err = errors.Join(w.err, fmt.Errorf("event of unknown kind %d", e.Kind))
		return
	}
	l := eventLine{
		Kind: kind, Source: e.Source, Time: e.Time, CPU: e.CPU, PID: e.PID, TID: e.TID, Comm: e.Comm,
		Target: e.Target, GlobalTarget: e.GlobalTarget, TargetPID: e.TargetPID, TargetComm: e.TargetComm, Preempted: e.Preempted, State: e.State,
		Nr: e.Nr, Ret: e.Ret, Object: e.Object, Field: e.Field, IRQ: e.IRQ, Truncated: e.Truncated,
	}
	if w.opts.NoComm {
		l.Comm, l.TargetComm = "", ""
	}
	if e.Kind == ktrace.SysEnter && !w.opts.NoArgs {
		l.Args = &e.Args
	}
	var cut bool
	l.Stack, cut = w.stack(e.Stack)
	l.Truncated = l.Truncated || cut
	w.put(&line{Event: &l})
	w.n.Events++
	w.last = max(w.last, e.Time)
}

// stack returns the number of a stack, and writes it when it is new. One that
// is deeper than readers take is cut.
func (w *Writer) stack(frames []ktrace.Frame) (id int, cut bool) {
	if len(frames) == 0 {
		return 0, false
	}
	same := slice{&frames[0], len(frames)}
	if id, ok := w.byPtr[same]; ok {
		return id, len(frames) > maxDepth
	}
	if len(frames) > maxDepth {
		frames, cut = frames[:maxDepth], true
	}
	if len(w.stacks) >= maxStacks || len(w.frames)+len(frames) > maxFrames || w.stacked+len(frames) > maxStacked || w.named > maxNamed-maxDepth*maxName {
		w.put(&line{Forget: true})
		w.reset()
	}
	pairs := make([][2]uint32, len(frames))
	w.key = w.key[:0]
	for i := range frames {
		f := &frames[i]
		pairs[i] = [2]uint32{uint32(w.frame(f)), f.Off}
		w.key = fmt.Appendf(w.key, "%d+%d,", pairs[i][0], f.Off)
	}
	id, ok := w.stacks[string(w.key)]
	if !ok {
		id = len(w.stacks) + 1
		w.stacked += len(frames)
		w.stacks[string(w.key)] = id
		w.put(&line{Stack: &stackLine{id, pairs}})
	}
	if len(w.byPtr) < maxStacks {
		w.byPtr[same] = id
	}
	return id, cut
}

func (w *Writer) frame(f *ktrace.Frame) int {
	key := f.Name + "\x00" + f.Module + "\x00" + strings.Join(f.Aliases, "\x00")
	if id, ok := w.frames[key]; ok {
		return id
	}
	id := len(w.frames) + 1
	w.frames[key] = id
	w.named += len(key)
	w.put(&line{Frame: &frameLine{id, f.Name, f.Aliases, f.Module}})
	return id
}

// Flush writes the buffered data.
func (w *Writer) Flush() error {
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

// Close writes the last line and closes the file.
func (w *Writer) Close() error {
	w.n.Time = w.last
	w.put(&line{End: &w.n})
	err := w.Flush()
	for _, c := range w.close {
		err = cmp.Or(err, c()) // after one failure the others fail too
	}
	w.close = nil
	return err
}
