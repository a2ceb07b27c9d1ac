//go:build linux

package observe

import (
	"os"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// Objects resolves the file descriptors of processes. /proc is read after the
// event in question, and the fd may have been closed and reused since: an
// answer counts only after every event up to the read is known and none of them
// changed the fd.
type Objects struct {
	now    func() int64 // nil: /proc is another machine's, or of another time
	arch   *catalog.Arch
	fds    map[fdKey]*object
	of     map[int]map[fdKey]bool // the numbers in fds by process
	tables tables
	epolls epolls

	changes changes
}

// fdKey is a number in a table. thread is 0 if a process's threads share one.
type fdKey struct{ pid, thread, fd int }

// object is the file that an fd refers to until it is closed.
type object struct {
	what    string // "eventfd 5"
	kind    string // "eventfd", "eventpoll", ""
	id      string // "12", of an eventfd
	asked   int64  // when the object was read
	idAsked int64  // the time that id is of
	bad     bool   // the number changed before asked
	idBad   bool   // or before idAsked
	from    int64  // when the number was changed last before asked, 0: not known to have been

	before *object // the object before, if no event ended it and no other can have
}

// name returns the object's name if it is certain, which needs all events up to
// now.
func (ob *object) name(now int64) string {
	switch {
	case (ob.bad || ob.asked > now) && ob.before != nil:
		return ob.before.name(now)
	case ob.bad || ob.asked > now:
		return ""
	case ob.id == "" || ob.idBad || ob.idAsked > now:
		return ob.what
	}
	return ob.what + " (id " + ob.id + ")"
}

// number is the id of an eventfd, -1 if it is none, or none is known for
// certain.
func (ob *object) number(now int64) int {
	switch {
	case ob == nil:
		return -1
	case (ob.bad || ob.asked > now) && ob.before != nil:
		return ob.before.number(now)
	case ob.bad || ob.asked > now || ob.idBad || ob.idAsked > now || ob.kind != "eventfd":
		return -1
	}
	id, err := strconv.Atoi(ob.id)
	if err != nil {
		return -1
	}
	return id
}

func newObjects(arch string, now func() int64) *Objects {
	return &Objects{now: now, arch: catalog.DefaultModel().Arch(arch), fds: map[fdKey]*object{}, of: map[int]map[fdKey]bool{}}
}

// maxObjects bounds the memory; evicted objects are read again.
const maxObjects = 1 << 14

// key is where a thread has a number.
func (o *Objects) key(pid, tid, fd int) fdKey {
	if o.tables.split[pid] {
		return fdKey{pid, tid, fd}
	}
	return fdKey{pid, 0, fd}
}

// ask returns the object of a thread's fd at a time. It reads /proc if it has
// no answer of then or later, since some changes of an fd are no event. If it
// cannot be read any more, the earlier answer stays.
func (o *Objects) ask(pid, tid, fd int, at int64) *object {
	if o.tables.hidden[pid] {
		return nil
	}
	k := o.key(pid, tid, fd)
	if changed, then := o.changes.since(k, at); changed {
		return then
	}
	known := o.fds[k]
	if o.now == nil || known != nil && known.asked >= at && known.idAsked >= at {
		return known
	}
	ob := &object{}
	ob.what, ob.kind, ob.id = o.read(pid, tid, fd)
	ob.asked = o.now()
	ob.idAsked = ob.asked
	if ob.what == "" && known != nil {
		return known
	}
	if known != nil && !o.tables.shared && !o.tables.split[pid] {
		// No event up to now changed the number: if one does before the answer,
		// the one before was right.
		ob.before, known.before = known, nil
	}
	ob.from = o.changes.latest(k)
	o.keep(k, ob)
	return ob
}

// read reads the thread's own table, and the process's if the thread has
// ended and had no other.
func (o *Objects) read(pid, tid, fd int) (what, kind, id string) {
	dir := "/proc/" + strconv.Itoa(pid)
	if what, kind, id = readObject(dir+"/task/"+strconv.Itoa(tid), fd); what == "" && !o.tables.split[pid] {
		return readObject(dir, fd)
	}
	return what, kind, id
}

func (o *Objects) keep(k fdKey, ob *object) {
	if len(o.fds) >= maxObjects {
		clear(o.fds)
		clear(o.of)
	}
	o.fds[k] = ob
	if o.of[k.pid] == nil {
		o.of[k.pid] = map[fdKey]bool{}
	}
	o.of[k.pid][k] = true
}

// made records a new eventfd or epoll, which the events show.
func (o *Objects) made(ev *ktrace.Event) {
	call := o.arch.Call(ev.Nr)
	if call == nil || call.Makes == "" || ev.Ret < 0 {
		return
	}
	kind, fd := call.Makes, int(ev.Ret)
	ob := &object{what: kind + " " + strconv.Itoa(fd), kind: kind, asked: ev.Time, from: ev.Time}
	if o.now != nil && kind == "eventfd" {
		var is string
		if _, is, ob.id = o.read(ev.PID, ev.TID, fd); is != kind {
			ob.id = ""
		}
		ob.idAsked = o.now()
	}
	o.keep(o.key(ev.PID, ev.TID, fd), ob)
	if kind == "epoll" {
		o.epolls.made(fdKey{ev.PID, 0, fd})
	}
}

// event handles the events that change file descriptors.
func (o *Objects) event(ev *ktrace.Event) {
	o.changes.last = max(o.changes.last, ev.Time)
	switch ev.Kind {
	case ktrace.SysExit:
		o.made(ev)
		o.epolls.exit(ev)
		return
	case ktrace.Started:
		o.dropAll(ev.PID, ev.Time)
		o.tables.started(ev.PID, o.now != nil)
		o.epolls.forked()
		return
	case ktrace.SysEnter:
	default:
		return
	}
	call := o.arch.Call(ev.Nr)
	if call == nil {
		return
	}
	switch call.Closes {
	case "":
	case "all":
		o.dropAll(ev.PID, ev.Time)
	default:
		o.drop(ev.PID, int(int32(ev.Args[call.Closes[0]-'0'])), ev.Time)
	}
	if call.Name == "epoll_ctl" {
		o.epolls.enter(ev)
	}
	if o.tables.call(call.Name, ev) {
		o.dropAll(ev.PID, ev.Time)
	}
}

// dropAll forgets every fd of a process, which may be another process now.
func (o *Objects) dropAll(pid int, at int64) {
	o.changes.add(o.changedIn(pid, anyFD), at, nil)
	which := func(k fdKey) bool { return k.pid == pid || o.tables.shared }
	o.changes.late(which, at)
	o.dropIf(pid, which, at)
	o.epolls.closed(which)
}

// dropIf drops the numbers that were changed: of a process, or if tables
// may be shared of any.
func (o *Objects) dropIf(pid int, which func(fdKey) bool, at int64) {
	if !o.tables.shared {
		for k := range o.of[pid] {
			if which(k) {
				o.remove(k, at)
			}
		}
		return
	}
	for k := range o.fds {
		if which(k) {
			o.remove(k, at)
		}
	}
}

// remove forgets a number that was changed.
func (o *Objects) remove(k fdKey, at int64) {
	ob := o.fds[k]
	if ob == nil {
		return
	}
	ob.closed(at)
	o.changes.add(k, at, ob)
	delete(o.fds, k)
	if delete(o.of[k.pid], k); len(o.of[k.pid]) == 0 {
		delete(o.of, k.pid)
	}
}

// drop: the number is closed. An answer from before that was right until then;
// one from after it is about something else.
// Whether threads of one process, or processes, share a table is not always
// known: then it is closed in all of theirs.
func (o *Objects) drop(pid, fd int, at int64) {
	which := func(k fdKey) bool { return k.fd == fd && (k.pid == pid || o.tables.shared) }
	o.epolls.closed(which)
	o.changes.late(which, at)
	o.changes.add(o.changedIn(pid, fd), at, nil)
	if o.tables.shared || o.tables.split[pid] {
		o.dropIf(pid, which, at)
		return
	}
	o.remove(fdKey{pid, 0, fd}, at)
}

// changedIn is the key of a change of a number: of one process, or if tables may
// be shared of any.
func (o *Objects) changedIn(pid, fd int) fdKey {
	if o.tables.shared {
		pid = 0
	}
	return fdKey{pid, 0, fd}
}

func (ob *object) closed(at int64) {
	ob.bad = ob.bad || at <= ob.asked
	ob.idBad = ob.idBad || at <= ob.idAsked
}

// lost handles lost records, of up to the time to: a close may be among them.
func (o *Objects) lost(to int64) {
	o.changes.forget(to)
	for _, ob := range o.fds {
		ob.bad, ob.idBad = true, true
	}
	clear(o.fds)
	clear(o.of)
	o.epolls.lost()
}

// readObject reads the file that an fd of a process or thread in /proc refers
// to.
func readObject(dir string, fd int) (what, kind, id string) {
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
	if strings.HasPrefix(link, "/") && !strings.HasPrefix(link, "/memfd:") {
		return link + " " + strconv.Itoa(fd), "", ""
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(link, "anon_inode:"), "/"), ":")
	return strings.Trim(name, "[]") + " " + strconv.Itoa(fd), "", ""
}
