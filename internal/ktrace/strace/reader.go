//go:build linux

package strace

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// MaxLine is the length up to which a line is read as one. A longer one comes
// as pieces that are not looked into.
const MaxLine = 1 << 20

// Reader reads the records of one log.
type Reader struct {
	in       *bufio.Reader
	long     []byte // a line that is longer than in's buffer
	inLong   bool   // the next piece goes on with an over-long line
	line     int
	rec      Record
	plain    []byte // the line without colours
	joined   []byte
	names    map[string]string
	recent   [128]string // of names
	pending  pending
	mainPID  int // of the thread whose lines had no pid while it was the only one
	fallback int // pid of lines that have none: -ff logs carry it in the file's name
}

// NewReader reads a log. pid stands for lines that name no thread, as in the
// files of strace -ff; 0 where it is not known.
func NewReader(in io.Reader, pid int) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 256<<10), names: map[string]string{}, fallback: pid}
}

// Dropped returns how many first halves were let go because too many were
// waiting for their second.
func (r *Reader) Dropped() int { return r.pending.dropped }

// Pending returns how many first halves wait.
func (r *Reader) Pending() int { return r.pending.count() }

// More reports whether a further line can be read without waiting for it.
func (r *Reader) More() bool {
	s, _ := r.in.Peek(r.in.Buffered())
	return bytes.IndexByte(s, '\n') >= 0
}

// Ahead returns what of the log has been read and is not in a record yet. It is
// valid until the next call of Next.
func (r *Reader) Ahead() []byte {
	s, _ := r.in.Peek(r.in.Buffered())
	return s
}

// Next returns the next record, or io.EOF. The record is overwritten by the
// call after.
func (r *Reader) Next() (*Record, error) {
	raw, part, err := r.readLine()
	if len(raw) == 0 {
		if err == nil {
			err = io.EOF
		}
		return nil, err
	}
	if !r.inLong {
		r.line++
	}
	first := !r.inLong
	r.inLong = part
	args := r.rec.Call.Args
	r.rec = Record{}
	r.rec.Line, r.rec.Raw, r.rec.Part, r.rec.Number, r.rec.Delta = r.line, raw, part, -1, -1
	r.rec.Call.Args, r.rec.Call.Duration = args[:0], -1
	if part || !first {
		return &r.rec, nil
	}
	r.parse(&r.rec)
	return &r.rec, nil
}

// readLine returns a line with its end, or a piece of an over-long one.
func (r *Reader) readLine() (line []byte, part bool, err error) {
	s, err := r.in.ReadSlice('\n')
	if err == nil || !errors.Is(err, bufio.ErrBufferFull) {
		if err == nil || err == io.EOF {
			return s, false, nil
		}
		return s, false, err
	}
	if r.inLong {
		return s, true, nil
	}
	r.long = append(r.long[:0], s...)
	for len(r.long) < MaxLine {
		s, err = r.in.ReadSlice('\n')
		r.long = append(r.long, s...)
		if err == nil || err == io.EOF {
			return r.long, false, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return r.long, false, err
		}
	}
	return r.long, true, nil
}

// content is the line without its end and without colours.
func (r *Reader) content(raw []byte) []byte {
	s := bytes.TrimSuffix(raw, []byte("\n"))
	s = bytes.TrimSuffix(s, []byte("\r"))
	if bytes.IndexByte(s, 0x1b) >= 0 {
		r.plain = uncolour(r.plain[:0], s)
		s = r.plain
	}
	return s
}

// parse fills what the line says into rec.
func (r *Reader) parse(rec *Record) {
	line := r.content(rec.Raw)
	if len(line) == 0 {
		return
	}
	if r.whole(rec, line) {
		return
	}
	s := rec.prefix(line)
	if rec.PID == 0 {
		rec.PID = r.defaultPID()
	}
	if r.record(rec, s); rec.Type == Other && r.pending.cut() {
		r.continued(rec, line)
	}
	if rec.Type == Other {
		// What looked like a prefix was none: a table, the program's output.
		rec.PID, rec.Comm, rec.Clock, rec.Time, rec.Delta, rec.Number, rec.IP = 0, nil, NoClock, 0, -1, -1, nil
	}
}

func (r *Reader) defaultPID() int {
	if r.fallback != 0 {
		return r.fallback
	}
	return r.mainPID
}

// whole takes the lines that have no prefix.
func (r *Reader) whole(rec *Record, line []byte) bool {
	switch line[0] {
	case ' ':
		if t, ok := bytes.CutPrefix(line, []byte(" > ")); ok {
			rec.Type, rec.Text = Stack, t
			return true
		}
		if bytes.HasPrefix(line, []byte(" | ")) {
			return true
		}
		if bytes.HasPrefix(line, []byte(" <unfinished ...>")) {
			r.continued(rec, line)
			return true
		}
	case ')', ',':
		r.continued(rec, line)
		return true
	case 's':
		if t, ok := bytes.CutPrefix(line, []byte("strace: ")); ok {
			rec.Type, rec.Text = Diagnostic, t
			rec.PID = processLine(t)
			return true
		}
	case 'P':
		if pid := processLine(line); pid != 0 {
			rec.Type, rec.Text, rec.PID = Diagnostic, line, pid
			return true
		}
	case '[':
		if bytes.HasPrefix(line, []byte("[ Process PID=")) {
			rec.Type, rec.Text = Diagnostic, line
			return true
		}
	}
	return false
}

// processLine reads "Process 29599 attached" and its like; 0 where s is
// something else.
func processLine(s []byte) int {
	rest, ok := bytes.CutPrefix(s, []byte("Process "))
	if !ok {
		return 0
	}
	v, n := number(rest)
	if n == 0 || n > 10 || n == len(rest) || rest[n] != ' ' {
		return 0
	}
	switch rest = rest[n+1:]; {
	case bytes.HasPrefix(rest, []byte("attached")), bytes.HasPrefix(rest, []byte("detached")),
		bytes.HasPrefix(rest, []byte("suspended")), bytes.HasPrefix(rest, []byte("resumed")):
		return int(v)
	}
	return 0
}

// record reads what follows the prefix.
func (r *Reader) record(rec *Record, s []byte) {
	if len(s) == 0 {
		return
	}
	switch s[0] {
	case '-':
		if bytes.HasPrefix(s, []byte("--- ")) {
			rec.Type, rec.Text = Signal, decoration(s, "---")
			if bytes.HasPrefix(rec.Text, []byte("stopped by ")) {
				rec.Type = Stop
			}
		}
	case '+':
		if bytes.HasPrefix(s, []byte("+++ ")) {
			rec.Type, rec.Text = Exit, decoration(s, "+++")
			r.exit(rec)
		}
	case '<':
		if bytes.HasPrefix(s, []byte("<... ")) {
			r.resume(rec, s)
		}
	case '[':
		if bytes.HasPrefix(s, []byte("[ Process PID=")) {
			rec.Type, rec.Text = Diagnostic, s
		}
	default:
		if text, ok := bytes.CutPrefix(s, []byte("strace: ")); ok {
			rec.Type, rec.Text = Diagnostic, text
			return
		}
		r.call(rec, s)
	}
}

func decoration(s []byte, mark string) []byte {
	s = bytes.TrimSuffix(s, []byte(mark))
	return trim(s[len(mark):])
}

// call reads a line that starts with a system call's name.
func (r *Reader) call(rec *Record, s []byte) {
	n := nameLen(s)
	if n == 0 || n >= len(s) || s[n] != '(' {
		return
	}
	if bytes.HasSuffix(s, markEnd) && r.marked(rec, s) {
		return
	}
	if !r.parseCall(&rec.Call, s) {
		return
	}
	if rec.Call.Whole || rec.Call.HasValue || rec.Call.NoValue {
		rec.Type = CallLine
		r.pending.take(rec.PID)
		return
	}
	// The line is broken: by strace's own message, by the program's output on
	// the same terminal, or by the end of the log.
	if i := bytes.LastIndex(s, []byte("strace: Process ")); i >= 0 {
		s = s[:i]
	}
	r.open(rec, s)
	if h := r.pending.of(rec.PID); h != nil {
		h.cut = true
	}
}

// marked reads a call that a mark of strace ends.
func (r *Reader) marked(rec *Record, s []byte) bool {
	if head, ok := bytes.CutSuffix(s, unfinishedMark); ok {
		r.open(rec, cutBlank(head))
		return true
	}
	if head, ok := bytes.CutSuffix(s, detachedMark); ok {
		r.open(rec, cutBlank(head))
		r.pending.take(rec.PID)
		rec.Call.Detached = true
		return true
	}
	head, pid, ok := pidChanged(s)
	if ok {
		old := rec.PID
		rec.PID = pid
		r.open(rec, head)
		rec.PID = old
	}
	return ok
}

// open keeps a first half and describes it as far as it goes.
func (r *Reader) open(rec *Record, head []byte) {
	rec.Type = Unfinished
	r.parseCall(&rec.Call, head)
	rec.Call.Whole = false
	r.pending.put(rec, head)
	r.pending.broken, r.pending.hasBroken = rec.PID, true
}

// cutBlank drops the one blank that strace puts before its mark.
func cutBlank(s []byte) []byte {
	if len(s) > 0 && s[len(s)-1] == ' ' {
		return s[:len(s)-1]
	}
	return s
}

// pidChanged reads "execve(... <pid changed to 6750 ...>".
func pidChanged(s []byte) (head []byte, pid int, ok bool) {
	i := bytes.LastIndex(s, []byte("<pid changed to "))
	if i < 0 {
		return nil, 0, false
	}
	v, n := number(s[i+len("<pid changed to "):])
	return cutBlank(s[:i]), int(v), n > 0 && n <= 10
}

// resume joins "<... NAME resumed>..." to its first half.
func (r *Reader) resume(rec *Record, s []byte) {
	body := s[len("<... "):]
	i := bytes.Index(body, resumedMark)
	if i <= 0 || nameLen(body[:i]) != i {
		return
	}
	name, rest := body[:i], body[i+len(resumedMark):]
	half := r.pending.match(rec.PID, r.intern(name))
	if half == nil && rec.PID != 0 && r.mainPID == 0 {
		// The thread had no pid in its lines as long as it was alone.
		if half = r.pending.match(0, r.intern(name)); half != nil {
			r.mainPID = rec.PID
		}
	}
	if half == nil {
		r.orphan(rec, name, rest)
		return
	}
	r.join(rec, half, rest)
}

// join parses both halves as one call.
func (r *Reader) join(rec *Record, half *half, rest []byte) {
	if head, ok := bytes.CutSuffix(rest, unfinishedMark); ok {
		// Cut once more: it stays open.
		r.joined = append(append(r.joined[:0], half.text...), cutBlank(head)...)
		first, at := half.line, half.time
		rec.Type = Unfinished
		r.open(rec, r.joined)
		if h := r.pending.of(rec.PID); h != nil {
			h.line, h.time = first, at
		}
		rec.Call.First, rec.Call.FirstTime = first, at
		return
	}
	r.joined = append(append(r.joined[:0], half.text...), rest...)
	first, at := half.line, half.time
	r.parseCall(&rec.Call, r.joined)
	rec.Type = Resumed
	rec.Call.First, rec.Call.FirstTime = first, at
}

// orphan is a second half whose first the log does not have, or had too long
// ago. The arguments that it brings are the last ones.
func (r *Reader) orphan(rec *Record, name, rest []byte) {
	r.joined = append(append(append(r.joined[:0], name...), '('), rest...)
	r.parseCall(&rec.Call, r.joined)
	rec.Type = Resumed
	rec.Call.Whole = false
}

// continued is a line that starts where the line before was broken off, or
// the end that -z prints behind a first half.
func (r *Reader) continued(rec *Record, line []byte) {
	half := r.pending.lastBroken()
	if half == nil {
		return
	}
	rec.PID = half.pid
	if string(trim(line)) == string(unfinishedMark) {
		rec.Type = Unfinished
		r.parseCall(&rec.Call, half.text)
		rec.Call.Whole, rec.Call.First, rec.Call.FirstTime = false, half.line, half.time
		r.pending.unbreak()
		return
	}
	r.pending.take(half.pid)
	r.join(rec, half, line)
	if rec.Type == Resumed && !rec.Call.HasValue && !rec.Call.NoValue {
		// Not the end that was missing.
		r.pending.restore(half)
		rec.Type, rec.PID = Other, 0
		rec.Call.reset()
	}
}

// exit ends a thread: what it was in ends with it.
func (r *Reader) exit(rec *Record) {
	if half := r.pending.of(rec.PID); half != nil {
		r.joined = append(r.joined[:0], half.text...)
		r.parseCall(&rec.Call, r.joined)
		rec.Call.Whole, rec.Call.Killed, rec.Call.NoValue = false, true, true
		rec.Call.First, rec.Call.FirstTime = half.line, half.time
		r.pending.take(rec.PID)
	}
}
