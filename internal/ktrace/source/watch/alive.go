//go:build linux

package watch

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"golang.org/x/sys/unix"
)

// An eventfd is armed some time after its allocation, and may have ended before
// its end could be observed: its memory is another object's then. Memory is an
// eventfd's if a read of a descriptor's fdinfo in its process takes the lock
// that lies in it. After the arming, the kernel's kfree shows the end.

// proofTime is how long an armed eventfd may take to be found among the
// descriptors of its process: the call that makes it may not have ended.
const proofTime = int64(100 * time.Millisecond)

// prove finds out which of the armed eventfds live, and disarms those that do
// not.
func (s *Source) prove() error {
	var doubtful []*object
	for _, o := range s.objects {
		if !o.alive {
			doubtful = append(doubtful, o)
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.rings.Drain(); err != nil { // how some of them ended
		return err
	}
	s.proving = unix.Gettid()
	seen := map[string]bool{}
	for _, o := range doubtful {
		for _, dir := range [...]string{"/proc/" + strconv.Itoa(o.pid) + "/task/" + strconv.Itoa(o.tid), "/proc/" + strconv.Itoa(o.pid)} {
			if o.freed == 0 && !seen[dir] {
				seen[dir] = true
				askEventfds(dir)
			}
		}
	}
	err := s.rings.Drain()
	s.proving = 0
	if err != nil {
		return err
	}
	now := source.Now()
	for _, o := range doubtful {
		o.was = o.was || o.alive
		if o.freed == 0 && (o.alive || now-o.armed < proofTime) && !again(s.fresh, o.addr) {
			continue
		}
		if !o.was {
			s.armed--
			s.gone++
		}
		o.alive = false
		if err := s.disarm(o); err != nil {
			return err
		}
	}
	return nil
}

// askEventfds reads the fdinfo of each eventfd of a task.
func askEventfds(dir string) {
	const most = 1 << 12
	f, err := os.Open(dir + "/fd")
	if err != nil {
		return
	}
	defer f.Close()
	fds, _ := f.Readdirnames(most)
	for _, fd := range fds {
		if link, err := os.Readlink(dir + "/fd/" + fd); err == nil && link == "anon_inode:[eventfd]" {
			os.ReadFile(dir + "/fdinfo/" + fd)
		}
	}
}

// asks reports whether a write was made by a read of an eventfd's fdinfo.
func (s *Source) asks(smp *perf.Sample) bool { return asksFdinfo(s.stacks.Frames(smp.Chain)) }

func asksFdinfo(stack []ktrace.Frame) bool {
	return slices.ContainsFunc(stack, func(f ktrace.Frame) bool { return catalog.DefaultModel().Is(catalog.ShowsFdinfo, f.Name) })
}

// doubt has all eventfds proved again once records were lost: that of an end
// may be among them.
func (s *Source) doubt() error {
	if s.stopped {
		return nil
	}
	lost := s.rings.Losses()
	if len(lost) == 0 {
		return nil
	}
	s.losses = append(s.losses, lost...)
	for _, o := range s.objects {
		o.alive, o.armed = false, source.Now()-proofTime
	}
	return s.prove()
}
