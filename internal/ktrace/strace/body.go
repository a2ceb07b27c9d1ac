//go:build linux

package strace

import (
	"bytes"
	"math"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	unfinishedMark = []byte("<unfinished ...>")
	detachedMark   = []byte("<detached ...>")
	resumeMark     = []byte("<... ")
	resumedMark    = []byte(" resumed>")
	markEnd        = []byte(" ...>")
	personality    = []byte("[ Process PID=")
	ownWords       = []byte("strace: ")
)

// parseText parses s for parseCall.
func (r *Reader) parseText(c *Call, s []byte) bool {
	n := nameLen(s)
	if n == 0 || n >= len(s) || s[n] != '(' {
		return false
	}
	if c.Name != "" {
		c.reset() // it has been read as far as it went before
	}
	c.Name = r.intern(s[:n])
	args, end, ok := split(s[n+1:], c.Args)
	c.Args = args
	rest := s[n+1+end:]
	if !ok {
		// An argument that is no proper nesting: the last ") = " ends them.
		if rest, ok = lastResult(s[n+1:]); !ok {
			return true
		}
		c.result(rest)
		most, _ := members(c.Name)
		c.torn = most > 0
		return true
	}
	c.torn = c.isTorn()
	c.Whole = c.result(rest) && !c.torn
	c.marks()
	return true
}

// members returns how many arguments a call has at most that waits for a list of
// structures, or changes one, and which of them the list is; 0 for others.
func members(name string) (most, list int) {
	switch name {
	case "poll":
		return 3, 0
	case "ppoll", "ppoll_time64":
		return 5, 0
	case "epoll_wait":
		return 4, 1
	case "epoll_pwait", "epoll_pwait2":
		return 6, 1
	case "epoll_ctl":
		return 4, -1
	case "select", "_newselect":
		return 5, -1
	case "pselect6", "pselect6_time64":
		return 6, -1
	}
	return 0, -1
}

// isTorn reports whether brackets have been lost within the arguments, so that
// there are too many of them, or a list is none.
func (c *Call) isTorn() bool {
	most, list := members(c.Name)
	if most == 0 || len(c.Args) > most {
		return most > 0
	}
	if list < 0 || list >= len(c.Args) || len(c.Args[list]) < 2 {
		return false
	}
	switch a := c.Args[list]; a[0] {
	case '[', '{':
		return isLetter(a[1]) || bytes.Count(a, []byte("{")) != bytes.Count(a, []byte("}"))
	default:
		return bytes.HasPrefix(a, []byte("EPOLL")) || bytes.HasPrefix(a, []byte("fd="))
	}
}

func (c *Call) reset() {
	*c = Call{Args: c.Args[:0], Duration: -1}
}

// lastResult finds the result behind the last closing bracket that a '='
// follows.
func lastResult(s []byte) ([]byte, bool) {
	for end := len(s); ; {
		i := bytes.LastIndexByte(s[:end], ')')
		if i < 0 {
			return nil, false
		}
		if t := trimLeft(s[i+1:]); len(t) > 1 && t[0] == '=' && t[1] == ' ' {
			return s[i+1:], true
		}
		end = i
	}
}

// marks takes strace's own marks out of the arguments.
func (c *Call) marks() {
	if len(c.Args) == 0 {
		return
	}
	last := &c.Args[len(c.Args)-1]
	if t, ok := bytes.CutSuffix(*last, unfinishedMark); ok {
		c.Killed = c.NoValue
		if *last = trim(t); len(*last) == 0 {
			c.Args = c.Args[:len(c.Args)-1]
		}
	}
	if len(c.Args) == 1 && bytes.HasPrefix(c.Args[0], []byte("<... resuming interrupted ")) {
		name := bytes.TrimSuffix(c.Args[0][len("<... resuming interrupted "):], markEnd)
		c.Restarts = string(name)
	}
}

// result reads what stands behind the closing bracket: "  = -1 EAGAIN
// (Resource temporarily unavailable) (INJECTED) <0.000012>".
func (c *Call) result(s []byte) bool {
	s = trimLeft(s)
	if len(s) == 0 || s[0] != '=' {
		return false
	}
	s = trimLeft(s[1:])
	n := c.value(s)
	if n == 0 {
		return false
	}
	s = s[n:]
	for {
		s = trimLeft(s)
		if len(s) == 0 {
			return true
		}
		switch s[0] {
		case '(':
			end, ok := closing(s)
			if !ok {
				return false
			}
			c.bracket(s[1 : end-1])
			s = s[end:]
		case '<':
			end := skipAngle(s, 0)
			if end < 2 || !c.angle(s[1:end-1]) {
				return false
			}
			s = s[end:]
		case '/':
			end := skipComment(s, 0)
			if end < 4 {
				return false
			}
			s = s[end:]
		default:
			n := 0
			for n < len(s) && (s[n] >= 'A' && s[n] <= 'Z' || s[n] >= '0' && s[n] <= '9' || s[n] == '_') {
				n++
			}
			if name, n := errorNumber(s); n > 0 && c.Errno == "" {
				c.Errno, s = name, s[n:]
				continue
			}
			if n < 2 || c.Errno != "" || s[0] != 'E' {
				return false
			}
			c.Errno = errnoName(s[:n])
			s = s[n:]
		}
	}
}

// sameNumbers is up to which errors have one number on all machines.
const sameNumbers = 34

// errorNumber reads "errno=11", as qemu-user prints it. An error that machines
// number differently stays a number.
func errorNumber(s []byte) (name string, n int) {
	t, ok := bytes.CutPrefix(s, []byte("errno="))
	v, digits := number(t)
	if !ok || digits == 0 || digits > 4 || v == 0 {
		return "", 0
	}
	n = len(s) - len(t) + digits
	if v <= sameNumbers {
		return unix.ErrnoName(syscall.Errno(v)), n
	}
	return string(s[:n]), n
}

// value reads the result itself and returns its length.
func (c *Call) value(s []byte) int {
	if len(s) > 0 && s[0] == '?' {
		c.NoValue, c.Result = true, s[:1]
		return 1
	}
	n := 0
	for n < len(s) && s[n] != ' ' && s[n] != '<' {
		n++
	}
	v, ok := integer(s[:n])
	if !ok {
		return 0
	}
	c.Value, c.HasValue = v, true
	if n < len(s) && s[n] == '<' {
		n = skipAngle(s, n)
	}
	c.Result = s[:n]
	return n
}

// bracket keeps what stands in one "(...)" behind the result.
func (c *Call) bracket(in []byte) {
	switch string(in) {
	case "INJECTED":
		c.Injected = true
		return
	case "DELAYED":
		c.Delayed = true
		return
	}
	if c.Note == nil {
		c.Note = in
	}
}

// angle takes a duration, or a mark.
func (c *Call) angle(in []byte) bool {
	if sec, n := number(in); n > 0 {
		ns, fn := fraction(in[n:])
		if n+fn == len(in) && sec < math.MaxInt64/1_000_000_000-1 {
			c.Duration = sec*1e9 + ns
			return true
		}
	}
	return string(in) == "unavailable"
}

// integer reads a decimal or hexadecimal number that fits 64 bits.
func integer(s []byte) (int64, bool) {
	if len(s) == 0 {
		return 0, false
	}
	if s[0] == '-' {
		v, n := number(s[1:])
		return -v, n > 0 && n == len(s)-1
	}
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		v, err := strconv.ParseUint(string(s[2:]), 16, 64)
		return int64(v), err == nil
	}
	if v, n := number(s); n == len(s) && n > 0 {
		return v, true
	}
	if digits(s) != len(s) {
		return 0, false // without an error to be made
	}
	v, err := strconv.ParseUint(string(s), 10, 64)
	return int64(v), err == nil
}

// The errors that these calls meet all the time, so that reading them
// allocates nothing.
var errnos = map[string]string{}

func init() {
	for _, e := range []string{"EAGAIN", "EINTR", "EINVAL", "EBADF", "EFAULT", "ENOENT", "EEXIST", "EPERM", "ETIMEDOUT", "ENOTTY", "ECHILD", "EINPROGRESS",
		"ERESTARTSYS", "ERESTARTNOHAND", "ERESTART_RESTARTBLOCK", "ERESTARTNOINTR", "ENOSYS", "EACCES", "ELOOP", "EMFILE", "ENFILE", "ENOMEM", "EPIPE", "ESPIPE"} {
		errnos[e] = e
	}
}

func errnoName(s []byte) string {
	if e, ok := errnos[string(s)]; ok {
		return e
	}
	return string(s)
}
