//go:build linux

package strace

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// Value is an argument without the name that -N, or strace itself, puts
// before it: "3" of "fd=3".
func Value(arg []byte) []byte {
	for i, c := range arg {
		switch {
		case c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9':
		case c == '=' && i > 0:
			return arg[i+1:]
		default:
			return arg
		}
	}
	return arg
}

// FD is a descriptor as printed: its number, and what -y says of it.
type FD struct {
	N    int
	Info []byte // what stands between < and >, nil without -y
}

// ParseFD reads "3", "3<anon_inode:[eventfd]>" or "-1", "0x3" of -e raw, and
// the 64 bits that versions before 4.9 print of a descriptor.
func ParseFD(arg []byte) (FD, bool) {
	arg = Value(arg)
	if len(arg) > 2 && arg[1] == 'x' {
		v, ok := integer(arg)
		return FD{N: int(int32(v))}, ok && (uint64(v) <= math.MaxUint32 || v < 0)
	}
	neg := len(arg) > 0 && arg[0] == '-'
	if neg {
		arg = arg[1:]
	}
	v, n := number(arg)
	if n == 0 {
		if n = digits(arg); n == 0 {
			return FD{}, false
		}
		u, err := strconv.ParseUint(string(arg[:n]), 10, 64)
		if err != nil {
			return FD{}, false
		}
		v = int64(u)
	}
	fd := FD{N: int(int32(v))} // the kernel takes the lower half of the register that old versions print
	if neg {
		fd.N = -fd.N
	}
	if rest := arg[n:]; len(rest) > 0 {
		if rest[0] != '<' {
			return fd, rest[0] == ' '
		}
		if end := skipAngle(rest, 0); end > 1 {
			fd.Info = rest[1 : end-1]
		}
	}
	return fd, true
}

// Kind names what the descriptor is, in the words of -y: "eventfd",
// "eventpoll", "TCP", "pipe", "file" and so on; "" if it is not said.
func (f FD) Kind() string {
	if len(f.Info) == 0 {
		return ""
	}
	for _, k := range kinds[f.Info[0]] {
		if len(f.Info) >= len(k.prefix) && string(f.Info[:len(k.prefix)]) == k.prefix {
			return k.name
		}
	}
	return ""
}

type kind struct{ prefix, name string }

// kinds are by the first byte.
var kinds = [256][]kind{
	'a': {{"anon_inode:[eventfd", "eventfd"}, {"anon_inode:[eventpoll", "epoll"}, {"anon_inode:[timerfd", "timerfd"}, {"anon_inode:[signalfd", "signalfd"},
		{"anon_inode:inotify", "inotify"}, {"anon_inode:[inotify", "inotify"}, {"anon_inode:[pidfd", "pidfd"}, {"anon_inode:[io_uring", "io_uring"}},
	'{': {{"{eventfd-", "eventfd"}},
	's': {{"signalfd:", "signalfd"}, {"socket:", "socket"}},
	'p': {{"pid:", "pidfd"}, {"pipe:", "pipe"}},
	'T': {{"TCP", "TCP socket"}},
	'U': {{"UDP", "UDP socket"}, {"UNIX", "unix socket"}},
	'N': {{"NETLINK", "netlink socket"}},
	'/': {{"/dev/pts/", "terminal"}, {"/dev/tty", "terminal"}, {"/dev/ptmx", "terminal"}, {"/", "file"}},
}

// Eventfd is what --decode-fds=eventfd says. Count is the counter before the
// call.
type Eventfd struct {
	Count     uint64
	ID        int
	Semaphore bool
}

// Eventfd reads "{eventfd-count=0x3, eventfd-id=2, eventfd-semaphore=1}".
func (f FD) Eventfd() (Eventfd, bool) {
	if !bytes.HasPrefix(f.Info, []byte("{eventfd-")) {
		return Eventfd{}, false
	}
	e := Eventfd{ID: -1}
	if v, ok := field(f.Info, "eventfd-count="); ok {
		e.Count = v
	}
	if v, ok := field(f.Info, "eventfd-id="); ok {
		e.ID = int(v)
	}
	v, _ := field(f.Info, "eventfd-semaphore=")
	e.Semaphore = v == 1
	return e, true
}

// field reads the number behind name=.
func field(s []byte, name string) (uint64, bool) {
	i := bytes.Index(s, []byte(name))
	if i < 0 {
		return 0, false
	}
	s = s[i+len(name):]
	n := 0
	for n < len(s) && s[n] != ',' && s[n] != '}' && s[n] != ' ' {
		n++
	}
	v, ok := integer(s[:n])
	return uint64(v), ok
}

// list calls fn for each element of "[a, b]"; old versions print "{a, b}". It
// reports whether arg is such a list; "..." for what strace left out is no
// element.
func list(arg []byte, fn func(elem []byte)) bool {
	in, ok := inside(Value(arg))
	if !ok {
		return false
	}
	each(in, fn)
	return true
}

func inside(arg []byte) ([]byte, bool) {
	n := len(arg)
	if n < 2 || !(arg[0] == '[' && arg[n-1] == ']' || arg[0] == '{' && arg[n-1] == '}') {
		return nil, false
	}
	return arg[1 : n-1], true
}

// each calls fn for the parts of in between its outermost commas.
func each(in []byte, fn func(elem []byte)) {
	for len(in) > 0 {
		elem, rest := cutComma(in)
		if string(elem) != "..." && len(elem) > 0 {
			fn(elem)
		}
		in = rest
	}
}

// cutComma cuts at the first comma of the outermost level.
func cutComma(s []byte) (first, rest []byte) {
	for i := 0; ; i++ {
		if i, _ = part(s, i); i >= len(s) {
			return trim(s), nil
		}
		if s[i] == ',' {
			return trim(s[:i]), trim(s[i+1:])
		}
	}
}

// PollFD is one struct pollfd. The masks are as printed.
type PollFD struct {
	FD              FD
	Events, Revents []byte
}

// PollFDs calls fn for the members of a list of struct pollfd and reports
// whether arg is one.
func PollFDs(arg []byte, fn func(PollFD)) bool {
	good := true
	ok := list(arg, func(elem []byte) {
		in, ok := inside(elem)
		var p PollFD
		if ok {
			p, ok = pollFD(in)
		}
		if ok {
			fn(p)
		} else {
			good = false
		}
	})
	return ok && good
}

func pollFD(in []byte) (p PollFD, ok bool) {
	for len(in) > 0 {
		var f []byte
		f, in = cutComma(in)
		switch {
		case bytes.HasPrefix(f, []byte("fd=")):
			p.FD, ok = ParseFD(f)
		case bytes.HasPrefix(f, []byte("events=")):
			p.Events = f[len("events="):]
		case bytes.HasPrefix(f, []byte("revents=")):
			p.Revents = f[len("revents="):]
		}
	}
	return p, ok
}

// FDSet calls fn for the descriptors of "[3 4<pipe:[12]>]" and reports whether
// arg is a set.
func FDSet(arg []byte, fn func(FD)) bool {
	in, ok := inside(Value(arg))
	if !ok {
		return false
	}
	for len(in) > 0 {
		end := 0
		for end < len(in) && in[end] != ' ' {
			if in[end] == '<' {
				end = skipAngle(in, end)
				continue
			}
			end++
		}
		if fd, ok := ParseFD(in[:end]); ok {
			fn(fd)
		}
		in = trimLeft(in[end:])
	}
	return true
}

// EpollItem is a struct epoll_event as printed.
type EpollItem struct {
	Events []byte
	Data   uint64
	Text   []byte // of the data, the whole of it
}

// EpollEvent reads struct epoll_event: {events=EPOLLIN, data=0x7},
// {events=EPOLLIN, data={u32=7, u64=7}}, and {EPOLLIN, {u32=7, u64=7}} of
// versions before 4.10.
func EpollEvent(arg []byte) (it EpollItem, ok bool) {
	in, ok := inside(Value(arg))
	if !ok {
		return it, false
	}
	it.Events, it.Text = cutComma(in)
	it.Events = bytes.TrimPrefix(it.Events, []byte("events="))
	it.Text = bytes.TrimPrefix(it.Text, []byte("data="))
	if _, nested := inside(it.Text); !nested {
		v, ok := integer(it.Text)
		it.Data = uint64(v)
		return it, ok
	}
	it.Data, ok = field(it.Text, "u64=")
	if _, after, found := bytes.Cut(it.Text, []byte("u64=")); found {
		it.Text = bytes.TrimRight(after, "}")
	}
	return it, ok
}

// EpollItems calls fn for the members of what an epoll_wait returned.
func EpollItems(arg []byte, fn func(EpollItem)) bool {
	return list(arg, func(elem []byte) {
		if it, ok := EpollEvent(elem); ok {
			fn(it)
		}
	})
}

// Null reports whether an argument is the null pointer, which -e raw prints
// as 0.
func Null(arg []byte) bool {
	v := Value(arg)
	return string(v) == "NULL" || string(v) == "0"
}

// Timespec reads {tv_sec=0, tv_nsec=5000000}, {tv_sec=0, tv_usec=5000}, and
// {0, 5000000} of versions before 4.13, for which unit says what the second
// number counts.
func Timespec(arg []byte, unit time.Duration) (time.Duration, bool) {
	in, ok := inside(Value(arg))
	if !ok {
		return 0, false
	}
	a, b := cutComma(in)
	if bytes.HasPrefix(b, []byte("tv_usec=")) {
		unit = time.Microsecond
	} else if bytes.HasPrefix(b, []byte("tv_nsec=")) {
		unit = time.Nanosecond
	}
	sec, ok1 := integer(uncomment(Value(a)))
	sub, ok2 := integer(uncomment(Value(b)))
	if !ok1 || !ok2 {
		return 0, false
	}
	const most = math.MaxInt64 / int64(time.Second)
	if sec > most-1 || sec < -most || sub > most || sub < -most {
		return math.MaxInt64, true
	}
	return time.Duration(sec)*time.Second + time.Duration(sub)*unit, true
}

// Int reads a plain number.
func Int(arg []byte) (int64, bool) { return integer(uncomment(Value(arg))) }

// uncomment cuts the comment of -X verbose off.
func uncomment(s []byte) []byte {
	if i := bytes.Index(s, []byte(" /*")); i >= 0 {
		s = s[:i]
	}
	return s
}

// Has reports whether a mask as printed has a bit, by its name or, where
// strace printed numbers, by its value.
func Has(mask []byte, name string, bit uint64) bool {
	mask = Value(mask)
	if len(mask) > 0 && mask[0] >= '0' && mask[0] <= '9' {
		v, ok := integer(uncomment(mask))
		return ok && uint64(v)&bit != 0
	}
	for len(mask) > 0 {
		flag := mask
		if i := bytes.IndexByte(mask, '|'); i >= 0 {
			flag, mask = mask[:i], mask[i+1:]
		} else {
			mask = nil
		}
		if string(flag) == name {
			return true
		}
	}
	return false
}

// eightBytes is a string literal that has as many.
func eightBytes(arg []byte) (v [8]byte, ok bool) {
	var buf [16]byte
	b, cut, ok := Unquote(buf[:0], Value(arg))
	if !ok || cut || len(b) != len(v) {
		return v, false
	}
	return [8]byte(b), true
}

func counter(b [8]byte, order binary.ByteOrder) uint64 {
	if order.Uint16(oneFirst) == 1 { // a call through order would have b on the heap
		return binary.LittleEndian.Uint64(b[:])
	}
	return binary.BigEndian.Uint64(b[:])
}

var oneFirst = []byte{1, 0}

// Order is the byte order of the machine that a struct epoll_event was printed
// on: its member u32 is the first half of u64. It is nil if the halves are the
// same.
func Order(event []byte) binary.ByteOrder {
	number := func(name string) (uint64, bool) {
		i := bytes.Index(event, []byte(name))
		if i < 0 {
			return 0, false
		}
		s := event[i+len(name):]
		n, err := strconv.ParseUint(string(s[:len(s)-len(bytes.TrimLeft(s, "0123456789abcdefx"))]), 0, 64)
		return n, err == nil
	}
	half, ok1 := number("u32=")
	whole, ok2 := number("u64=")
	low, high := whole&(1<<32-1), whole>>32
	switch {
	case !ok1 || !ok2 || low == high:
		return nil
	case half == low:
		return binary.LittleEndian
	case half == high:
		return binary.BigEndian
	}
	return nil
}

// Unquote appends the bytes of a string literal to dst, as far as dst's
// capacity goes where that is not 0. cut says that strace printed only the
// beginning.
func Unquote(dst, arg []byte) (out []byte, cut, ok bool) {
	if len(arg) < 2 || arg[0] != '"' {
		return dst, false, false
	}
	limit := cap(dst)
	s := arg[1:]
	for i := 0; i < len(s); i++ {
		if limit != 0 && len(dst) == limit {
			return dst, true, true
		}
		c := s[i]
		switch {
		case c == '"':
			return dst, len(s) > i+1 && s[i+1] == '.', true
		case c != '\\':
			dst = append(dst, c)
			continue
		}
		if i++; i >= len(s) {
			break
		}
		switch c = s[i]; {
		case c >= '0' && c <= '7':
			v, n := 0, 0
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				v = v<<3 | int(s[i+n]-'0')
				n++
			}
			dst = append(dst, byte(v))
			i += n - 1
		case c == 'x':
			v, n := 0, 1
			for n < 3 && i+n < len(s) && hexDigit(s[i+n]) >= 0 {
				v = v<<4 | hexDigit(s[i+n])
				n++
			}
			dst = append(dst, byte(v))
			i += n - 1
		default:
			dst = append(dst, escape(c))
		}
	}
	return dst, true, false
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func escape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'v':
		return '\v'
	case 'f':
		return '\f'
	}
	return c
}
