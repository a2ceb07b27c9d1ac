//go:build linux

package strace

import (
	"bytes"
	"io"
	"time"
)

// MaxLine is the length up to which a line is read as one. A longer one comes
// as pieces that are not looked into.
const MaxLine = 1 << 20

// Reader reads the records of one log.
type Reader struct {
	in       input
	inLong   bool // the next piece goes on with an over-long line
	line     int
	rec      Record
	joined   []byte
	names    map[string]string
	recent   [128]string // of names
	repeats  repeats
	pending  pending
	mainPID  int // of the thread whose lines had no pid while it was the only one
	fallback int // pid of lines that have none: -ff logs carry it in the file's name

	form      form
	foreign   foreign
	wrap      wrap
	html      bool // the log's special characters are escaped
	before    []byte
	newBefore bool   // before is of no known shape
	tail      []byte // that stands behind each line
	slashes   bool   // markup's backslashes are in the log
	typeset   bool   // a word processor's signs are
	quoted    []byte // what stands before string literals that have the log's lines
	nested    int    // literals that are being looked into, one within the other
	inLiteral []byte // the text of the literal that the line has a record in, nil for none
	own       []byte // the line without what terminals put into it
	free      []byte
	mended    []byte
	trial     []byte
	widths    []int
	scratch   Record
	mixing    bool // calls of several threads are mixed from here on
	unread    Unread
}

// NewReader reads a log. pid stands for lines that name no thread, as in the
// files of strace -ff; 0 if it is not known.
func NewReader(in io.Reader, pid int) *Reader {
	return &Reader{in: input{in: in}, names: map[string]string{}, fallback: pid}
}

// Live has before called ahead of each read, and idle report whether no input
// comes within a time.
func (r *Reader) Live(before func(), idle func(time.Duration) bool) {
	r.in.before, r.in.idle = before, idle
}

// Dropped returns how many first halves were let go because too many were
// waiting for their second.
func (r *Reader) Dropped() int { return r.pending.dropped }

// Pending returns how many first halves wait.
func (r *Reader) Pending() int { return r.pending.count() }

// More reports whether a further line can be read without waiting for it.
func (r *Reader) More() bool { return bytes.IndexByte(r.Ahead(), '\n') >= 0 }

// Ahead returns what of the log has been read and is not in a record yet. It is
// valid until the next call of Next.
func (r *Reader) Ahead() []byte { return r.in.buf[r.in.r:r.in.w] }

// Unread counts the lines that were not understood, by their reason.
type Unread struct {
	Lines   int // of the log, without empty ones
	Foreign int // nothing in them has a form of strace's
	Broken  int // calls without their end
	Long    int // longer than MaxLine
	Mixed   int // calls and results of which none says whose they are
	First   int // line
}

// Unread returns what has not been understood so far.
func (r *Reader) Unread() Unread { return r.unread }

func (u *Unread) add(count *int, line int) {
	if *count++; u.First == 0 {
		u.First = line
	}
}

// Next returns the next record, or io.EOF. The record is overwritten by the
// call after.
func (r *Reader) Next() (*Record, error) {
	limit := MaxLine
	if r.inLong {
		limit = blockSize
	}
	n, part := r.in.next(limit)
	if n == 0 {
		if err := r.in.failed(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	first := !r.inLong
	r.inLong = part
	rec := &r.rec
	args := rec.Call.Args
	*rec = Record{}
	rec.Number, rec.Delta = -1, -1
	rec.Call.Args, rec.Call.Duration = args[:0], -1
	if first {
		r.line++
	}
	rec.Line, rec.Part = r.line, part
	switch {
	case !first:
	case part:
		r.unread.Lines++
		r.unread.add(&r.unread.Long, r.line)
	default:
		r.parse(rec, n)
	}
	rec.Raw = r.in.take(n)
	return rec, nil
}

// parse fills what the line of the next n bytes says into rec.
func (r *Reader) parse(rec *Record, n int) {
	if r.line == 1 {
		r.begin()
	}
	line := trimEnd(r.in.buf[r.in.r : r.in.r+n])
	if len(line) == 0 {
		return
	}
	r.unread.Lines++
	switch {
	case r.wrap.left > 0:
		if r.wrap.left--; r.wrap.left > 0 {
			rec.Wrapped = true
			return
		}
		r.commit(rec, r.wrap.text)
	case r.plain(line) && !odd(line) && bytes.IndexByte(line, '&') < 0 && !r.brokenResult(n) && r.fast(rec, line):
		r.foreign.own++
	default:
		rec.clear()
		r.slow(rec, n, line)
	}
}

// begin learns from the first lines.
func (r *Reader) begin() {
	raw, ok := r.in.peek(0, false)
	if !ok {
		return
	}
	line := cleaned(nil, trimEnd(raw))
	r.lookForNumbers(line)
	r.learnTail()
	r.learnForeign(line)
	r.learnWidth(line)
}

// plain reports whether nothing is known that a line of strace's own form would
// have to be freed of. One that is not as wide as lines are cut was not cut.
func (r *Reader) plain(line []byte) bool {
	return r.foreign.numbered == nil && (r.wrap.width == 0 || r.wrap.width != len(line)) && r.wrap.own == 0 && !r.html && len(r.tail) == 0 && !r.mixing
}

// brokenResult reports whether the line behind the next n bytes may be the end
// of theirs.
func (r *Reader) brokenResult(n int) bool {
	at := r.in.r + n
	return at+1 < r.in.w && endsResult(r.in.buf[at], r.in.buf[at+1])
}

// fast reads a whole call, or one of the halves, in strace's own form. On false
// nothing is changed but rec.
func (r *Reader) fast(rec *Record, line []byte) bool {
	s := rec.prefix(line)
	if len(s) < 3 {
		return false
	}
	own := rec.PID
	if rec.PID == 0 {
		rec.PID = r.defaultPID()
	}
	if s[0] == '<' {
		return r.fastResumed(rec, s)
	}
	if s[len(s)-1] == '>' && bytes.HasSuffix(s, markEnd) {
		return !r.form.strange(own, rec.Clock) && r.fastOpen(rec, s)
	}
	if !r.parseCall(&rec.Call, s) || !rec.Call.Whole {
		return false
	}
	rec.Type = CallLine
	r.pending.take(rec.PID)
	r.form.lines++
	if own != 0 && line[0] != '[' {
		r.form.threads++
	}
	if rec.Clock != NoClock {
		r.form.times++
	}
	return true
}

// form counts the columns that the calls of a log have.
type form struct{ lines, threads, times int }

// strange reports whether a line lacks a column that all others have: strace did
// not write it. Only of a log on a terminal the thread may be left out.
func (f *form) strange(thread int, clock Clock) bool {
	const few = 8
	return f.lines >= few && (thread == 0 && f.threads == f.lines || clock == NoClock && f.times == f.lines)
}

// fastOpen reads a first half.
func (r *Reader) fastOpen(rec *Record, s []byte) bool {
	head, ok := bytes.CutSuffix(s, unfinishedMark)
	if !ok || !r.parseCall(&rec.Call, cutBlank(head)) {
		return false
	}
	k := rec.Call.kept
	if head[len(head)-1] == '\\' || (k == nil || !k.sound) && !sound(head) {
		rec.Call.reset()
		return false
	}
	if k != nil {
		k.sound = true
	}
	r.opened(rec, cutBlank(head))
	return true
}

// sound reports whether the strings of a first half end, and markup has put no
// backslashes into it. One without any backslash passes unread.
func sound(head []byte) bool {
	return bytes.IndexByte(head, '\\') < 0 || !slashed(head) && !openString(head)
}

// fastResumed reads a second half that makes a whole call with its first.
func (r *Reader) fastResumed(rec *Record, s []byte) bool {
	if !bytes.HasPrefix(s, resumeMark) {
		return false
	}
	half, body := r.pending.of(rec.PID), s[len(resumeMark):]
	if half == nil || len(body) < len(half.name) || string(body[:len(half.name)]) != half.name || !bytes.HasPrefix(body[len(half.name):], resumedMark) {
		return false
	}
	rest := body[len(half.name)+len(resumedMark):]
	r.joined = append(append(r.joined[:0], half.text...), rest...)
	if bytes.HasSuffix(rest, unfinishedMark) || !r.parseCall(&rec.Call, r.joined) || !rec.Call.Whole {
		return false
	}
	rec.Type = Resumed
	rec.Call.First, rec.Call.FirstTime = half.line, half.time
	r.pending.take(rec.PID)
	return true
}

// clear takes back what looked like a prefix and was none: a table, the
// program's output.
func (rec *Record) clear() {
	rec.PID, rec.Comm, rec.Clock, rec.Time, rec.Delta, rec.Number, rec.IP = 0, nil, NoClock, 0, -1, -1, nil
}

// commit fills what line, in strace's own form, says into rec.
func (r *Reader) commit(rec *Record, line []byte) {
	if len(line) == 0 {
		return
	}
	if !r.whole(rec, line) {
		s := rec.prefix(line)
		own := rec.PID
		if rec.PID == 0 {
			rec.PID = r.defaultPID()
		}
		switch r.record(rec, s); {
		case rec.Type == Other && r.pending.cut():
			r.continued(rec, line)
		case rec.Type == Unfinished && r.form.strange(own, rec.Clock):
			r.disown(rec)
		}
	}
	if rec.Type != Other {
		return
	}
	rec.clear()
	if !bytes.HasPrefix(line, []byte(" | ")) {
		r.unread.add(&r.unread.Foreign, rec.Line)
	}
}

// disown takes back that a line is the first half of a call.
func (r *Reader) disown(rec *Record) {
	if r.pending.take(rec.PID); rec.Call.Cut {
		r.unread.Broken--
	}
	rec.Type = Other
	rec.Call.reset()
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
		if t, ok := bytes.CutPrefix(line, ownWords); ok {
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
		if bytes.HasPrefix(line, personality) {
			rec.Type, rec.Text = Diagnostic, line
			return true
		}
	}
	return false
}

// processLine reads "Process 29599 attached" and its like; 0 if s is
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
		if bytes.HasPrefix(s, resumeMark) {
			r.resume(rec, s)
		}
	case '[':
		if bytes.HasPrefix(s, personality) {
			rec.Type, rec.Text = Diagnostic, s
		}
	default:
		if text, ok := bytes.CutPrefix(s, ownWords); ok {
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
	if rec.Call.torn {
		rec.Call.reset()
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
	rec.Call.Cut = true
	if h := r.pending.of(rec.PID); h != nil {
		h.cut = true
	}
	r.unread.add(&r.unread.Broken, rec.Line)
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
	r.parseCall(&rec.Call, head)
	r.opened(rec, head)
}

func (r *Reader) opened(rec *Record, head []byte) {
	rec.Type = Unfinished
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
	body := s[len(resumeMark):]
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
	if rec.Call.torn {
		if t := mendCall(r.mended[:0], r.joined); t != nil {
			r.mended = t
			r.parseCall(&rec.Call, t)
		}
	}
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

// continued is a line that starts at the place at which the line before was broken off, or
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
	if half.cut {
		r.unread.Broken--
	}
	r.join(rec, half, line)
	if rec.Type == Resumed && !rec.Call.HasValue && !rec.Call.NoValue {
		// Not the end that was missing.
		r.pending.restore(half)
		if half.cut {
			r.unread.Broken++
		}
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
