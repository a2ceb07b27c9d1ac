//go:build linux

package input

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
)

var (
	numbers  = regexp.MustCompile(`-?[0-9]+`)
	extremes = []string{"-1", "0", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "1e308", "99999999999999999999999", "2147483648", "null", `"x"`, "[]", "{}"}
	pieces   = []string{"", "\x00", "\xff\xfe", "\x1b[2J", "\u202e", "<unfinished ...>", "{{data}}", "#: ", strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 20_000), strings.Repeat("A", 100_000)}
)

// Mutate makes a damaged copy of data.
func Mutate(r *rand.Rand, data []byte) []byte {
	lines := bytes.SplitAfter(bytes.Clone(data), []byte("\n"))
	some := func(most int) int { return 1 + r.IntN(most) }
	switch r.IntN(9) {
	case 0:
		return data[:r.IntN(len(data)+1)]
	case 1:
		b := bytes.Clone(data)
		for range some(200) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b
	case 2: // numbers to extremes
		for range some(50) {
			i := r.IntN(len(lines))
			if at := numbers.FindAllIndex(lines[i], -1); len(at) > 0 {
				a := at[r.IntN(len(at))]
				lines[i] = []byte(string(lines[i][:a[0]]) + extremes[r.IntN(len(extremes))] + string(lines[i][a[1]:]))
			}
		}
	case 3:
		for range some(10) {
			i := r.IntN(len(lines))
			lines = append(lines[:i], lines[i+1:]...)
			if len(lines) == 0 {
				return nil
			}
		}
	case 4:
		r.Shuffle(len(lines), func(i, k int) { lines[i], lines[k] = lines[k], lines[i] })
	case 5:
		i := r.IntN(len(lines))
		lines[i] = bytes.Repeat(lines[r.IntN(len(lines))], some(100))
	case 6: // a piece of text into the midst
		for range some(5) {
			i := r.IntN(len(lines))
			k := r.IntN(len(lines[i]) + 1)
			lines[i] = []byte(string(lines[i][:k]) + pieces[r.IntN(len(pieces))] + string(lines[i][k:]))
		}
	case 7: // a word in place of another
		words := bytes.FieldsFunc(data[:min(len(data), 1<<16)], func(c rune) bool { return strings.ContainsRune(" \n\",:()[]{}<>=", c) })
		if len(words) > 1 {
			from, to := words[r.IntN(len(words))], words[r.IntN(len(words))]
			return bytes.ReplaceAll(data, from, to)
		}
	default:
		half := len(lines) / 2
		lines = append(lines[half:], lines[:half]...)
	}
	return bytes.Join(lines, nil)
}

// Log is a good log of strace.
func Log(r *rand.Rand) []byte {
	var b bytes.Buffer
	t := 1000.0
	for range 40 + r.IntN(40) {
		pid, fd := 100+r.IntN(4), 3+r.IntN(6)
		t += r.Float64() / 100
		fmt.Fprintf(&b, "%d %.6f ", pid, t)
		switch r.IntN(12) {
		case 0:
			fmt.Fprintf(&b, "eventfd2(0, EFD_CLOEXEC) = %d<anon_inode:[eventfd]> <0.000010>\n", fd)
		case 1:
			fmt.Fprintf(&b, "epoll_create1(EPOLL_CLOEXEC) = %d<anon_inode:[eventpoll]> <0.000010>\n", fd)
		case 2:
			fmt.Fprintf(&b, "epoll_ctl(%d, EPOLL_CTL_ADD, %d, {events=EPOLLIN|EPOLLET, data={u32=%d, u64=%d}}) = 0 <0.000010>\n", fd, fd+1, fd, fd)
		case 3:
			fmt.Fprintf(&b, "epoll_wait(%d, [{events=EPOLLIN, data={u32=%d, u64=%d}}], 10, -1) = 1 <0.020000>\n", fd, fd, fd)
		case 4:
			fmt.Fprintf(&b, "write(%d<anon_inode:[eventfd]>, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8 <0.000010>\n", fd)
		case 5:
			fmt.Fprintf(&b, "read(%d, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8 <0.010000>\n", fd)
		case 6:
			fmt.Fprintf(&b, "poll([{fd=%d, events=POLLIN}, {fd=%d</tmp/x>, events=POLLIN}], 2, -1) = 1 ([{fd=%d, revents=POLLIN}]) <0.010000>\n", fd, fd+1, fd)
		case 7:
			fmt.Fprintf(&b, "ppoll([{fd=%d, events=POLLIN}], 1, NULL, NULL, 8 <unfinished ...>\n%d %.6f <... ppoll resumed>) = 1 ([{fd=%d, revents=POLLIN}])\n", fd, pid, t+.001, fd)
		case 8:
			fmt.Fprintf(&b, "select(%d, [%d], NULL, NULL, {tv_sec=1, tv_usec=0}) = 0 (Timeout) <1.000000>\n", fd+1, fd)
		case 9:
			fmt.Fprintf(&b, "clone(child_stack=NULL, flags=CLONE_FILES|SIGCHLD) = %d\n", pid+1)
		case 10:
			fmt.Fprintf(&b, "close_range(%d, 4294967295, 0) = 0\n", fd)
		default:
			fmt.Fprintf(&b, "close(%d) = 0\n", fd)
		}
	}
	return b.Bytes()
}
