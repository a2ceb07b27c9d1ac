//go:build linux

package explain

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strconv"
	"unicode/utf8"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// jsoner writes a line of JSON for every line of a log.
type jsoner struct {
	w     *bufio.Writer
	b     []byte
	spool *os.File // the bytes of an over-long line, for raw_base64
	tail  []byte   // of a piece: the beginning of a character
	bad   bool     // the over-long line is no UTF-8
	open  bool     // b is an object that is not written yet
	own   []*Warning
}

// JSON writes one JSON object per line of the log. The warnings that the end of
// the log completes are in the object of its last line.
func JSON(w io.Writer, r *strace.Reader, x *Explainer, o Options) error {
	j := &jsoner{w: bufio.NewWriterSize(w, 64<<10)}
	defer j.unspool()
	if o.Only == OnlyWarnings {
		return j.onlyWarnings(r, x)
	}
	long, line := 0, 0 // the line of which pieces are being written, and the last
	var held *Note     // to be completed by the line after
	for {
		rec, err := r.Next()
		if held != nil {
			if err == nil {
				x.follow(held, rec)
			}
			j.note(held)
			held = nil
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			j.end(nil)
			j.w.Flush()
			return err
		}
		line = rec.Line
		if rec.Part || rec.Line == long {
			if !o.keep(rec, nil) {
				continue
			}
			if err := j.end(nil); err != nil {
				return err
			}
			if err := j.piece(rec, rec.Line != long); err != nil {
				return err
			}
			if long = rec.Line; !rec.Part {
				long = 0
			}
			continue
		}
		n := x.Explain(rec)
		if !o.keep(rec, n) {
			continue
		}
		if err := j.end(nil); err != nil {
			return err
		}
		j.record(rec, n)
		now := o.Flush && !r.More() && (o.Soon == nil || !o.Soon())
		if n != nil && n.follows && !now {
			held = n
			continue
		}
		j.note(n)
		if now {
			if err := j.end(nil); err != nil {
				return err
			}
			if err := j.w.Flush(); err != nil {
				return err
			}
		}
	}
	if long != 0 { // the log ends in an over-long line
		if err := j.endPiece(); err != nil {
			return err
		}
	}
	_, late, _ := x.Finish(r.Dropped())
	if len(late) > 0 && !j.open { // the last line has been written already
		j.b = append(strconv.AppendInt(append(j.b[:0], `{"line":`...), int64(line), 10), `,"raw":"","type":"other"`...)
		j.open = true
	}
	if err := j.end(late); err != nil {
		return err
	}
	return j.w.Flush()
}

// onlyWarnings writes an object for each warning, the most serious first.
func (j *jsoner) onlyWarnings(r *strace.Reader, x *Explainer) error {
	if err := x.all(r); err != nil {
		return err
	}
	for _, w := range x.Warnings() {
		j.b = append(w.appendJSON(j.b[:0]), '\n')
		if _, err := j.w.Write(j.b); err != nil {
			return err
		}
	}
	return j.w.Flush()
}

// record builds the object of one line.
func (j *jsoner) record(rec *strace.Record, n *Note) {
	b := append(j.b[:0], `{"line":`...)
	b = strconv.AppendInt(b, int64(rec.Line), 10)
	raw := bytes.TrimSuffix(rec.Raw, []byte("\n"))
	b = append(b, `,"raw":`...)
	b = AppendString(b, raw)
	if !utf8.Valid(raw) {
		b = append(b, `,"raw_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, raw)
		b = append(b, '"')
	}
	b = append(b, `,"type":"`...)
	b = append(b, rec.Type.String()...)
	b = append(b, '"')
	if rec.PID != 0 {
		b = append(b, `,"pid":`...)
		b = strconv.AppendInt(b, int64(rec.PID), 10)
	}
	switch rec.Type {
	case strace.CallLine, strace.Unfinished, strace.Resumed:
		b = appendCall(b, &rec.Call, n)
	}
	j.b = b
}

// note adds to the object of a line what there is to say of it.
func (j *jsoner) note(n *Note) {
	j.own = j.own[:0]
	if n != nil {
		j.b = appendNote(j.b, n)
		j.own = append(j.own, n.Warnings...)
	}
	j.open = true
}

// end writes an object with its own warnings and late ones.
func (j *jsoner) end(late []*Warning) error {
	if !j.open {
		return nil
	}
	j.open = false
	j.b = append(appendWarnings(j.b, append(j.own, late...)), "}\n"...)
	_, err := j.w.Write(j.b)
	return err
}

func appendCall(b []byte, c *strace.Call, n *Note) []byte {
	b = append(b, `,"syscall":`...)
	b = AppendString(b, []byte(c.Name))
	b = append(b, `,"args":[`...)
	for i, a := range c.Args {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, a)
	}
	b = append(b, ']')
	if c.HasValue {
		b = append(b, `,"ret":`...)
		if v := c.Value; len(c.Result) > 1 && c.Result[0] == '0' && c.Result[1] == 'x' && v < 0 {
			b = strconv.AppendUint(b, uint64(v), 10)
		} else {
			b = strconv.AppendInt(b, v, 10)
		}
	} else if c.NoValue {
		b = append(b, `,"ret":null`...)
	}
	if c.Errno != "" {
		b = append(b, `,"errno":`...)
		b = AppendString(b, []byte(c.Errno))
	}
	if c.First > 0 {
		b = append(b, `,"first_line":`...)
		b = strconv.AppendInt(b, int64(c.First), 10)
	}
	if n == nil || len(n.Paths) == 0 {
		b = append(b, `,"path":[]`...)
	}
	return b
}

func appendNote(b []byte, n *Note) []byte {
	list := func(name string, items []string) {
		if len(items) == 0 {
			return
		}
		b = append(append(append(b, `,"`...), name...), `":[`...)
		for i, s := range items {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendString(b, []byte(s))
		}
		b = append(b, ']')
	}
	list("path", n.Paths)
	list("branches", n.Branches)
	list("later", n.Later)
	if n.Outcome != Unknown {
		b = append(b, `,"outcome":`...)
		b = AppendString(b, []byte(n.Outcome.String()))
	}
	if len(n.Summary) > 0 {
		b = append(b, `,"summary":`...)
		b = AppendString(b, n.Summary)
	}
	list("stories", n.Stories)
	return b
}

// piece writes a part of an over-long line as it comes. The line's bytes are
// kept in an unlinked file until it is known whether they are UTF-8.
func (j *jsoner) piece(rec *strace.Record, first bool) error {
	if first {
		j.bad, j.tail = false, j.tail[:0]
		fmt.Fprintf(j.w, `{"line":%d,"type":"other","raw":"`, rec.Line)
		if err := j.respool(); err != nil {
			return err
		}
	}
	raw := rec.Raw
	if !rec.Part {
		raw = bytes.TrimSuffix(raw, []byte("\n"))
	}
	if _, err := j.spool.Write(raw); err != nil {
		return fmt.Errorf("line %d does not fit into a temporary file: %w", rec.Line, err)
	}
	text := append(j.tail, raw...)
	keep := 0
	if rec.Part {
		keep = incomplete(text)
	}
	body := text[:len(text)-keep]
	j.bad = j.bad || !utf8.Valid(body)
	j.b = appendEscaped(j.b[:0], body)
	j.tail = append(j.tail[:0], text[len(text)-keep:]...)
	if _, err := j.w.Write(j.b); err != nil {
		return err
	}
	if !rec.Part {
		return j.endPiece()
	}
	return nil
}

func (j *jsoner) endPiece() error {
	if len(j.tail) > 0 {
		j.bad = true
		j.w.Write(appendEscaped(nil, j.tail))
		j.tail = j.tail[:0]
	}
	j.w.WriteByte('"')
	if j.bad {
		if _, err := j.spool.Seek(0, io.SeekStart); err != nil {
			return err
		}
		j.w.WriteString(`,"raw_base64":"`)
		enc := base64.NewEncoder(base64.StdEncoding, j.w)
		if _, err := io.Copy(enc, j.spool); err != nil {
			return err
		}
		enc.Close()
		j.w.WriteByte('"')
	}
	_, err := j.w.WriteString("}\n")
	return err
}

// respool empties the temporary file, or makes it.
func (j *jsoner) respool() error {
	if j.spool == nil {
		f, err := os.CreateTemp("", "efdtrace-line-")
		if err != nil {
			return err
		}
		os.Remove(f.Name())
		j.spool = f
		return nil
	}
	if err := j.spool.Truncate(0); err != nil {
		return err
	}
	_, err := j.spool.Seek(0, io.SeekStart)
	return err
}

func (j *jsoner) unspool() {
	if j.spool != nil {
		j.spool.Close()
	}
}

// incomplete is how many bytes at the end of s begin a character without
// ending it.
func incomplete(s []byte) int {
	for n := 1; n <= 3 && n <= len(s); n++ {
		c := s[len(s)-n]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(s[len(s)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// AppendString appends s as a JSON string. What is no UTF-8 becomes U+FFFD.
func AppendString(b, s []byte) []byte {
	b = append(b, '"')
	b = appendEscaped(b, s)
	return append(b, '"')
}

const hexDigits = "0123456789abcdef"

func appendEscaped(b, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c >= ' ' && c != 0x7f:
				b = append(b, c)
			case c == '\t':
				b = append(b, '\\', 't')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\n':
				b = append(b, '\\', 'n')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, "\ufffd"...)
			i++
			continue
		}
		if r == 0x2028 || r == 0x2029 {
			b = append(b, '\\', 'u', '2', '0', '2', hexDigits[r&15])
		} else {
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return b
}
