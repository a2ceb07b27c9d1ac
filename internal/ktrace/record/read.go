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
	"os"

	"github.com/efd-go/efd/internal/ktrace"
)

// Bounds of what is taken from a file, so that no file takes all the memory.
const (
	maxLine   = 8 << 20 // the header knows all symbols
	maxFrames = 1 << 18
	maxDepth  = 4096
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
	n      endLine
	done   bool
	close  func() error
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
	return r, nil
}

func (r *Reader) forget() {
	r.frames, r.stacks = map[int]ktrace.Frame{}, map[int][]ktrace.Frame{}
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
		if len(r.buf) > maxLine {
			return fmt.Errorf("line %d: longer than %d bytes", r.line, maxLine)
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
// that ends too early gives ErrCut: what came before it holds.
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
		if l.Loss.From > l.Loss.To {
			return Item{}, errors.New("a loss that ends before it begins")
		}
		r.n.Losses += l.Loss.Count
		return Item{Loss: &ktrace.Loss{Source: l.Loss.Source, Count: l.Loss.Count, From: l.Loss.From, To: l.Loss.To}}, nil
	case l.Note != nil:
		return Item{Note: l.Note}, nil
	case l.Frame != nil:
		if len(r.frames) >= maxFrames {
			return Item{}, fmt.Errorf("more than %d frames", maxFrames)
		}
		r.frames[l.Frame.ID] = ktrace.Frame{Name: l.Frame.Name, Aliases: l.Frame.Aliases, Module: l.Frame.Module}
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

func (r *Reader) stack(l *stackLine) error {
	if len(l.Frames) > maxDepth || len(r.stacks) >= maxStacks {
		return errors.New("a stack, or a number of stacks, beyond the bounds")
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
	e := &ktrace.Event{
		Kind: kind, Source: l.Source, Time: l.Time, CPU: l.CPU, PID: l.PID, TID: l.TID, Comm: l.Comm,
		Target: l.Target, GlobalTarget: l.GlobalTarget, TargetPID: l.TargetPID, TargetComm: l.TargetComm, Preempted: l.Preempted, State: l.State,
		Nr: l.Nr, Ret: l.Ret, Object: l.Object, Field: l.Field, IRQ: l.IRQ, Truncated: l.Truncated,
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

// Replay reads the rest and hands it to fn in batches, as source.Run does with
// a live source. notes gets the notes and may be nil.
func (r *Reader) Replay(fn func([]ktrace.Event, []ktrace.Loss) error, notes func(Note)) error {
	const batch = 1024
	var events []ktrace.Event
	var losses []ktrace.Loss
	for {
		it, err := r.Next()
		switch {
		case it.Event != nil:
			events = append(events, *it.Event)
		case it.Loss != nil:
			losses = append(losses, *it.Loss)
		case it.Note != nil && notes != nil:
			notes(*it.Note)
		}
		if len(events)+len(losses) > 0 && (err != nil || len(events) >= batch) {
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
