//go:build linux

package uapi

import (
	"encoding/binary"
	"iter"
	"strconv"
	"strings"
)

// maxItems is strace's -s: how many bytes of a buffer and how many elements of
// an array it prints before the dots.
const maxItems = 32

// Timespec prints a struct timespec: nanoseconds below zero as the unsigned
// number that strace makes of them.
func Timespec(sec, nsec int64) string { return string(AppendTimespec(make([]byte, 0, 64), sec, nsec)) }

// AppendTimespec appends the output of Timespec.
func AppendTimespec(b []byte, sec, nsec int64) []byte {
	b = strconv.AppendInt(append(b, "{tv_sec="...), sec, 10)
	b = strconv.AppendUint(append(b, ", tv_nsec="...), uint64(nsec), 10)
	return append(b, '}')
}

// Bytes prints a buffer as a C string, and dots after its 32nd byte.
func Bytes(b []byte) string { return string(AppendBytes(make([]byte, 0, 64), b)) }

// AppendBytes appends the output of Bytes.
func AppendBytes(q, b []byte) []byte {
	if len(b) > maxItems {
		return append(AppendText(q, b[:maxItems]), "..."...)
	}
	return AppendText(q, b)
}

// AppendText appends a string that the kernel reads to its NUL, such as a path.
func AppendText(q, b []byte) []byte {
	q = append(q, '"')
	for i, c := range b {
		switch {
		case c == '"' || c == '\\':
			q = append(q, '\\', c)
		case c >= '\t' && c <= '\r':
			q = append(q, '\\', "tnvfr"[c-'\t'])
		case c >= ' ' && c < 0x7f:
			q = append(q, c)
		default:
			q = append(q, '\\')
			if i+1 < len(b) && b[i+1] >= '0' && b[i+1] <= '7' {
				q = append(q, '0'+c>>6, '0'+c>>3&7, '0'+c&7) // an octal digit follows: all three
			} else {
				q = strconv.AppendUint(q, uint64(c), 8)
			}
		}
	}
	return append(q, '"')
}

// FDSet prints descriptors as strace prints an fd_set: "[0 3 1027]".
func FDSet(fds iter.Seq[int]) string { return string(AppendFDSet(nil, fds)) }

// AppendFDSet appends the output of FDSet.
func AppendFDSet(b []byte, fds iter.Seq[int]) []byte {
	b = append(b, '[')
	first := true
	for fd := range fds {
		if !first {
			b = append(b, ' ')
		}
		first = false
		b = strconv.AppendInt(b, int64(fd), 10)
	}
	return append(b, ']')
}

// PollFD is struct pollfd.
type PollFD struct {
	FD              int32
	Events, Revents int16
}

// AppendPollFDs appends an array of pollfd as it goes into the call.
func AppendPollFDs(b []byte, fds []PollFD) []byte {
	b = append(b, '[')
	for i := range fds {
		if i > 0 {
			b = append(b, ", "...)
		}
		if i == maxItems {
			b = append(b, "..."...)
			break
		}
		b = strconv.AppendInt(append(b, "{fd="...), int64(fds[i].FD), 10)
		if fds[i].FD >= 0 {
			b = PollEvents.AppendStrace(append(b, ", events="...), uint64(uint16(fds[i].Events)))
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// auxRoom is the capacity of strace's buffer for the comment after a result.
const auxRoom = 1022

// AppendPollReady appends the ready members of an array of pollfd as strace
// prints them after the result: at most 32, and at most its buffer's size.
func AppendPollReady(b []byte, fds []PollFD) []byte {
	start, n := len(b), 0
	b = append(b, '[')
	for i := range fds {
		if fds[i].Revents == 0 {
			continue
		}
		if n > 0 {
			b = append(b, ", "...)
		}
		item := len(b)
		b = strconv.AppendInt(append(b, "{fd="...), int64(fds[i].FD), 10)
		b = append(PollEvents.AppendString(append(b, ", revents="...), uint64(uint16(fds[i].Revents))), '}')
		if n == maxItems || len(b)-start > 996 {
			b = append(b[:item], "..."...)
			break
		}
		n++
	}
	return append(b, ']')
}

// PollResult joins the array and the timeout of a ppoll after the call (""
// without one) as strace prints them after the result.
func PollResult(ready, left string) string {
	if left == "" {
		return ready
	}
	if s := ready + ", left " + left; len(s) <= auxRoom {
		return s
	}
	return ready + ", ..."
}

// SelectResult joins the three sets and the timeout of a pselect6 after the
// call ("" without one), n bits in all, as strace 6.1 prints them after the
// result: with its limit, and with the bracket that it closes once too often
// after an empty set.
func SelectResult(n int, in, out, except, left string) string {
	b := make([]byte, 0, 128)
	sep := ""
	for i, set := range [...]string{in, out, except} {
		if n <= 0 {
			break
		}
		if set == "" {
			continue
		}
		first := true
		for fd := range strings.FieldsSeq(strings.Trim(set, "[]")) {
			if len(b) < 999 {
				if first {
					b = append(append(append(b, sep...), [...]string{"in [", "out [", "except ["}[i]...), fd...)
					first, sep = false, ", "
				} else {
					b = append(append(b, ' '), fd...)
				}
			}
			if n--; n == 0 {
				break
			}
		}
		if len(b) > 0 {
			b = append(b, ']')
		}
	}
	if left != "" && len(b)+len(sep)+len("left ")+len(left) <= auxRoom {
		b = append(append(append(b, sep...), "left "...), left...)
	}
	return string(b)
}

// EpollEvent is struct epoll_event without its layout.
type EpollEvent struct {
	Events uint32
	Data   uint64
}

// String prints the event as strace 6.1 does: data as two of its union's members.
func (e EpollEvent) String() string { return string(e.AppendTo(make([]byte, 0, 96))) }

// AppendTo appends the output of String.
func (e EpollEvent) AppendTo(b []byte) []byte {
	var mem [8]byte
	binary.NativeEndian.PutUint64(mem[:], e.Data)
	b = EpollEvents.AppendStrace(append(b, "{events="...), uint64(e.Events))
	b = strconv.AppendUint(append(b, ", data={u32="...), uint64(binary.NativeEndian.Uint32(mem[:])), 10)
	b = strconv.AppendUint(append(b, ", u64="...), e.Data, 10)
	return append(b, "}}"...)
}

// AppendEpollEvents appends the events that a wait returned.
func AppendEpollEvents(b []byte, evs []EpollEvent) []byte {
	b = append(b, '[')
	for i, e := range evs {
		if i > 0 {
			b = append(b, ", "...)
		}
		if i == maxItems {
			b = append(b, "..."...)
			break
		}
		b = e.AppendTo(b)
	}
	return append(b, ']')
}
