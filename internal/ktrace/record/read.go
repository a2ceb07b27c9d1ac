//go:build linux

package record

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/plain"
)

// Limits on the sizes in a file, so that no file exhausts the memory. The
// kernel's own are lower: symbols have at most 512 bytes, names of tasks 16.
const (
	maxHeader  = 2 << 20 // it has the symbols
	maxLine    = 1 << 20
	maxFrames  = 1 << 16
	maxDepth   = 512
	maxStacked = 1 << 19 // frames of all stacks
	maxName    = 512
	maxAliases = 64
	maxNamed   = 8 << 20 // bytes of all names of frames
)

// gzipMagic is how a compressed recording begins.
var gzipMagic = []byte{0x1f, 0x8b}

// Item is what Next returns: one of its members is set.
type Item struct {
	Event *ktrace.Event
	Loss  *ktrace.Loss
	Note  *Note
}

// Reader reads a recording. The frames of its events are shared and not to be
// changed. It implements ktrace.SymbolSet.
type Reader struct {
	Header
	in     *bufio.Reader
	buf    []byte
	line   int
	frames map[int]ktrace.Frame
	stacks map[int][]ktrace.Frame

	stacked, named int // frames in stacks, bytes in names

	n     endLine
	done  bool
	close func() error
}

// Open opens a recording, compressed or not.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.close = f.Close
	return r, nil
}

// NewReader reads a recording from in, compressed or not.
func NewReader(in io.Reader) (*Reader, error) {
	br := bufio.NewReaderSize(in, 64<<10)
	if magic, _ := br.Peek(2); bytes.Equal(magic, gzipMagic) {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, err
		}
		br = bufio.NewReaderSize(z, 64<<10)
	}
	r := &Reader{in: br}
	r.forget()
	var l line
	if err := r.read(&l); err != nil {
		if err == io.EOF {
			err = errors.New("empty")
		}
		return nil, fmt.Errorf("no recording: %w", err)
	}
	switch {
	case l.Recording == nil:
		return nil, errors.New(`no recording: its first line has no "recording"`)
	case l.Recording.Version < 1:
		return nil, errors.New("no recording: its header has no version")
	case l.Recording.Version > Version:
		return nil, fmt.Errorf("recording of version %d, and this program knows versions up to %d", l.Recording.Version, Version)
	}
	r.Header = *l.Recording
	r.Header.clean()
	return r, nil
}

func (r *Reader) forget() {
	r.frames, r.stacks = map[int]ktrace.Frame{}, map[int][]ktrace.Frame{}
	r.stacked, r.named = 0, 0
}

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// read decodes the next line.
func (r *Reader) read(l *line) error {
	r.line++
	r.buf = r.buf[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		r.buf = append(r.buf, part...)
		most := maxLine
		if r.line == 1 {
			most = maxHeader
		}
		if len(r.buf) > most {
			return fmt.Errorf("line %d: longer than %d bytes", r.line, most)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF && len(r.buf) == 0 {
			return io.EOF
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return ErrCut
		}
		if err != nil {
			return err
		}
		break
	}
	if err := json.Unmarshal(r.buf, l); err != nil {
		return fmt.Errorf("line %d: %w", r.line, err)
	}
	return nil
}

// Next returns the next event, loss or note, and io.EOF after the last. A file
// that ends too early gives ErrCut; the items before it are valid.
func (r *Reader) Next() (Item, error) {
	for !r.done {
		var l line
		err := r.read(&l)
		if err == io.EOF {
			err = ErrCut
		}
		if err != nil {
			return Item{}, err
		}
		it, err := r.take(&l)
		if err != nil {
			return Item{}, fmt.Errorf("line %d: %w", r.line, err)
		}
		if it != (Item{}) {
			return it, nil
		}
	}
	return Item{}, io.EOF
}

func (r *Reader) take(l *line) (Item, error) {
	switch {
	case l.Event != nil:
		e, err := r.event(l.Event)
		r.n.Events++
		return Item{Event: e}, err
	case l.Loss != nil:
		if l.Loss.From > l.Loss.To || l.Loss.From < 0 {
			return Item{}, errors.New("a loss that ends before it begins, or begins before the boot")
		}
		r.n.Losses += l.Loss.Count
		return Item{Loss: &ktrace.Loss{Source: plain.Text(l.Loss.Source), Count: l.Loss.Count, From: l.Loss.From, To: l.Loss.To}}, named(l.Loss.Source)
	case l.Note != nil:
		return Item{Note: l.Note}, named(l.Note.Key)
	case l.Frame != nil:
		return Item{}, r.frame(l.Frame)
	case l.Stack != nil:
		return Item{}, r.stack(l.Stack)
	case l.Forget:
		r.forget()
	case l.End != nil:
		r.done = true
		if l.End.Events != r.n.Events || l.End.Losses != r.n.Losses {
			return Item{}, fmt.Errorf("the last line counts %d events and %d lost, and there are %d and %d", l.End.Events, l.End.Losses, r.n.Events, r.n.Losses)
		}
	}
	return Item{}, nil // an unknown line is one of a later version that can be done without
}

// named refuses a name that is longer than any of the kernel's.
func named(names ...string) error {
	for _, n := range names {
		if len(n) > maxName {
			return fmt.Errorf("a name of %d bytes, and the longest have %d", len(n), maxName)
		}
	}
	return nil
}

func (r *Reader) frame(l *frameLine) error {
	if len(l.Aliases) > maxAliases {
		return fmt.Errorf("a frame with %d other names, and there may be %d", len(l.Aliases), maxAliases)
	}
	for _, n := range append([]*string{&l.Name, &l.Module}, pointers(l.Aliases)...) {
		if err := named(*n); err != nil {
			return err
		}
		r.named += len(*n)
		*n = plain.Text(*n)
	}
	if len(r.frames) >= maxFrames || r.named > maxNamed {
		return fmt.Errorf("more than %d frames, or than %d bytes of their names", maxFrames, maxNamed)
	}
	r.frames[l.ID] = ktrace.Frame{Name: l.Name, Aliases: l.Aliases, Module: l.Module}
	return nil
}

func pointers(s []string) (out []*string) {
	for i := range s {
		out = append(out, &s[i])
	}
	return out
}

// clean escapes the file's texts about the kernel. Names of tasks and notes
// stay as they are, since they may hold any bytes.
func (h *Header) clean() {
	h.Release, h.Arch = plain.Text(h.Release), plain.Text(h.Arch)
	for i := range h.Sources {
		h.Sources[i] = plain.Text(h.Sources[i])
	}
	for k, v := range h.Facts {
		h.Facts[k] = plain.Text(v)
	}
}

func (r *Reader) stack(l *stackLine) error {
	r.stacked += len(l.Frames)
	if len(l.Frames) > maxDepth || len(r.stacks) >= maxStacks || r.stacked > maxStacked {
		return fmt.Errorf("a stack of more than %d frames, or more than %d stacks or %d frames in them", maxDepth, maxStacks, maxStacked)
	}
	frames := make([]ktrace.Frame, len(l.Frames))
	for i, p := range l.Frames {
		f, ok := r.frames[int(p[0])]
		if !ok {
			return fmt.Errorf("frame %d of a stack is not known", p[0])
		}
		f.Off = p[1]
		frames[i] = f
	}
	r.stacks[l.ID] = frames
	return nil
}

func (r *Reader) event(l *eventLine) (*ktrace.Event, error) {
	kind, ok := kindByName[l.Kind]
	if !ok {
		return nil, fmt.Errorf("event of unknown kind %q", l.Kind)
	}
	if err := named(l.Source, l.Comm, l.TargetComm, l.Field, l.IRQ); err != nil {
		return nil, err
	}
	if l.Time < 0 {
		return nil, fmt.Errorf("an event at %d ns, before the boot", l.Time)
	}
	for _, id := range []int{l.PID, l.TID, l.Target, l.GlobalTarget, l.TargetPID} {
		if id < -1 || id > math.MaxInt32 {
			return nil, fmt.Errorf("an event with the process or thread ID %d", id)
		}
	}
	e := &ktrace.Event{
		Kind: kind, Source: plain.Text(l.Source), Time: l.Time, CPU: l.CPU, PID: l.PID, TID: l.TID, Comm: l.Comm,
		Target: l.Target, GlobalTarget: l.GlobalTarget, TargetPID: l.TargetPID, TargetComm: l.TargetComm, Preempted: l.Preempted, State: l.State,
		Nr: l.Nr, Ret: l.Ret, Object: l.Object, Field: plain.Text(l.Field), IRQ: plain.Text(l.IRQ), Truncated: l.Truncated,
	}
	if l.Args != nil {
		e.Args = *l.Args
	}
	if l.Stack != 0 {
		if e.Stack, ok = r.stacks[l.Stack]; !ok {
			return nil, fmt.Errorf("stack %d of an event is not known", l.Stack)
		}
	}
	return e, nil
}

// Replay reads the rest and passes it to fn in batches, as source.Run does with
// a live source: losses come before the events of their batch, and after all
// earlier events. notes receives the notes and may be nil.
func (r *Reader) Replay(fn func([]ktrace.Event, []ktrace.Loss) error, notes func(Note)) error {
	const batch = 1024
	var events []ktrace.Event
	var losses []ktrace.Loss
	for {
		it, err := r.Next()
		if it.Loss != nil && len(events) > 0 {
			if ferr := fn(events, losses); ferr != nil {
				return ferr
			}
			events, losses = events[:0], losses[:0]
		}
		switch {
		case it.Event != nil:
			events = append(events, *it.Event)
		case it.Loss != nil:
			losses = append(losses, *it.Loss)
		case it.Note != nil && notes != nil:
			notes(*it.Note)
		}
		if len(events)+len(losses) > 0 && (err != nil || len(events)+len(losses) >= batch) {
			if ferr := fn(events, losses); ferr != nil {
				return ferr
			}
			events, losses = events[:0], losses[:0]
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
