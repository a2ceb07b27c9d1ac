//go:build linux

// Package wire is the protocol of the matrix and its guests: a job, which the
// guest finds in its initramfs, and frames, which it sends back over a virtio
// port.
package wire

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Port is the name of the virtio port that carries the frames.
const Port = "efd.results"

// JobFile is where the guest finds its job.
const JobFile = "/job.json"

// Job lists the steps of a guest.
type Job struct {
	Env   []string // of every step
	Steps []Step
}

// Step is one command that runs in the guest.
type Step struct {
	Name    string
	Dir     string
	Env     []string // in addition to the job's
	Args    []string
	UID     int // 0: root
	Timeout time.Duration
	Keep    string // a directory of the guest whose files come back, "" for none
	Stdout  string // a file for the standard output, "" to send it with the rest
	Twice   bool   // runs once more if it ends with status 1: tests failed
}

// Kinds of frames.
const (
	Hello  = "hello"  // the guest is up: Text is uname -r, Detail the modules that could not be loaded
	Alive  = "alive"  // a heartbeat
	Start  = "start"  // Step begins
	Output = "output" // the body is all that Step wrote
	File   = "file"   // the body is a file that Step left: Text is its name
	End    = "end"    // Step is over: Status and Seconds
	Bye    = "bye"    // the job is done: the host may end the guest
)

// Frame is one message: this header as a line of JSON, then Size bytes.
type Frame struct {
	Kind    string   `json:"kind"`
	Step    string   `json:"step,omitempty"`
	Text    string   `json:"text,omitempty"`
	Detail  []string `json:"detail,omitempty"`
	Status  int      `json:"status,omitempty"` // exit status, 128+n for a signal, TimedOut
	Seconds float64  `json:"seconds,omitempty"`
	Size    int      `json:"size,omitempty"`
}

// TimedOut is the status of a step that was killed because its time was up.
const TimedOut = -1

// maxHeader and maxBody bound a frame, so that a broken guest cannot fill the host.
const (
	maxHeader = 1 << 20
	maxBody   = 64 << 20
)

// ErrNoFrame is the error of Read for bytes that are no frame.
var ErrNoFrame = errors.New("no frame")

// Write sends one frame in one piece.
func Write(w io.Writer, f Frame, body []byte) error {
	if len(body) > maxBody {
		return fmt.Errorf("frame of %d bytes: at most %d", len(body), maxBody)
	}
	f.Size = len(body)
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = w.Write(append(append(b, '\n'), body...))
	return err
}

// Read receives the next frame; io.EOF after the last whole one.
func Read(r *bufio.Reader) (Frame, []byte, error) {
	line, err := header(r)
	if err != nil {
		if err == io.EOF && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, nil, err
	}
	var f Frame
	if err := json.Unmarshal(line, &f); err != nil {
		return Frame{}, nil, fmt.Errorf("%w: header %.100q: %v", ErrNoFrame, line, err)
	}
	if f.Size < 0 || f.Size > maxBody {
		return Frame{}, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrNoFrame, f.Size, maxBody)
	}
	body := make([]byte, f.Size)
	if _, err := io.ReadFull(r, body); err != nil {
		return Frame{}, nil, fmt.Errorf("frame %q cut short: %w", f.Kind, err)
	}
	return f, body, nil
}

// header reads a line.
func header(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxHeader {
			return nil, fmt.Errorf("%w: header of more than %d bytes: %.100q", ErrNoFrame, maxHeader, line)
		}
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}
