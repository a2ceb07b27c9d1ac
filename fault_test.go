//go:build linux

package efd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// The errors that strace puts in place of a call, and the calls.
var (
	faults = []unix.Errno{unix.EINTR, unix.ENOMEM, unix.EMFILE, unix.ENOSYS, unix.EPERM, unix.EAGAIN}

	// A call of each kind that fails by itself, by which the helper counts.
	faultCalls = []faultCall{
		{"eventfd2", unix.SYS_EVENTFD2, [4]uintptr{0, 0xffff}},
		{"read", unix.SYS_READ, [4]uintptr{bad}},
		{"write", unix.SYS_WRITE, [4]uintptr{bad}},
		{"close", unix.SYS_CLOSE, [4]uintptr{bad}},
		{fcntlName, fcntlNr, [4]uintptr{bad, unix.F_GETFD}},
		{"ppoll" + time64Suffix, uintptr(max(callPpoll[0], callPpoll[1])), [4]uintptr{1, 1}},
		{"pselect6" + time64Suffix, uintptr(max(callPselect6[0], callPselect6[1])), [4]uintptr{bad}},
		{"epoll_create1", unix.SYS_EPOLL_CREATE1, [4]uintptr{0xffff}},
		{"epoll_ctl", unix.SYS_EPOLL_CTL, [4]uintptr{bad, unix.EPOLL_CTL_DEL}},
		{"epoll_pwait", unix.SYS_EPOLL_PWAIT, [4]uintptr{bad, 0, 1}},
		{"epoll_pwait2", unix.SYS_EPOLL_PWAIT2, [4]uintptr{bad, 0, 1}},
		{"ioctl", unix.SYS_IOCTL, [4]uintptr{bad}},
		{"rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, [4]uintptr{77, 0, 0, 8}},
		{"openat", unix.SYS_OPENAT, [4]uintptr{bad}},
	}
)

type faultCall struct {
	name string
	nr   uintptr
	args [4]uintptr
}

const (
	bad        = ^uintptr(0)
	faultEvery = 200 // of the calls of a thread fails: Go's runtime makes fewer
)

var (
	is64         = unsafe.Sizeof(uintptr(0)) == 8
	time64Suffix = map[bool]string{false: "_time64"}[is64]
	fcntlName    = map[bool]string{true: "fcntl", false: "fcntl64"}[is64]
	fcntlNr      = map[bool]uintptr{true: unix.SYS_FCNTL, false: 221}[is64]
)

// aim has the next call of that name on this thread fail with errno.
func aim(name string, errno unix.Errno) {
	i := slices.IndexFunc(faultCalls, func(c faultCall) bool {
		return c.name == name || c.name == name+time64Suffix || c.name == name+"64" && !is64
	})
	c := faultCalls[i]
	args := c.args
	if name == "openat" {
		args[1] = uintptr(unsafe.Pointer(&[]byte("x\x00")[0]))
	}
	fails := func() bool {
		_, _, e := syscall.RawSyscall6(c.nr, args[0], args[1], args[2], args[3], 0, 0)
		return e == errno
	}
	for n := 0; !fails(); n++ {
		if n > 2*faultEvery {
			panic(name + ": nothing is injected")
		}
	}
	for range faultEvery - 1 {
		fails()
	}
}

// fault is a deed during which one call fails, and what comes of it.
type fault struct {
	name, call string
	deed       func(f *faultRun) error
	// want is what the deed returns where that is not the errno put in.
	want map[unix.Errno]error
}

type faultRun struct {
	errno unix.Errno
	e     *efd.EventFD
	p     *efd.Epoll
	aim   func()
}

var (
	anyFault    map[unix.Errno]error
	retried     = map[unix.Errno]error{unix.EINTR: nil}
	retriedFull = map[unix.Errno]error{unix.EINTR: nil, unix.EAGAIN: nil}
	always      = map[unix.Errno]error{unix.EINTR: nil, unix.ENOMEM: nil, unix.EMFILE: nil, unix.ENOSYS: nil, unix.EPERM: nil, unix.EAGAIN: nil}
	fallsBack   = map[unix.Errno]error{unix.EINTR: nil, unix.ENOSYS: nil, unix.EPERM: nil}
	timeABI     = func() map[unix.Errno]error {
		if is64 {
			return retried
		}
		return fallsBack
	}()
)

var faultDeeds = []fault{
	{"New", "eventfd2", func(f *faultRun) error {
		f.aim()
		e, err := efd.New(0, 0)
		if err == nil {
			e.Close()
		}
		return err
	}, anyFault},
	{"Read", "read", func(f *faultRun) error {
		f.e.Write(5)
		f.aim()
		v, err := f.e.Read()
		return f.counted(err, v, 5)
	}, retried},
	{"Drain", "read", func(f *faultRun) error {
		f.e.Write(5)
		f.aim()
		v, err := f.e.Drain()
		if f.errno == unix.EAGAIN {
			return f.counted(err, v, 0)
		}
		return f.counted(err, v, 5)
	}, retriedFull},
	{"Write", "write", func(f *faultRun) error {
		f.aim()
		err := f.e.Write(5)
		v, _ := f.e.Drain()
		return f.counted(err, v, 5)
	}, retried},
	{"Signal", "write", func(f *faultRun) error {
		f.aim()
		return f.e.Signal()
	}, retriedFull},
	{"ReadContext", "read", func(f *faultRun) error {
		f.e.Write(5)
		f.aim()
		v, err := f.e.ReadContext(context.Background())
		return f.counted(err, v, 5)
	}, retriedFull},
	{"WriteContext", "write", func(f *faultRun) error {
		f.aim()
		err := f.e.WriteContext(context.Background(), 5)
		v, _ := f.e.Drain()
		return f.counted(err, v, 5)
	}, retriedFull},
	{"Close", "close", func(f *faultRun) error {
		e, err := efd.New(0, 0)
		if err != nil {
			return err
		}
		n := 0
		remove := efd.AddTracer(func(c *efd.Call) { n++ })
		f.aim()
		err = e.Close()
		remove()
		if n != 1 || e.FD() != -1 {
			return fmt.Errorf("%d calls, FD %d: a close is never made twice", n, e.FD())
		}
		return err
	}, always},
	{"Dup", "fcntl", func(f *faultRun) error {
		f.aim()
		d, err := f.e.Dup()
		if err == nil {
			d.Close()
		}
		return err
	}, anyFault},
	{"FromFD", "fcntl", func(f *faultRun) error {
		fd, err := unix.Eventfd(3, unix.EFD_NONBLOCK)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		f.aim()
		if _, err = efd.FromFD(fd); err == nil {
			return nil
		}
		if n, e := unix.Read(fd, make([]byte, 8)); n != 8 || e != nil {
			return fmt.Errorf("fd is not left with the caller: %d, %v", n, e)
		}
		return err
	}, anyFault},
	{"Info", "openat", func(f *faultRun) error {
		f.aim()
		_, err := f.e.Info()
		return err
	}, anyFault},
	{"Info", "read", func(f *faultRun) error {
		f.e.Write(7)
		defer f.e.Drain()
		f.aim()
		info, err := f.e.Info()
		return f.counted(err, info.Count, 7)
	}, retried},
	{"Poll", "ppoll", func(f *faultRun) error {
		f.e.Write(1)
		defer f.e.Drain()
		fds := []efd.PollFD{{FD: int32(f.e.FD()), Events: efd.POLLIN}}
		f.aim()
		n, err := efd.Poll(fds, time.Minute, nil)
		return f.counted(err, uint64(n), 1)
	}, timeABI},
	{"Poll with a mask", "ppoll", func(f *faultRun) error {
		f.e.Write(1)
		defer f.e.Drain()
		fds := []efd.PollFD{{FD: int32(f.e.FD()), Events: efd.POLLIN}}
		f.aim()
		n, err := efd.Poll(fds, time.Minute, new(efd.SigSet))
		return f.interrupted(err, n)
	}, maskedABI},
	{"Select", "pselect6", func(f *faultRun) error {
		return f.selects(nil)
	}, timeABI},
	{"Select with a mask", "pselect6", func(f *faultRun) error {
		return f.selects(new(efd.SigSet))
	}, maskedABI},
	{"PollSet.Wait", "ppoll", func(f *faultRun) error {
		f.e.Write(1)
		defer f.e.Drain()
		var s efd.PollSet
		defer s.Close()
		if err := s.Add(f.e, efd.POLLIN); err != nil {
			return err
		}
		f.aim()
		n, err := s.Wait(time.Minute, nil)
		if err != nil {
			for range s.Ready() {
				return errors.New("members are ready after an error")
			}
		}
		return f.counted(err, uint64(n), 1)
	}, timeABI},
	{"PollSet.Wait", "eventfd2", func(f *faultRun) error {
		f.e.Write(1)
		defer f.e.Drain()
		var s efd.PollSet
		defer s.Close()
		if err := s.Add(f.e, efd.POLLIN); err != nil {
			return err
		}
		f.aim()
		_, err := s.Wait(time.Minute, nil)
		if n, again := s.Wait(time.Minute, nil); again != nil || n != 1 {
			return fmt.Errorf("the next Wait: %d, %v", n, again)
		}
		return err
	}, anyFault},
	{"PollSet.Add of a file", "fcntl", func(f *faultRun) error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		defer w.Close()
		var s efd.PollSet
		defer s.Close()
		f.aim()
		if err = s.Add(r, efd.POLLIN); err != nil {
			if again := s.Add(r, efd.POLLIN); again != nil {
				return again
			}
		}
		return err
	}, anyFault},
	{"NewEpoll", "epoll_create1", func(f *faultRun) error {
		f.aim()
		p, err := efd.NewEpoll()
		if err == nil {
			p.Close()
		}
		return err
	}, anyFault},
	{"Epoll.AddConn", "epoll_ctl", func(f *faultRun) error {
		f.aim()
		err := f.p.AddConn(f.e, efd.EPOLLIN, 0)
		if list, _ := f.p.Interest(); err != nil && len(list) != 0 {
			return fmt.Errorf("after %v there is %v", err, list)
		}
		if again := f.p.AddConn(f.e, efd.EPOLLIN, 0); again != nil {
			return again
		}
		f.p.DeleteConn(f.e)
		return err
	}, anyFault},
	{"Epoll.Wait", "epoll_pwait", func(f *faultRun) error {
		return f.epollWait(time.Minute, nil)
	}, retried},
	{"Epoll.Wait with a mask", "epoll_pwait", func(f *faultRun) error {
		return f.epollWait(time.Minute, new(efd.SigSet))
	}, anyFault},
	{"Epoll.WaitContext", "epoll_pwait", func(f *faultRun) error {
		f.e.Write(1)
		defer f.e.Drain()
		f.p.AddConn(f.e, efd.EPOLLIN, 0)
		defer f.p.DeleteConn(f.e)
		f.aim()
		n, err := f.p.WaitContext(context.Background(), make([]efd.EpollEvent, 1))
		return f.counted(err, uint64(n), 1)
	}, retried},
	{"Epoll.Wait of part of a millisecond", "epoll_pwait2", func(f *faultRun) error {
		err := f.epollWait(time.Minute+1, nil)
		if f.errno == unix.ENOSYS || f.errno == unix.EPERM {
			// From now on it is not even tried.
			f.p.AddConn(f.e, efd.EPOLLIN, 0)
			defer f.p.DeleteConn(f.e)
			names := ""
			remove := efd.AddTracer(func(c *efd.Call) { names += c.Syscall + " " })
			f.p.Wait(make([]efd.EpollEvent, 1), 1500*time.Microsecond, nil)
			remove()
			if names != "epoll_pwait " {
				return errors.New("after the refusal: " + names)
			}
		}
		return err
	}, fallsBack},
	{"Epoll.BusyPoll", "ioctl", func(f *faultRun) error {
		f.aim()
		_, err := f.p.BusyPoll()
		return err
	}, anyFault},
	{"Epoll.SetBusyPoll", "ioctl", func(f *faultRun) error {
		f.aim()
		return f.p.SetBusyPoll(efd.BusyPoll{Usecs: 1})
	}, anyFault},
	{"ThreadSigMask", "rt_sigprocmask", func(f *faultRun) error {
		f.aim()
		_, err := efd.ThreadSigMask()
		return err
	}, anyFault},
	{"WithSigMask", "rt_sigprocmask", func(f *faultRun) error {
		ran := false
		f.aim()
		err := efd.WithSigMask(efd.SigSet{}, func() error { ran = true; return nil })
		if ran {
			return errors.New("fn ran without its mask")
		}
		return err
	}, anyFault},
	{"WithSigMask, on the way back", "rt_sigprocmask", func(f *faultRun) error {
		out := make(chan error)
		go func() { // the thread is not used again
			out <- efd.WithSigMask(efd.SigSet{}, func() error { f.aim(); return nil })
		}()
		return <-out
	}, anyFault},
}

// maskedABI is timeABI where EINTR is told.
var maskedABI = func() map[unix.Errno]error {
	if is64 {
		return anyFault
	}
	return map[unix.Errno]error{unix.ENOSYS: nil, unix.EPERM: nil}
}()

func (f *faultRun) counted(err error, got, want uint64) error {
	if err == nil && got != want {
		return fmt.Errorf("got %d, want %d", got, want)
	}
	if err != nil && got != 0 && want != got {
		return fmt.Errorf("got %d beside %w", got, err)
	}
	return err
}

// interrupted wants EINTR to come with the time that is left, all of it.
func (f *faultRun) interrupted(err error, n int) error {
	var i *efd.InterruptedError
	if errors.As(err, &i) && (i.Remaining <= 0 || i.Remaining > time.Minute+1 || n != 0) {
		return fmt.Errorf("%d and %v left", n, i.Remaining)
	}
	if errors.Is(err, unix.EINTR) && i == nil {
		return fmt.Errorf("%#v is no InterruptedError", err)
	}
	if err == nil && n != 1 {
		return fmt.Errorf("%d ready", n)
	}
	return err
}

func (f *faultRun) selects(mask *efd.SigSet) error {
	f.e.Write(1)
	defer f.e.Drain()
	other, err := efd.New(0, 0)
	if err != nil {
		return err
	}
	defer other.Close()
	var r efd.FDSet
	r.Add(f.e.FD())
	r.Add(other.FD())
	f.aim()
	n, err := efd.Select(&r, nil, nil, time.Minute, mask)
	if err != nil && r.Len() != 2 {
		return fmt.Errorf("after %v the set is %v", err, &r)
	}
	return f.interrupted(err, n)
}

func (f *faultRun) epollWait(timeout time.Duration, mask *efd.SigSet) error {
	f.e.Write(1)
	defer f.e.Drain()
	if err := f.p.AddConn(f.e, efd.EPOLLIN, 0); err != nil {
		return err
	}
	defer f.p.DeleteConn(f.e)
	f.aim()
	n, err := f.p.Wait(make([]efd.EpollEvent, 1), timeout, mask)
	return f.interrupted(err, n)
}

// TestFaultHelper is the program that runs under strace. It tells on
// descriptor 3 what came of each deed.
func TestFaultHelper(t *testing.T) {
	name := os.Getenv("EFD_FAULT")
	if name == "" {
		t.Skip("runs as a child of TestFaults")
	}
	runtime.LockOSThread()
	var out []string
	for _, errno := range faults {
		if unix.ErrnoName(errno) != name {
			continue
		}
		for _, d := range faultDeeds {
			if ofRuntime(d.call) == (os.Getenv("EFD_FAULT_SET") == "runtime") {
				out = append(out, runDeed(d, errno))
			}
		}
	}
	b, _ := json.Marshal(out)
	unix.Write(3, b)
	os.Exit(0)
}

// runDeed says "" where the deed ended as it should.
func runDeed(d fault, errno unix.Errno) (bad string) {
	defer func() {
		if r := recover(); r != nil {
			bad = fmt.Sprint(r)
		}
	}()
	e, err1 := efd.New(0, 0)
	p, err2 := efd.NewEpoll()
	if err := errors.Join(err1, err2); err != nil {
		return err.Error()
	}
	defer p.Close()
	defer e.Close()
	f := &faultRun{errno: errno, e: e, p: p, aim: func() { aim(d.call, errno) }}
	got := d.deed(f)
	want, ok := d.want[errno]
	if !ok {
		want = errno
	}
	var sys *os.SyscallError
	switch {
	case !errors.Is(got, want):
		return fmt.Sprintf("%v, want %v", got, want)
	case got != nil && errors.As(got, &sys) && strings.TrimSuffix(sys.Syscall, "64") != d.call:
		return fmt.Sprintf("%v is not of %s", got, d.call)
	}
	return ""
}

// Each call fails once with each of the errors, under strace, and what comes
// of it is what the documentation says.
func TestFaults(t *testing.T) {
	if testenv.Emulated() {
		t.Skip("strace cannot run a program of another processor")
	}
	strace, err := exec.LookPath("strace")
	testenv.Require(t, "strace", err)
	for _, errno := range faults {
		for _, set := range []string{"ours", "runtime"} {
			t.Run(unix.ErrnoName(errno)+", "+set, func(t *testing.T) { runFaults(t, strace, errno, set) })
		}
	}
}

// ofRuntime is for the call that the runtime's own watch makes every 10 ms and
// does not bear an error in: it gets a short run of its own.
func ofRuntime(call string) bool { return call == "epoll_pwait" }

func runFaults(t *testing.T, strace string, errno unix.Errno, set string) {
	var names []string
	for _, c := range faultCalls {
		if ofRuntime(c.name) == (set == "runtime") {
			names = append(names, c.name)
		}
	}
	var deeds []fault
	for _, d := range faultDeeds {
		if ofRuntime(d.call) == (set == "runtime") {
			deeds = append(deeds, d)
		}
	}
	list, name := strings.Join(names, ","), unix.ErrnoName(errno)
	var out []string
	var text []byte
	var err error
	for range 5 { // a machine under load is slow enough for the runtime to be hit
		out, text, err = faultHelper(strace, list, name, set)
		if !bytes.Contains(text, []byte("runtime: netpoll failed")) {
			break
		}
	}
	if err != nil || len(out) != len(deeds) {
		t.Fatalf("%v, %d results of %d\n%s", err, len(out), len(deeds), text)
	}
	for i, d := range deeds {
		t.Run(d.name+", "+d.call, func(t *testing.T) {
			if out[i] != "" {
				t.Error(out[i])
			}
		})
	}
}

// faultHelper runs TestFaultHelper and returns what it told, and printed.
func faultHelper(strace, calls, errno, set string) (out []string, text []byte, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	cmd := exec.Command(strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace="+calls,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d+%d", calls, errno, faultEvery, faultEvery), os.Args[0], "-test.run=^TestFaultHelper$")
	cmd.Env = append(os.Environ(), "EFD_FAULT="+errno, "EFD_FAULT_SET="+set)
	cmd.ExtraFiles = []*os.File{w}
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, nil, err
	}
	err = errors.Join(json.NewDecoder(r).Decode(&out), cmd.Wait())
	return out, b.Bytes(), err
}
