//go:build linux

package uapi

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The readers of the text that the package prints: of each value, they return
// what it was.

// Parse reads the output of String and Strace, and bare numbers in any base of
// strconv.ParseUint.
func (m *Mask) Parse(s string) (uint64, error) {
	var v uint64
	text, _, _ := strings.Cut(s, " /*")
	for part := range strings.SplitSeq(text, "|") {
		part = strings.TrimSpace(part)
		if n, err := strconv.ParseUint(part, 0, 64); err == nil {
			v |= n
			continue
		}
		n, ok := lookup(m.Names, part)
		if !ok {
			return 0, fmt.Errorf("mask %q: no flag is called %q", s, part)
		}
		v |= n
	}
	return v, nil
}

// Parse reads the output of Strace, and bare numbers.
func (e *Enum) Parse(s string) (uint64, error) {
	text, _, _ := strings.Cut(s, " /*")
	if n, err := strconv.ParseUint(text, 0, 64); err == nil {
		return n, nil
	}
	if n, ok := lookup(e.Names, text); ok {
		return n, nil
	}
	return 0, fmt.Errorf("no value is called %q", s)
}

func lookup(names []Name, s string) (uint64, bool) {
	for i := range names {
		if names[i].Name == s {
			return names[i].Value, true
		}
	}
	return 0, false
}

// ParseOpenFlags reads the output of OpenFlags.
func ParseOpenFlags(s string) (uint64, error) {
	for i, mode := range accessModes {
		if rest, ok := strings.CutPrefix(s, mode); ok && (rest == "" || rest[0] == '|') {
			if rest == "" {
				return uint64(i), nil
			}
			v, err := openFlags.Parse(rest[1:])
			return v | uint64(i), err
		}
	}
	return openFlags.Parse(s)
}

// ParseTimespec reads the output of Timespec.
func ParseTimespec(s string) (sec, nsec int64, ok bool) {
	inner, ok1 := strings.CutPrefix(s, "{tv_sec=")
	a, b, ok2 := strings.Cut(inner, ", tv_nsec=")
	b, ok3 := strings.CutSuffix(b, "}")
	sec, err1 := strconv.ParseInt(a, 10, 64)
	u, err2 := strconv.ParseUint(b, 10, 64)
	return sec, int64(u), ok1 && ok2 && ok3 && err1 == nil && err2 == nil
}

// ParseBytes reads a C string as strace prints one, in octal or with -x in hex.
// cut reports dots after it.
func ParseBytes(s string) (b []byte, cut bool, err error) {
	s, cut = strings.CutSuffix(s, "...")
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return nil, cut, fmt.Errorf("buffer %.40q: want a quoted string", s)
	}
	body := s[1 : len(s)-1]
	b = make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			b = append(b, body[i])
			continue
		}
		i++
		if i == len(body) {
			return nil, cut, fmt.Errorf("buffer %.40q ends within an escape", s)
		}
		c := body[i]
		base, end := 8, i
		switch {
		case strings.IndexByte("tnvfr", c) >= 0:
			b = append(b, '\t'+byte(strings.IndexByte("tnvfr", c)))
			continue
		case c == '"' || c == '\\':
			b = append(b, c)
			continue
		case c == 'x':
			base, i = 16, i+1
			for end = i; end < len(body) && end < i+2 && isHex(body[end]); end++ {
			}
		default:
			for end = i; end < len(body) && end < i+3 && body[end] >= '0' && body[end] <= '7'; end++ {
			}
		}
		v, err := strconv.ParseUint(body[i:end], base, 8)
		if err != nil {
			return nil, cut, fmt.Errorf("buffer %.40q: no escape: \\%.4s", s, body[i:])
		}
		b = append(b, byte(v))
		i = end - 1
	}
	return b, cut, nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// ParseSignal returns the number of a signal's name, with or without SIG.
func ParseSignal(name string) (sig int, ok bool) {
	name = strings.TrimPrefix(name, "SIG")
	for sig := 1; sig <= lastSignal; sig++ {
		if shortSignal(sig) == name {
			return sig, true
		}
	}
	return 0, false
}

// ParseSigSet calls add for every signal, of 1 to n, of a set that SigSet
// printed. It reports whether all names were known.
func ParseSigSet(s string, n int, add func(sig int)) bool {
	s, inverted := strings.CutPrefix(s, "~")
	inner, ok := strings.CutPrefix(s, "[")
	if !ok || !strings.HasSuffix(inner, "]") {
		return false
	}
	var listed [lastSignal + 1]bool
	for name := range strings.FieldsSeq(strings.TrimSuffix(inner, "]")) {
		sig, ok := ParseSignal(name)
		if !ok || sig > n {
			return false
		}
		listed[sig] = true
	}
	for sig := 1; sig <= n && sig <= lastSignal; sig++ {
		if listed[sig] != inverted {
			add(sig)
		}
	}
	return true
}

// ParseErrno returns the number that name has on this architecture.
func ParseErrno(name string) (unix.Errno, bool) {
	if name == "" {
		return 0, false
	}
	for e := unix.Errno(1); e < 1200; e++ {
		if ErrnoName(e) == name {
			return e, true
		}
	}
	return 0, false
}

// Signal prints sig as strace does: SIGINT, SIGRTMIN, SIGRT_1, and the bare
// number if it is none.
func Signal(sig int) string {
	if s := shortSignal(sig); s != "" {
		return "SIG" + s
	}
	return strconv.Itoa(sig)
}
