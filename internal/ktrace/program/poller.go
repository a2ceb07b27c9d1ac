//go:build linux

package program

import (
	"os"
	"strconv"
	"strings"
)

// GoPollers distinguishes the Go runtime's own epoll of a process from those of
// the program. Only the runtime registers its eventfd with a pointer into the
// program's data as the event's data.
type GoPollers struct{ known map[int]*goPoller } // by process

type goPoller struct {
	goes bool // it is a Go program
	fd   int  // -1: not found yet
	asks int
}

// maxPollers bounds the memory; evicted processes are read again.
const maxPollers = 1 << 12

// Is reports whether a descriptor of a process is that of its Go runtime's epoll.
func (g *GoPollers) Is(pid, epfd int) bool {
	k := g.known[pid]
	if k == nil {
		if g.known == nil || len(g.known) >= maxPollers {
			g.known = map[int]*goPoller{}
		}
		k = &goPoller{goes: isGo("/proc/" + strconv.Itoa(pid) + "/exe"), fd: -1}
		g.known[pid] = k
	}
	// A runtime that does not wait may never do: it is asked less and less often.
	if k.asks++; k.goes && k.fd < 0 && k.asks&(k.asks-1) == 0 {
		k.fd = findGoPoller(pid)
	}
	return k.fd >= 0 && k.fd == epfd
}

// Forget has a process read again: the process is another program from now on.
func (g *GoPollers) Forget(pid int) { delete(g.known, pid) }

// findGoPoller returns the descriptor of the runtime's epoll in a Go program,
// -1 if it has not waited yet.
func findGoPoller(pid int) int {
	dir := "/proc/" + strconv.Itoa(pid)
	data := dataRanges(dir)
	entries, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return -1
	}
	for _, e := range entries {
		link, err := os.Readlink(dir + "/fd/" + e.Name())
		if err != nil || link != "anon_inode:[eventpoll]" {
			continue
		}
		b, err := os.ReadFile(dir + "/fdinfo/" + e.Name())
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if !strings.HasPrefix(line, "tfd:") {
				continue
			}
			f := strings.Fields(line)
			for i := 0; i+1 < len(f); i++ {
				if f[i] != "data:" {
					continue
				}
				v, err := strconv.ParseUint(f[i+1], 16, 64)
				fd, nerr := strconv.Atoi(e.Name())
				if err == nil && nerr == nil && data.has(v) {
					return fd
				}
			}
		}
	}
	return -1
}

type ranges [][2]uint64

func (r ranges) has(v uint64) bool {
	for _, x := range r {
		if v >= x[0] && v < x[1] {
			return true
		}
	}
	return false
}

// dataRanges returns the writable mappings of a process's program, and the
// anonymous one directly after them, which holds its zeroed data.
func dataRanges(dir string) ranges {
	exe, err := os.Readlink(dir + "/exe")
	if err != nil {
		return nil
	}
	b, err := os.ReadFile(dir + "/maps")
	if err != nil {
		return nil
	}
	var out ranges
	var end uint64
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		lo, hi, _ := strings.Cut(f[0], "-")
		from, err1 := strconv.ParseUint(lo, 16, 64)
		to, err2 := strconv.ParseUint(hi, 16, 64)
		if err1 != nil || err2 != nil {
			continue
		}
		own := len(f) > 5 && strings.Join(f[5:], " ") == exe
		if (own || len(f) == 5 && from == end) && strings.HasPrefix(f[1], "rw") {
			out = append(out, [2]uint64{from, to})
		}
		if own || from == end {
			end = to
		}
	}
	return out
}
