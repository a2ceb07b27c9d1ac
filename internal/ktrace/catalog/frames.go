//go:build linux

package catalog

import (
	"fmt"
	"io/fs"
	"strings"
	"sync"
)

// Frames is what single functions on a call chain say, by their names without
// a compiler's suffix.
type Frames struct {
	Sends    map[string]bool     // runs pending softirqs after it sent a packet
	Delivers map[string]bool     // takes in what was sent on the same processor
	Bodies   map[string][]string // the system calls of which it is the body; mostly it is the first's
}

var defaultFrames struct {
	once sync.Once
	f    *Frames
}

// DefaultFrames returns those of the embedded catalogue, read when they are
// first asked for, apart from the paths, which are a hundred times as many.
func DefaultFrames() *Frames {
	defaultFrames.once.Do(func() {
		sub, err := fs.Sub(embedded, "data")
		if err != nil {
			panic(err)
		}
		if defaultFrames.f, err = readFrames(sub); err != nil {
			panic("embedded catalogue: " + err.Error()) // a test loads it
		}
	})
	return defaultFrames.f
}

func readFrames(fsys fs.FS) (*Frames, error) {
	lines, err := readLines(fsys, "frames.txt")
	if err != nil {
		return nil, err
	}
	out := &Frames{Sends: map[string]bool{}, Delivers: map[string]bool{}, Bodies: map[string][]string{}}
	for _, l := range lines {
		f := strings.Fields(l.text)
		switch {
		case len(f) == 2 && f[0] == "sends":
			out.Sends[f[1]] = true
		case len(f) == 2 && f[0] == "delivers":
			out.Delivers[f[1]] = true
		case len(f) >= 3 && f[0] == "body":
			out.Bodies[f[1]] = f[2:]
		default:
			return nil, fmt.Errorf("%s: want sends FUNCTION, delivers FUNCTION or body FUNCTION CALL…, not %q", l.where, l.text)
		}
	}
	return out, nil
}
