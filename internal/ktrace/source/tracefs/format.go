//go:build linux

package tracefs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Format is the layout of a tracepoint's record, as the kernel describes it.
// Offsets differ between kernels, so none is ever assumed.
type Format struct {
	Name   string
	ID     int
	Fields map[string]Field
}

// Field is where a field lies in a record. An array's Size is that of all its
// elements.
type Field struct {
	Offset, Size int
	Signed       bool
}

// ParseFormat reads a tracepoint's format file.
func ParseFormat(text []byte) (*Format, error) {
	f := &Format{Fields: map[string]Field{}}
	for raw := range bytes.Lines(text) {
		line := strings.TrimSpace(string(raw))
		switch {
		case strings.HasPrefix(line, "name:"):
			f.Name = strings.TrimSpace(line[len("name:"):])
		case strings.HasPrefix(line, "ID:"):
			id, err := strconv.ParseUint(strings.TrimSpace(line[len("ID:"):]), 10, 31)
			if err != nil {
				return nil, fmt.Errorf("no number in %q", line)
			}
			f.ID = int(id)
		case strings.HasPrefix(line, "field:"):
			name, field, err := parseField(line)
			if err != nil {
				return nil, err
			}
			f.Fields[name] = field
		}
	}
	if f.Name == "" || f.ID == 0 || len(f.Fields) == 0 {
		return nil, errors.New("no name, no ID or no fields in it")
	}
	return f, nil
}

// parseField reads "field:char comm[16];	offset:8;	size:16;	signed:0;". The size of
// an array of no fixed length is 0.
func parseField(line string) (string, Field, error) {
	var field Field
	var name string
	for part := range strings.SplitSeq(line, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), ":")
		var err error
		switch key {
		case "field":
			decl, _, _ := strings.Cut(value, "[")
			name = decl[strings.LastIndexAny(decl, " *")+1:]
		case "offset":
			field.Offset, err = strconv.Atoi(value)
		case "size":
			field.Size, err = strconv.Atoi(value)
		case "signed":
			field.Signed = value == "1"
		}
		if err != nil {
			return "", field, fmt.Errorf("no number in %q", part)
		}
	}
	if name == "" || field.Offset < 0 || field.Size < 0 || field.Offset+field.Size > 1<<16 {
		return "", field, fmt.Errorf("%q is no field", line)
	}
	return name, field, nil
}

// Need returns the named fields in that order.
func (f *Format) Need(names ...string) ([]Field, error) {
	fields := make([]Field, len(names))
	for i, n := range names {
		var ok bool
		if fields[i], ok = f.Fields[n]; !ok {
			return nil, fmt.Errorf("tracepoint %s has no field %q on this kernel", f.Name, n)
		}
	}
	return fields, nil
}

// Int reads the field from a record, 0 if the record is too short for it.
func (fd Field) Int(raw []byte) int64 {
	if fd.Offset+fd.Size > len(raw) {
		return 0
	}
	b := raw[fd.Offset : fd.Offset+fd.Size]
	switch {
	case fd.Size == 8:
		return int64(binary.NativeEndian.Uint64(b))
	case fd.Size == 4 && fd.Signed:
		return int64(int32(binary.NativeEndian.Uint32(b)))
	case fd.Size == 4:
		return int64(binary.NativeEndian.Uint32(b))
	case fd.Size == 2 && fd.Signed:
		return int64(int16(binary.NativeEndian.Uint16(b)))
	case fd.Size == 2:
		return int64(binary.NativeEndian.Uint16(b))
	case fd.Size == 1 && fd.Signed:
		return int64(int8(b[0]))
	case fd.Size == 1:
		return int64(b[0])
	}
	return 0
}

// Element is the i-th of the field's elements of size bytes.
func (fd Field) Element(i, size int) Field {
	return Field{Offset: fd.Offset + i*size, Size: size, Signed: fd.Signed}
}

// Bytes reads the field as a string that ends at its first zero. The result
// points into raw.
func (fd Field) Bytes(raw []byte) []byte {
	if fd.Offset+fd.Size > len(raw) {
		return nil
	}
	b := raw[fd.Offset : fd.Offset+fd.Size]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return b
}
