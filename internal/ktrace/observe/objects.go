package observe

import (
	"os"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// Objects says what the descriptors of processes are. What /proc says is
// later than the event that one asks about, and a number may have been closed
// and used anew meanwhile: an answer counts only once every event up to the
// time of asking is known and none of them changed the number.
type Objects struct {
	now  func() int64
	arch string
	fds  map[fdKey]*object
}

type fdKey struct{ pid, fd int }

// object is what a number stands for from the time `since` until it is closed.
type object struct {
	what  string // "eventfd 5 (id 12)"
	kind  string // "eventfd", "eventpoll", ""
	asked int64  // when /proc was read
	bad   bool   // the number changed before that
}

func newObjects(arch string, now func() int64) *Objects {
	return &Objects{now: now, arch: arch, fds: map[fdKey]*object{}}
}

// maxObjects bounds the memory; what is forgotten is read anew.
const maxObjects = 1 << 14

// ask returns what is known of a descriptor, reading /proc where nothing is.
func (o *Objects) ask(pid, fd int) *object {
	k := fdKey{pid, fd}
	if ob := o.fds[k]; ob != nil {
		return ob
	}
	if len(o.fds) >= maxObjects {
		clear(o.fds)
	}
	ob := &object{asked: o.now()}
	ob.what, ob.kind = readObject(pid, fd)
	o.fds[k] = ob
	return ob
}

// event follows what changes descriptors.
func (o *Objects) event(ev *ktrace.Event) {
	if ev.Kind != ktrace.SysEnter {
		return
	}
	switch SyscallName(o.arch, ev.Nr) {
	case "close":
		o.drop(ev.PID, int(int32(ev.Args[0])), ev.Time)
	case "dup2", "dup3":
		o.drop(ev.PID, int(int32(ev.Args[1])), ev.Time)
	case "close_range", "execve", "execveat":
		for k, ob := range o.fds {
			if k.pid == ev.PID {
				ob.bad = ob.bad || ev.Time <= ob.asked
				delete(o.fds, k)
			}
		}
	}
}

// drop: the number is closed. An answer from before that was right until then;
// one from after it is about something else.
func (o *Objects) drop(pid, fd int, at int64) {
	k := fdKey{pid, fd}
	if ob := o.fds[k]; ob != nil {
		ob.bad = ob.bad || at <= ob.asked
		delete(o.fds, k)
	}
}

// lost: a close may have been among what was lost.
func (o *Objects) lost() {
	for _, ob := range o.fds {
		ob.bad = true
	}
	clear(o.fds)
}

// readObject reads what a descriptor is.
func readObject(pid, fd int) (what, kind string) {
	dir := "/proc/" + strconv.Itoa(pid)
	link, err := os.Readlink(dir + "/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", ""
	}
	switch link {
	case "anon_inode:[eventfd]":
		what, kind = "eventfd "+strconv.Itoa(fd), "eventfd"
		b, err := os.ReadFile(dir + "/fdinfo/" + strconv.Itoa(fd))
		if err != nil {
			return what, kind
		}
		for line := range strings.Lines(string(b)) {
			if id, ok := strings.CutPrefix(line, "eventfd-id:"); ok {
				what += " (id " + strings.TrimSpace(id) + ")"
			}
		}
		return what, kind
	case "anon_inode:[eventpoll]":
		return "epoll " + strconv.Itoa(fd), "eventpoll"
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(link, "anon_inode:"), "/"), ":")
	return strings.Trim(name, "[]") + " " + strconv.Itoa(fd), ""
}
