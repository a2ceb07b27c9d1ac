//go:build linux

package uapi

import (
	"encoding/binary"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// lines is output of strace 6.1 with -a1 over a C program that makes
// the calls in their odd forms.
func lines(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/strace-6.1.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// roundTrip holds each submatch 1 of pattern against reprint of it.
func roundTrip(t *testing.T, pattern string, atLeast int, reprint func(string) (string, error)) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	n := 0
	for _, l := range lines(t) {
		for _, m := range re.FindAllStringSubmatch(l, -1) {
			n++
			if got, err := reprint(m[1]); err != nil || got != m[1] {
				t.Errorf("strace printed %q, ours is %q (%v) of %.200s", m[1], got, err, l)
			}
		}
	}
	if n < atLeast {
		t.Errorf("%s matched %d times, want %d at least: the log is not what it was", pattern, n, atLeast)
	}
}

func maskTrip(m *Mask) func(string) (string, error) {
	return func(s string) (string, error) {
		v, err := m.Parse(s)
		return m.Strace(v), err
	}
}

func enumTrip(e *Enum) func(string) (string, error) {
	return func(s string) (string, error) {
		v, err := e.Parse(s)
		return e.Strace(v), err
	}
}

func TestAgainstStraceLog(t *testing.T) {
	t.Run("poll events", func(t *testing.T) { roundTrip(t, `\{fd=\d+, r?events=([^}]*)\}`, 1000, maskTrip(&PollEvents)) })
	t.Run("epoll events", func(t *testing.T) { roundTrip(t, `\{events=([^,]*), data`, 100, maskTrip(&EpollEvents)) })
	t.Run("eventfd flags", func(t *testing.T) { roundTrip(t, `eventfd2\(\d+, ([^)]*)\)`, 12, maskTrip(&EventfdFlags)) })
	t.Run("epoll_create1 flags", func(t *testing.T) { roundTrip(t, `epoll_create1\(([^)]*)\)`, 10, maskTrip(&EpollCreateFlags)) })
	t.Run("epoll_ctl operations", func(t *testing.T) { roundTrip(t, `epoll_ctl\(\S+ ([^,]*),`, 30, enumTrip(&EpollCtlOps)) })
	t.Run("fcntl commands", func(t *testing.T) { roundTrip(t, `fcntl\(\d+, ([^,)]*)[,)]`, 18, enumTrip(&FcntlCmds)) })
	t.Run("rt_sigprocmask how", func(t *testing.T) { roundTrip(t, `rt_sigprocmask\(([^,]*),`, 9, enumTrip(&SigMaskHow)) })
	t.Run("open flags", func(t *testing.T) {
		roundTrip(t, `(?:F_SETFL, |flags |/\w+", )(O_[^)]*)\)`, 8, func(s string) (string, error) {
			v, err := ParseOpenFlags(s)
			return OpenFlags(v), err
		})
	})
	t.Run("timespec", func(t *testing.T) {
		roundTrip(t, `(\{tv_sec=[^}]*\})`, 100, func(s string) (string, error) {
			sec, nsec, ok := ParseTimespec(s)
			if !ok {
				return "", os.ErrInvalid
			}
			return Timespec(sec, nsec), nil
		})
	})
	t.Run("signal sets", func(t *testing.T) {
		roundTrip(t, `(?:sigmask=|\}, |, )(~?\[[A-Z][A-Z0-9_ ]*\]|~\[\])`, 180, func(s string) (string, error) {
			var set [65]bool
			if !ParseSigSet(s, 64, func(sig int) { set[sig] = true }) {
				return "", os.ErrInvalid
			}
			return SigSet(64, func(sig int) bool { return set[sig] }), nil
		})
	})
	t.Run("signals", func(t *testing.T) {
		roundTrip(t, `tgkill\(\d+, \d+, (SIG\w+)\)`, 12, func(s string) (string, error) {
			sig, _ := ParseSignal(s)
			return Signal(sig), nil
		})
	})
	t.Run("buffers", func(t *testing.T) {
		roundTrip(t, `\(\d+, ("(?:[^"\\]|\\.)*"(?:\.\.\.)?)`, 40, func(s string) (string, error) {
			b, cut, err := ParseBytes(s)
			if cut {
				b = append(b, 'x')
			}
			return Bytes(b), err
		})
	})
	t.Run("errnos", func(t *testing.T) {
		roundTrip(t, `= -1 (E\w+ \(.*\))$`, 230, func(s string) (string, error) {
			name, _, _ := strings.Cut(s, " ")
			e, ok := ParseErrno(name)
			if !ok {
				return "", os.ErrInvalid
			}
			return Errno(e), nil
		})
	})
	t.Run("epoll events lists", func(t *testing.T) {
		if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
			t.Skip("the log is of a little-endian machine: u32 is the other half of u64 here")
		}
		re := regexp.MustCompile(`\{events=([^,]*), data=\{u32=\d+, u64=(\d+)\}\}`)
		roundTrip(t, `epoll_pwait\(11, (\[.*\]), \d+, \d+, (?:NULL|\[)`, 7, func(s string) (string, error) {
			var evs []EpollEvent
			for _, m := range re.FindAllStringSubmatch(s, -1) {
				v, err := EpollEvents.Parse(m[1])
				if err != nil {
					return "", err
				}
				d, _ := strconv.ParseUint(m[2], 10, 64)
				evs = append(evs, EpollEvent{uint32(v), d})
			}
			if strings.HasSuffix(s, "...]") {
				evs = append(evs, EpollEvent{})
			}
			return string(AppendEpollEvents(nil, evs)), nil
		})
	})
}

// The comment behind ppoll's result is limited in two ways: hold ours against
// strace's for the same array.
func TestPollResultAgainstStraceLog(t *testing.T) {
	call := regexp.MustCompile(`^ppoll\(\[(.*)\], (\d+), (NULL|\{[^}]*\}), .*, 8\) = (\d+) \((\[.*)\)$`)
	item := regexp.MustCompile(`\{fd=(\d+), revents=([^}]*)\}`)
	member := regexp.MustCompile(`fd=(\d+)`)
	left := regexp.MustCompile(`left (\{.*\})$`)
	n := 0
	for _, l := range lines(t) {
		m := call.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		got := item.FindAllStringSubmatch(m[5], -1)
		revents, err := PollEvents.Parse(got[0][2])
		if err != nil {
			t.Fatal(err)
		}
		var fds []PollFD
		for _, f := range member.FindAllStringSubmatch(m[1], -1) {
			fd, _ := strconv.Atoi(f[1])
			fds = append(fds, PollFD{FD: int32(fd), Revents: int16(revents)})
		}
		if strings.HasSuffix(m[1], "...") {
			fds = append(fds, fds[0])
		}
		rest := m[3]
		switch lm := left.FindStringSubmatch(m[5]); {
		case rest == "NULL":
			rest = ""
		case lm != nil:
			rest = lm[1]
		}
		n++
		if ours := PollResult(string(AppendPollReady(nil, fds)), rest); ours != m[5] {
			t.Errorf("strace: %s\nours:   %s", m[5], ours)
		}
	}
	if n < 60 {
		t.Errorf("only %d ppoll lines in the log", n)
	}
}

func TestSelectResultAgainstStraceLog(t *testing.T) {
	for _, l := range lines(t) {
		if !strings.HasPrefix(l, "pselect6(2000") && !strings.HasPrefix(l, "pselect6(8") {
			continue
		}
		m := regexp.MustCompile(`^pselect6\(\d+, (\[.*?\]), (\[.*?\]), (\[.*?\]), (\S+ ?\S*?), .*= (\d+) \((.*)\)$`).FindStringSubmatch(l)
		if m == nil {
			t.Fatalf("cannot read %.200s", l)
		}
		in, out, except := m[1], m[2], m[3]
		if strings.HasPrefix(l, "pselect6(8") { // descriptor 3 is not readable, 5 not writable
			in, out = strings.Replace(in, "3", "", 1), strings.Replace(out, "5", "", 1)
		}
		left := m[4]
		if left == "NULL" {
			left = ""
		}
		n, _ := strconv.Atoi(m[5])
		if got := SelectResult(n, in, out, except, left); got != m[6] {
			t.Errorf("strace: %s\nours:   %s", m[6], got)
		}
	}
}

func TestMaskString(t *testing.T) {
	for v, want := range map[uint64]string{0: "0", 1: "POLLIN", 0x11: "POLLIN|POLLHUP", 0x4000: "0x4000", 0x4011: "POLLIN|POLLHUP|0x4000"} {
		if got := PollEvents.String(v); got != want {
			t.Errorf("String(%#x) = %q, want %q", v, got, want)
		}
	}
	if got := PollEvents.Strace(0x4000); got != "0x4000 /* POLL??? */" {
		t.Errorf("Strace(0x4000) = %q", got)
	}
	if _, err := PollEvents.Parse("POLLIN|POLLNONE"); err == nil {
		t.Error("a flag that does not exist was parsed")
	}
}

func FuzzMask(f *testing.F) {
	f.Add(uint64(0x4011))
	f.Fuzz(func(t *testing.T, v uint64) {
		for _, m := range []*Mask{&PollEvents, &EpollEvents, &EventfdFlags, &FDFlags} {
			for _, s := range []string{m.String(v), m.Strace(v)} {
				if got, err := m.Parse(s); err != nil || got != v {
					t.Errorf("Parse(%q) = %#x, %v; want %#x", s, got, err, v)
				}
			}
		}
		if s := OpenFlags(v); v>>32 == 0 {
			if got, err := ParseOpenFlags(s); err != nil || got != v {
				t.Errorf("ParseOpenFlags(%q) = %#x, %v; want %#x", s, got, err, v)
			}
		}
	})
}

func FuzzBytes(f *testing.F) {
	f.Add([]byte("\x019\x018\a\a0\t9\x00\"\\\xff"), "\"\\x41\"")
	f.Fuzz(func(t *testing.T, b []byte, s string) {
		got, cut, err := ParseBytes(Bytes(b))
		if err != nil || cut != (len(b) > maxItems) || !slices.Equal(got, b[:min(len(b), maxItems)]) {
			t.Errorf("ParseBytes(%s) = %q, %t, %v; want %q", Bytes(b), got, cut, err, b)
		}
		ParseBytes(s) // whatever a log holds, it does not panic
		ParseSigSet(s, 64, func(int) {})
		ParseTimespec(s)
		ParseSignal(s)
	})
}

func TestIoctl(t *testing.T) {
	for req, want := range map[uint64]string{
		unix.EPIOCSPARAMS: "_IOC(_IOC_WRITE, 0x8a, 0x1, 0x8)", unix.EPIOCGPARAMS: "_IOC(_IOC_READ, 0x8a, 0x2, 0x8)",
	} {
		if got := Ioctl(req); got != want {
			t.Errorf("Ioctl(%#x) = %s, want %s", req, got, want)
		}
	}
}

func TestUnknownErrno(t *testing.T) {
	if got := Errno(134); got != "(errno 134)" {
		t.Errorf("Errno(134) = %s", got)
	}
	if got := Errno(unix.ENOTSUP); got != "EOPNOTSUPP (Operation not supported)" {
		t.Errorf("Errno(ENOTSUP) = %s", got)
	}
}
