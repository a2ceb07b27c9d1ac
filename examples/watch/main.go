//go:build linux

// Watch waits for five kinds of events on one thread, by one ppoll: changes of a
// directory (inotify), a clock (timerfd), signals to the thread (signalfd),
// memory pressure (PSI) and the events of a cgroup. What this machine or user
// does not have is left out, with the reason.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", ".", "the `directory` to watch")
	every := flag.Duration("every", time.Second, "the `interval` of the clock")
	flag.Parse()
	// A signalfd has the signals of the thread that polls it, and those that it
	// blocks: all is on this thread. To end at kill PID, see signal.NotifyContext.
	mask, err := efd.NewSigSet(unix.SIGUSR1)
	if err != nil {
		log.Fatal(err)
	}
	if err := efd.WithSigMask(mask, func() error { return watch(*dir, *every, mask) }); err != nil {
		log.Fatal("watch: ", err)
	}
}

// source is a descriptor and what to do when it is ready.
type source struct {
	name   string
	events efd.PollEvents
	open   func() (int, error)
	read   func(fd int) error
}

func watch(dir string, every time.Duration, mask efd.SigSet) error {
	var set efd.PollSet
	defer set.Close() // before the descriptors
	reads := map[syscall.Conn]func() error{}
	for _, s := range []source{
		{"directory", efd.POLLIN, func() (int, error) { return openDir(dir) }, readDir},
		{"clock", efd.POLLIN, func() (int, error) { return openClock(every) }, readClock},
		{"signal", efd.POLLIN, func() (int, error) { return openSignals(mask) }, readSignal},
		{"pressure", efd.POLLPRI, openPressure, func(int) error { fmt.Println("memory is short"); return nil }},
		{"cgroup", efd.POLLPRI, openCgroup, readCgroup},
	} {
		fd, err := s.open()
		if err != nil {
			fmt.Printf("no %s: %v\n", s.name, err)
			continue
		}
		defer unix.Close(fd)
		if err := set.AddFD(fd, s.events); err != nil {
			return err
		}
		reads[efd.FD(fd)] = func() error { return s.read(fd) }
	}
	fmt.Println("watching, thread", unix.Gettid())
	for {
		if _, err := set.Wait(efd.Forever, nil); err != nil {
			return err
		}
		for c := range set.Ready() {
			if err := reads[c](); errors.Is(err, errEnd) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
}

// errEnd ends the loop.
var errEnd = errors.New("end")

func openDir(dir string) (int, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return -1, os.NewSyscallError("inotify_init1", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_DELETE|unix.IN_CLOSE_WRITE); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "inotify_add_watch", Path: dir, Err: err}
	}
	return fd, nil
}

func readDir(fd int) error {
	buf := make([]byte, 64<<10)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return os.NewSyscallError("read", err)
	}
	for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		mask, size := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size]), "\x00")
		fmt.Printf("directory: %s, mask %#x\n", name, mask)
		b = b[unix.SizeofInotifyEvent+size:]
	}
	return nil
}

func openClock(every time.Duration) (int, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return -1, os.NewSyscallError("timerfd_create", err)
	}
	t := unix.NsecToTimespec(int64(every))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: t, Value: t}, nil); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("timerfd_settime", err)
	}
	return fd, nil
}

func readClock(fd int) error {
	var b [8]byte
	if _, err := unix.Read(fd, b[:]); err != nil {
		return os.NewSyscallError("read", err)
	}
	fmt.Println("clock:", binary.NativeEndian.Uint64(b[:]))
	return nil
}

func openSignals(mask efd.SigSet) (int, error) {
	set := mask.Sigset()
	fd, err := unix.Signalfd(-1, &set, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK)
	return fd, os.NewSyscallError("signalfd4", err)
}

func readSignal(fd int) error {
	b := make([]byte, 128) // sizeof(struct signalfd_siginfo)
	if _, err := unix.Read(fd, b); err != nil {
		return os.NewSyscallError("read", err)
	}
	fmt.Println("signal:", unix.SignalName(unix.Signal(binary.NativeEndian.Uint32(b))))
	return errEnd
}

// openPressure asks for an event when tasks waited for memory for 150 ms of a
// second. Since Linux 6.6 every user may, for windows of whole 2 s.
func openPressure() (int, error) {
	fd, err := unix.Open("/proc/pressure/memory", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: "/proc/pressure/memory", Err: err}
	}
	if _, err := unix.Write(fd, []byte("some 150000 2000000\x00")); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "write", Path: "/proc/pressure/memory", Err: err}
	}
	return fd, nil
}

// openCgroup opens the events of this process's cgroup, which are POLLPRI after
// each change.
func openCgroup() (int, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return -1, err
	}
	for line := range strings.Lines(string(text)) {
		if group, v2 := strings.CutPrefix(strings.TrimSpace(line), "0::"); v2 {
			name := filepath.Join("/sys/fs/cgroup", group, "cgroup.events")
			fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return -1, &os.PathError{Op: "open", Path: name, Err: err}
			}
			return fd, nil
		}
	}
	return -1, errors.New("the process is in no cgroup of version 2")
}

func readCgroup(fd int) error {
	buf := make([]byte, 4096)
	n, err := unix.Pread(fd, buf, 0) // reading takes the event
	fmt.Printf("cgroup: %s\n", strings.Join(strings.Fields(string(buf[:max(n, 0)])), " "))
	return err
}
