//go:build linux

package strace

import "bytes"

// prefix reads what -f, -Y, -t, -r, -n and -i put before a record, in that
// order, and returns the rest.
func (r *Record) prefix(s []byte) []byte {
	s = r.pidPrefix(s)
	s = r.timePrefix(s)
	if len(s) == 0 || s[0] != '[' {
		return s
	}
	if n, rest, ok := bracketed(s); ok && isNumber(n) {
		v, _ := number(trim(n))
		r.Number, s = int(v), rest
	}
	if ip, rest, ok := bracketed(s); ok && isAddress(ip) {
		r.IP, s = ip, rest
	}
	return s
}

// maxComm bounds a command name: the kernel's 16 bytes, each at most four
// characters when escaped.
const maxComm = 64

// pidPrefix reads "3358  ", "11145<comm> ", "[pid  3358] " or
// "[pid 11145<comm>] ".
func (r *Record) pidPrefix(s []byte) []byte {
	rest, closing := s, byte(' ')
	if len(s) > 0 && s[0] == '[' {
		b, ok := bytes.CutPrefix(s, []byte("[pid "))
		if !ok {
			return s
		}
		rest, closing = trimLeft(b), ']'
	}
	v, n := number(rest)
	if n == 0 || n > 10 || n == len(rest) {
		return s
	}
	rest = rest[n:]
	var comm []byte
	if rest[0] == '<' {
		// The comm may hold anything, '>' too: the end is the last '>' that
		// the closing byte follows before the record itself starts.
		end := bytes.Index(rest, []byte{'>', closing})
		if end < 0 {
			return s
		}
		for end+2 < len(rest) && !recordStart(trimLeft(rest[end+2:])) {
			next := bytes.Index(rest[end+1:], []byte{'>', closing})
			if next < 0 || end+next > maxComm {
				break
			}
			end += 1 + next
		}
		comm, rest = rest[1:end], rest[end+1:]
	}
	if len(rest) == 0 || rest[0] != closing {
		return s
	}
	rest = trimLeft(rest[1:])
	if closing == ' ' && comm == nil && !recordStart(rest) {
		return s
	}
	r.PID, r.Comm = int(v), comm
	return rest
}

// recordStart reports whether a record, or a further prefix, can start so.
func recordStart(s []byte) bool {
	if len(s) == 0 {
		return false
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9':
		n := digits(s) // a time, 32-bit seconds without fraction among them
		return n < len(s) && (s[n] == '.' || s[n] == ':' || n > 8)
	case c == '[', c == '<', c == '+', c == '-', c == '(', c == '?':
		return true
	default:
		n := nameLen(s)
		return n > 0 && n < len(s) && s[n] == '('
	}
}

func trimLeft(s []byte) []byte {
	for len(s) > 0 && s[0] == ' ' {
		s = s[1:]
	}
	return s
}

// timePrefix reads one of "03:53:43", "03:53:43.891240", "1795319624.570982",
// "     0.000335" and "03:53:43.891240 (+     0.000335)".
func (r *Record) timePrefix(s []byte) []byte {
	rest := trimLeft(s)
	if len(rest) >= 8 && rest[2] == ':' && rest[5] == ':' {
		h, n1 := number(rest[:2])
		m, n2 := number(rest[3:5])
		sec, n3 := number(rest[6:8])
		if n1 == 2 && n2 == 2 && n3 == 2 {
			ns, n := fraction(rest[8:])
			if rest, ok := blank(rest[8+n:]); ok {
				r.Clock, r.Time, r.Tick = Wall, ((h*60+m)*60+sec)*1e9+ns, tick(n)
				return r.deltaPrefix(rest)
			}
		}
		return s
	}
	sec, n := number(rest)
	if n == 0 || n == len(rest) {
		return s
	}
	// -t -t -t needs a fraction; whole seconds are --absolute-timestamps=unix.
	ns, fn := fraction(rest[n:])
	if fn == 0 && sec < 1e8 || sec > 1e10 {
		return s
	}
	after, ok := blank(rest[n+fn:])
	if !ok {
		return s
	}
	if sec < 1e8 {
		r.Clock, r.Time, r.Tick, r.Delta = Relative, sec*1e9+ns, tick(fn), sec*1e9+ns
		return after
	}
	r.Clock, r.Time, r.Tick = Epoch, sec*1e9+ns, tick(fn)
	return r.deltaPrefix(after)
}

// deltaPrefix reads what -r prints beside an absolute time.
func (r *Record) deltaPrefix(s []byte) []byte {
	rest, ok := bytes.CutPrefix(s, []byte("(+"))
	if !ok {
		return s
	}
	rest = trimLeft(rest)
	sec, n := number(rest)
	ns, fn := fraction(rest[n:])
	if n == 0 || n+fn >= len(rest) || rest[n+fn] != ')' {
		return s
	}
	after, ok := blank(rest[n+fn+1:])
	if !ok {
		return s
	}
	r.Delta = sec*1e9 + ns
	return after
}

// fraction reads ".891240" as nanoseconds.
func fraction(s []byte) (ns int64, n int) {
	if len(s) < 2 || s[0] != '.' {
		return 0, 0
	}
	ns, d := number(s[1:])
	if d == 0 || d > 9 {
		return 0, 0
	}
	return ns * scale[d], 1 + d
}

// scale makes nanoseconds of a fraction with so many digits.
var scale = [10]int64{1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 1e2, 10, 1}

// tick is what the last digit of a fraction of n characters stands for.
func tick(n int) int64 { return scale[max(n-1, 0)] }

// blank cuts the blank that ends a column, and padding behind it.
func blank(s []byte) ([]byte, bool) {
	if len(s) == 0 || s[0] != ' ' {
		return s, false
	}
	return trimLeft(s), true
}

// bracketed cuts "[...] " off.
func bracketed(s []byte) (in, rest []byte, ok bool) {
	if len(s) < 4 || s[0] != '[' {
		return nil, s, false
	}
	end := bytes.IndexByte(s[:min(len(s), 32)], ']')
	if end < 0 || end+1 >= len(s) || s[end+1] != ' ' {
		return nil, s, false
	}
	return s[1:end], trimLeft(s[end+1:]), true
}

func isNumber(s []byte) bool {
	t := trimLeft(s)
	return len(t) > 0 && digits(t) == len(t) && len(s) < 8
}

func isAddress(s []byte) bool {
	if len(s) < 8 {
		return false
	}
	for _, c := range s {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c == '?') {
			return false
		}
	}
	return true
}

// nameLen is the length of the system call's name that s starts with.
func nameLen(s []byte) int {
	n := 0
	for n < len(s) && n < 64 && inName[s[n]] {
		n++
	}
	return n
}

var inName = [256]bool{'_': true, '?': true}

func init() {
	for c := range inName {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' {
			inName[c] = true
		}
	}
}
