//go:build linux

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
	now  func() int64 // nil: /proc is another machine's, or of another time
	arch string
	fds  map[fdKey]*object
	of   map[int]map[int]bool // the numbers in fds by process
}

type fdKey struct{ pid, fd int }

// object is what a number stands for until it is closed.
type object struct {
	what    string // "eventfd 5"
	kind    string // "eventfd", "eventpoll", ""
	id      string // "12", of an eventfd
	asked   int64  // the time that what is of
	idAsked int64  // the time that id is of
	bad     bool   // the number changed before asked
	idBad   bool   // or before idAsked
}

// name is what is known for certain, once all events up to now are known.
func (ob *object) name(now int64) string {
	switch {
	case ob.bad || ob.asked > now:
		return ""
	case ob.id == "" || ob.idBad || ob.idAsked > now:
		return ob.what
	}
	return ob.what + " (id " + ob.id + ")"
}

func newObjects(arch string, now func() int64) *Objects {
	return &Objects{now: now, arch: arch, fds: map[fdKey]*object{}, of: map[int]map[int]bool{}}
}

// maxObjects bounds the memory; what is forgotten is read anew.
const maxObjects = 1 << 14

// ask returns what is known of a descriptor, reading /proc where nothing is.
func (o *Objects) ask(pid, fd int) *object {
	k := fdKey{pid, fd}
	if ob := o.fds[k]; ob != nil {
		return ob
	}
	if o.now == nil {
		return nil
	}
	ob := &object{}
	ob.what, ob.kind, ob.id = readObject(pid, fd)
	ob.asked = o.now()
	ob.idAsked = ob.asked
	o.keep(k, ob)
	return ob
}

func (o *Objects) keep(k fdKey, ob *object) {
	if len(o.fds) >= maxObjects {
		clear(o.fds)
		clear(o.of)
	}
	o.fds[k] = ob
	if o.of[k.pid] == nil {
		o.of[k.pid] = map[int]bool{}
	}
	o.of[k.pid][k.fd] = true
}

// made: an eventfd or an epoll was made; that much the events tell.
func (o *Objects) made(ev *ktrace.Event) {
	kind := ""
	switch SyscallName(o.arch, ev.Nr) {
	case "eventfd", "eventfd2":
		kind = "eventfd"
	case "epoll_create", "epoll_create1":
		kind = "epoll"
	default:
		return
	}
	if ev.Ret < 0 {
		return
	}
	fd := int(ev.Ret)
	ob := &object{what: kind + " " + strconv.Itoa(fd), kind: kind, asked: ev.Time}
	if o.now != nil && kind == "eventfd" {
		var is string
		if _, is, ob.id = readObject(ev.PID, fd); is != kind {
			ob.id = ""
		}
		ob.idAsked = o.now()
	}
	o.keep(fdKey{ev.PID, fd}, ob)
}

// event follows what changes descriptors.
func (o *Objects) event(ev *ktrace.Event) {
	switch ev.Kind {
	case ktrace.SysExit:
		o.made(ev)
		return
	case ktrace.Started:
		o.dropAll(ev.PID, ev.Time)
		return
	case ktrace.SysEnter:
	default:
		return
	}
	switch SyscallName(o.arch, ev.Nr) {
	case "close":
		o.drop(ev.PID, int(int32(ev.Args[0])), ev.Time)
	case "dup2", "dup3":
		o.drop(ev.PID, int(int32(ev.Args[1])), ev.Time)
	case "close_range", "execve", "execveat":
		o.dropAll(ev.PID, ev.Time)
	}
}

// dropAll: no number of a process is what it was. The process may be another.
func (o *Objects) dropAll(pid int, at int64) {
	for fd := range o.of[pid] {
		k := fdKey{pid, fd}
		o.fds[k].closed(at)
		delete(o.fds, k)
	}
	delete(o.of, pid)
}

// drop: the number is closed. An answer from before that was right until then;
// one from after it is about something else.
func (o *Objects) drop(pid, fd int, at int64) {
	k := fdKey{pid, fd}
	if ob := o.fds[k]; ob != nil {
		ob.closed(at)
		delete(o.fds, k)
		if delete(o.of[pid], fd); len(o.of[pid]) == 0 {
			delete(o.of, pid)
		}
	}
}

func (ob *object) closed(at int64) {
	ob.bad = ob.bad || at <= ob.asked
	ob.idBad = ob.idBad || at <= ob.idAsked
}

// lost: a close may have been among what was lost.
func (o *Objects) lost() {
	for _, ob := range o.fds {
		ob.bad, ob.idBad = true, true
	}
	clear(o.fds)
	clear(o.of)
}

// readObject reads what a descriptor is.
func readObject(pid, fd int) (what, kind, id string) {
	dir := "/proc/" + strconv.Itoa(pid)
	link, err := os.Readlink(dir + "/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", "", ""
	}
	switch link {
	case "anon_inode:[eventfd]":
		what, kind = "eventfd "+strconv.Itoa(fd), "eventfd"
		b, err := os.ReadFile(dir + "/fdinfo/" + strconv.Itoa(fd))
		if err != nil {
			return what, kind, ""
		}
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "eventfd-id:"); ok {
				id = strings.TrimSpace(v)
			}
		}
		return what, kind, id
	case "anon_inode:[eventpoll]":
		return "epoll " + strconv.Itoa(fd), "epoll", ""
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(link, "anon_inode:"), "/"), ":")
	return strings.Trim(name, "[]") + " " + strconv.Itoa(fd), "", ""
}
