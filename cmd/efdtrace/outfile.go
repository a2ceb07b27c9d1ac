//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/efd-go/efd/internal/plain"
	"golang.org/x/sys/unix"
)

// outFile is the file that -o names. A regular file that exists keeps its
// content until keep, which renames a new one over it; one that is absent is
// created in place. A FIFO or a device is written as it is.
type outFile struct {
	name string // as the user wrote it
	dir  *os.File
	base string // of the file, in dir
	temp string // of the file that is written, in dir; "" if that is base itself
	made bool   // base did not exist before

	f        *os.File
	truncate bool // base is written in place, and is emptied by the first write
	ended    atomic.Bool
	release  func() bool
}

// writeLimit is how long one write to a FIFO may take once a signal has asked
// for the end: its reader may have stopped reading.
const writeLimit = 2 * time.Second

// createOut opens the file that -o names. inputs are the files that the command
// reads: none of them may be the output. ctx ends the wait for a FIFO's reader,
// and from then on bounds each write to it.
func (e *env) createOut(ctx context.Context, name string, inputs ...os.FileInfo) (*outFile, error) {
	p, err := resolve(name)
	if err != nil {
		return nil, outError(name, err)
	}
	if p.exists {
		for _, in := range inputs {
			if in == nil {
				continue
			}
			if st, ok := in.Sys().(*syscall.Stat_t); ok && in.Mode()&os.ModeCharDevice == 0 && p.same(st) {
				p.dir.Close()
				return nil, fmt.Errorf("-o %s: is the input %s: the output must be another file", name, in.Name())
			}
		}
	}
	o := &outFile{name: name, dir: p.dir, base: p.base, made: !p.exists}
	waiting := func() { fmt.Fprintf(e.stderr, "efdtrace: -o %s: waits for a reader of the FIFO\n", plain.Text(name)) }
	if err := o.open(ctx, p, waiting); err != nil {
		o.dir.Close()
		return nil, outError(name, err)
	}
	o.release = context.AfterFunc(ctx, func() {
		o.ended.Store(true)
		o.f.SetWriteDeadline(time.Now().Add(writeLimit)) // an error says that it is not a FIFO
	})
	return o, nil
}

// outError adds the operation and the name to an error that has neither.
func outError(name string, err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok && p.Path == name {
		return err
	}
	if _, ok := errors.AsType[signalled](err); ok {
		return err
	}
	return fmt.Errorf("-o %s: %w", name, err)
}

func (o *outFile) open(ctx context.Context, p *place, waiting func()) (err error) {
	switch {
	case p.magic:
		o.truncate = p.mode == unix.S_IFREG
		o.f, err = p.open(unix.O_WRONLY)
	case !p.exists:
		o.f, err = p.open(unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW)
	case p.mode == unix.S_IFREG:
		err = o.besides(p)
	case p.mode == unix.S_IFIFO:
		o.f, err = p.openFIFO(ctx, waiting)
	default:
		o.f, err = p.open(unix.O_WRONLY | unix.O_NOFOLLOW)
	}
	return err
}

// besides opens a new file next to one that exists and that may be written. In
// a directory that takes no new file the existing one is written in place.
func (o *outFile) besides(p *place) error {
	old, err := p.open(unix.O_WRONLY | unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	temp := *p
	temp.base = "." + p.base[:min(len(p.base), 200)] + ".efdtrace-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	f, err := temp.open(unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW)
	if err != nil {
		if slices.ContainsFunc([]error{unix.EACCES, unix.EPERM, unix.EROFS}, func(e error) bool { return errors.Is(err, e) }) {
			o.f, o.truncate = old, true
			return nil
		}
		old.Close()
		return err
	}
	old.Close()
	if p.uid == uint32(os.Geteuid()) { // else its mode was meant for another owner
		if err := f.Chmod(os.FileMode(p.perm)); err != nil {
			f.Close()
			unix.Unlinkat(int(o.dir.Fd()), temp.base, 0)
			return err
		}
	}
	o.f, o.temp = f, temp.base
	return nil
}

// Write implements io.Writer.
func (o *outFile) Write(b []byte) (int, error) {
	if o.truncate {
		o.truncate = false
		if err := o.f.Truncate(0); err != nil {
			return 0, err
		}
	}
	if o.ended.Load() {
		o.f.SetWriteDeadline(time.Now().Add(writeLimit))
	}
	return o.f.Write(b)
}

// keep closes the file and gives it its name.
func (o *outFile) keep() error {
	if o.truncate { // nothing was written
		o.Write(nil)
	}
	err := o.close()
	if err == nil && o.temp != "" {
		if err = unix.Renameat(int(o.dir.Fd()), o.temp, int(o.dir.Fd()), o.base); err != nil {
			err = &os.LinkError{Op: "rename", Old: o.temp, New: o.name, Err: err}
		}
	}
	o.dir.Close()
	return err
}

// spoilt closes a file that could not be written to its end, and names the file
// that has the incomplete output.
func (o *outFile) spoilt(err error) error {
	o.close()
	if o.temp != "" {
		err = fmt.Errorf("%w; %s is unchanged, and the incomplete output is in %s in the same directory", err, o.name, o.temp)
	}
	o.dir.Close()
	return err
}

// abandon closes the file and leaves the directory as it was.
func (o *outFile) abandon() {
	o.close()
	if name := cmp.Or(o.temp, o.base); o.temp != "" || o.made {
		unix.Unlinkat(int(o.dir.Fd()), name, 0)
	}
	o.dir.Close()
}

func (o *outFile) close() error {
	o.release()
	return o.f.Close()
}
