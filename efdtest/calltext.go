//go:build linux

package efdtest

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// callText is a call in the test's names, with its result: "write(jobs, 1) = 8",
// "ppoll([jobs POLLIN]) = 1", "read(jobs) = EAGAIN".
func (k *K) callText(c *call) string {
	result := strconv.Itoa(c.Ret)
	if c.Errno != 0 {
		result = unix.ErrnoName(c.Errno)
	}
	args := c.args(func(fd int) string { return strconv.Itoa(fd) })
	switch {
	case c.reads() && c.Errno == 0:
		if v, ok := counter(c.Args[1].Out); ok {
			result = strconv.FormatUint(v, 10)
		}
	case c.Syscall == "write":
		if v, ok := counter(c.Args[1].In); ok {
			args += fmt.Sprintf(", %d", v)
		}
	}
	return fmt.Sprintf("%s(%s) = %s", c.Syscall, args, result)
}

// golden is the call without numbers.
func (c *call) golden() string {
	syscall := family(c.Syscall)
	if c.reads() {
		syscall = "read" // which of the two depends on the kernel
	}
	text := fmt.Sprintf("%s(%s)", syscall, c.args(func(int) string { return "unnamed" }))
	if c.Errno != 0 {
		text += " = " + unix.ErrnoName(c.Errno)
	}
	return text
}

// args are the descriptors that a call is about, by their names, and the events.
func (c *call) args(unnamed func(fd int) string) string {
	name := func(fd int) string {
		if o := c.on(fd); o != nil {
			return o.name
		}
		return unnamed(fd)
	}
	in := func(i int) string {
		if i < len(c.Args) {
			return c.Args[i].In
		}
		return ""
	}
	switch family(c.Syscall) {
	case "ppoll":
		var parts []string
		for part := range strings.SplitSeq(in(0), "{fd=") {
			number, events, ok := strings.Cut(strings.TrimRight(part, "}, ]"), ", events=")
			if fd, err := strconv.Atoi(number); ok && err == nil {
				parts = append(parts, name(fd)+" "+events)
			}
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case "pselect6":
		var sets []string
		for i := 1; i <= 3; i++ {
			var names []string
			for number := range strings.FieldsSeq(strings.Trim(in(i), "[]")) {
				if fd, err := strconv.Atoi(number); err == nil {
					names = append(names, name(fd))
				}
			}
			sets = append(sets, "["+strings.Join(names, " ")+"]")
		}
		return strings.Join(sets, ", ")
	case "epoll_ctl":
		_, events, _ := strings.Cut(in(3), "events=")
		events, _, _ = strings.Cut(events, ", data")
		fd, _ := strconv.Atoi(in(2))
		text := fmt.Sprintf("%s, %s, %s", name(c.FD), strings.TrimPrefix(in(1), "EPOLL_CTL_"), name(fd))
		if events != "" {
			text += ", " + events
		}
		return text
	case "fcntl", "fcntl64":
		return name(c.FD) + ", " + in(1)
	}
	if c.FD >= 0 {
		return name(c.FD)
	}
	return ""
}

// counter decodes the eight bytes of a counter as strace prints them.
func counter(text string) (uint64, bool) {
	text, ok := strings.CutPrefix(text, `"`)
	if !ok || !strings.HasSuffix(text, `"`) {
		return 0, false
	}
	text = text[:len(text)-1]
	var b []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b = append(b, text[i])
			continue
		}
		i++
		if at := strings.IndexByte(`tnvfr`, text[i]); at >= 0 {
			b = append(b, "\t\n\v\f\r"[at])
			continue
		}
		n := 0
		for n < 3 && i+n < len(text) && text[i+n] >= '0' && text[i+n] <= '7' {
			n++
		}
		if n == 0 {
			b = append(b, text[i])
			continue
		}
		v, err := strconv.ParseUint(text[i:i+n], 8, 8)
		if err != nil {
			return 0, false
		}
		b, i = append(b, byte(v)), i+n-1
	}
	if len(b) != 8 {
		return 0, false
	}
	return binary.NativeEndian.Uint64(b), true
}

// sleepText is the call that a thread sleeps in, in the test's names.
func (k *K) sleepText(s *sleep, unnamed func(target) string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := func(t target) string {
		if o := k.named(t.description); o != nil {
			return o.name
		}
		return unnamed(t)
	}
	ts := s.targets()
	switch family(s.call()) {
	case "ppoll":
		var parts []string
		for _, t := range ts {
			parts = append(parts, name(t)+" "+efd.PollEvents(t.events).String())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case "pselect6":
		var sets [3]string
		for i, events := range []int16{unix.POLLIN, unix.POLLOUT, unix.POLLPRI} {
			var names []string
			for _, t := range ts {
				if t.events == events {
					names = append(names, name(t))
				}
			}
			sets[i] = "[" + strings.Join(names, " ") + "]"
		}
		return strings.Join(sets[:], ", ")
	}
	if len(ts) > 0 {
		return name(ts[0])
	}
	return ""
}
