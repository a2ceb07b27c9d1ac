//go:build linux

package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// File is a recording that can be read more than once, from any kind of input.
type File struct {
	Info os.FileInfo // of the input, nil if that is not a file

	f    *os.File
	size int64
	name string
}

// maxSpool bounds the recording that is read from a pipe, in bytes as they
// come.
const maxSpool = 1 << 30

// OpenFile opens the recording of that name. It first reads anything but a
// regular file to its end.
func OpenFile(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	r, err := NewFile(f, name)
	if err != nil {
		f.Close()
	}
	return r, err
}

// NewFile takes the recording that in holds from its offset on. If in is a
// regular file it belongs to the File, else it is read to its end. Errors have
// the name.
func NewFile(in io.Reader, name string) (*File, error) {
	f, ok := in.(*os.File)
	var info os.FileInfo
	if ok {
		var err error
		if info, err = f.Stat(); err != nil {
			return nil, err
		}
		if at, err := f.Seek(0, io.SeekCurrent); err == nil && at == 0 && info.Mode().IsRegular() {
			return &File{info, f, info.Size(), name}, nil
		}
	}
	spooled, err := spool(in, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if spooled.Info = info; ok {
		f.Close()
	}
	return spooled, nil
}

// spool copies a recording to a file that has no name.
func spool(in io.Reader, name string) (*File, error) {
	br := bufio.NewReaderSize(in, 64<<10)
	begin, err := br.Peek(64)
	switch {
	case err == io.EOF && len(begin) == 0:
		return nil, errors.New("no recording: empty")
	case err != nil && err != io.EOF:
		return nil, err
	case !bytes.HasPrefix(begin, gzipMagic) && !bytes.Contains(begin, []byte(`"recording"`)):
		return nil, errors.New(`no recording: begins neither with "recording" nor with the magic number of gzip`)
	}
	f, err := os.CreateTemp("", "efd-recording-")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	n, err := io.Copy(f, io.LimitReader(br, maxSpool+1))
	if err == nil && n > maxSpool {
		err = fmt.Errorf("longer than %d bytes, the limit for input other than a file", int64(maxSpool))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{nil, f, n, name}, nil
}

// Open reads the recording from its beginning. The Reader is valid until Close.
func (f *File) Open() (*Reader, error) {
	r, err := NewReader(io.NewSectionReader(f.f, 0, f.size))
	if err != nil {
		err = fmt.Errorf("%s: %w", f.name, err)
	}
	return r, err
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }
