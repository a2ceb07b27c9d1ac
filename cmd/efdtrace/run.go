//go:build linux

package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace/access"
	"github.com/efd-go/efd/internal/ktrace/ktext"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"golang.org/x/sys/unix"
)

var runCommand = command{name: "run", args: "[-o FILE] [-format F] [-u USER] [-anonymous] [-runtime] [-watch] [-trace] -p PID | -- PROGRAM ARGS…", short: "run a program, or attach to one, and show the wakers of its waiting threads", more: runMore}

const runMore = `Shown are the wakes of threads that wait in poll, select or epoll, or for an eventfd. Those of
other waits, as of a read of a pipe, are not.
  FILE is written when all is known if it exists already, and has mode 0600 if it is new. A FIFO
is waited for, ten seconds at most. Symbolic links of other users are not followed.
  With -u the program has the user's IDs and groups, no capabilities, HOME, USER and LOGNAME. It
keeps the rest of the environment, the descriptors 0 to 2, the session and its terminal, the
directory and the limits; and it may execute set-uid programs (no_new_privs is not set).
  With -trace each way of a call is shown once and has a number: [poll: way 2] is the second.`

const anonymousUsage = "record no names of programs and threads, no arguments of calls and no paths:\nthread and process IDs, times and the kernel's functions alone"

func init() {
	runCommand.run = runProgram
	commands = append(commands, runCommand)
}

// runOptions are the flags of run.
type runOptions struct {
	out, format, user string
	pid               int
	attach            bool // -p was given
	asUser            bool // -u was given
	anonymous         bool
	runtime           bool
	watch, trace      bool
	program           []string
}

func runProgram(e *env, args []string) int {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	var o runOptions
	fs.StringVar(&o.out, "o", "", "write to `FILE` and not to standard output")
	fs.StringVar(&o.format, "format", "text", "`form` of the output: "+strings.Join(formats, ", "))
	fs.StringVar(&o.user, "u", "", "run the program as `USER`, without descriptors above 2")
	fs.BoolVar(&o.anonymous, "anonymous", false, anonymousUsage)
	fs.IntVar(&o.pid, "p", 0, "attach to the process `PID`")
	fs.BoolVar(&o.runtime, "runtime", false, "show the Go runtime's own poller too")
	fs.BoolVar(&o.watch, "watch", false, "watch the eventfds that the program makes, two at a time on x86: who enters and leaves\ntheir wait queues, and who changes their counters. Costs some 20 µs for each of these")
	fs.BoolVar(&o.trace, "trace", false, "trace the documented functions that the program enters, if the kernel has a function\ntracer: the steps of both calls of a wake that no call chain shows. Two threads that\ndid nothing but wake each other did so half to a ninth as often, with one emulated CPU")
	if status, ok := parse(e, fs, runCommand, "efdtrace run -- curl -s http://127.0.0.1:8080/", args); !ok {
		return status
	}
	o.program = fs.Args()
	o.attach = given(fs, "p")
	o.asUser = given(fs, "u")
	if err := o.check(); err != nil {
		fmt.Fprintf(e.stderr, "efdtrace run: %v\n", err)
		return exitUsage
	}
	status, err := observeProgram(e, &o)
	if err != nil {
		fmt.Fprintf(e.stderr, "efdtrace run: %v\n", err)
	}
	return status
}

func (o *runOptions) check() error {
	if err := checkFormat(o.format, formats); err != nil {
		return err
	}
	switch {
	case o.attach && o.pid <= 0:
		return fmt.Errorf("-p %d: a process ID is a positive number", o.pid)
	case !o.attach && len(o.program) == 0:
		return errors.New("want a program after --, or -p PID")
	case o.attach && len(o.program) != 0:
		return errors.New("-p and a program: want one of them")
	case o.asUser && o.user == "":
		return errors.New("-u: the name of a user is empty")
	case o.anonymous && o.format != "recording":
		return errors.New("-anonymous is for -format recording")
	case o.attach && o.asUser:
		return errors.New("-u is for a program that is started, and -p attaches to one that runs")
	case o.format == "recording" && o.out == "":
		return errors.New("-format recording wants -o FILE")
	}
	return nil
}

// observeProgram starts or attaches, shows the observed events, and returns the
// exit status.
func observeProgram(e *env, o *runOptions) (status int, err error) {
	if o.pid != 0 {
		if err := unix.Kill(o.pid, 0); err == unix.ESRCH {
			return exitCannot, fmt.Errorf("no process %d", o.pid)
		}
		if pid := perf.ProcessOf(o.pid); pid != 0 && pid != o.pid {
			return exitCannot, fmt.Errorf("-p %d: is a thread of process %d, and -p attaches to a process", o.pid, pid)
		}
	}
	ctx, unnotify := untilSignal()
	defer unnotify()
	signals := notifySignals()
	defer signal.Stop(signals)
	var file *outFile
	if o.out != "" {
		if file, err = e.createOut(ctx, o.out); err != nil {
			return cannot(ctx), err
		}
	}
	v := newView(e, file, o.format, o.runtime)
	// The program starts stopped, so that nothing of it goes unseen; the stop is
	// the thread's that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var p *program
	pid := o.pid
	if pid == 0 {
		if p, err = start(e, o); err != nil {
			v.abandon()
			return startStatus(err), err
		}
		pid = p.cmd.Process.Pid
	}
	// The reader finds a processor of Go's free when it comes back from its sleep.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0))))
	// Nothing of these is kept: all growth is garbage.
	if kept := o.format != "text" && o.format != "recording"; !kept && e.alone && os.Getenv("GOMEMLIMIT") == "" {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(textMemory))
	}
	v.title, v.origin = strings.Join(o.program, " "), "observed"
	if p == nil {
		v.title = fmt.Sprintf("process %d", pid)
	}
	s, err := startSession(v, pid, o)
	if err != nil {
		p.kill()
		v.abandon()
		return exitCannot, err
	}
	ended := make(chan struct{})
	if p != nil {
		if err := p.release(); err != nil {
			p.kill()
			return exitCannot, cmp.Or(err, v.close(s))
		}
		go func() { p.wait(); close(ended) }()
	} else {
		go func() { awaitExit(pid); close(ended) }()
	}
	v.progress(s, ended, signals, p)
	defer e.endBy(signals)()
	err = v.close(s)
	if left := s.Living(); p != nil && len(left) > 0 {
		fmt.Fprintf(e.stderr, "efdtrace run: the program has ended; its remaining processes go on unobserved: %s\n", pidList(left))
	}
	if err != nil {
		return exitCannot, err
	}
	if p != nil {
		return p.status(), nil
	}
	return exitOK, nil
}

// close ends the observation and shows its end. Its error is the first one: a
// failed read or write mostly fails again.
func (v *view) close(s *observe.Session) error {
	pipe, err := s.Stop()
	return cmp.Or(err, v.end(pipe))
}

// textMemory is the amount from which on the garbage collector works harder, of
// the 64 MB that an observation may take.
const textMemory = 40 << 20

func startSession(v *view, pid int, ro *runOptions) (*observe.Session, error) {
	k, table, err := observe.ThisKernel()
	if err != nil {
		return nil, access.AllMissing(err)
	}
	v.kernel = k
	// Without it only the reviewed facts on tail calls and inlining are known.
	if text, err := ktext.Open(table); err == nil {
		k.Text = &record.TextNotes{From: text}
	}
	o := observe.Options{PIDs: []int{pid}, Calls: true, Watch: ro.watch, OnWake: v.wake, OnCall: v.call, OnChange: v.change, OnBatch: v.flush}
	if ro.trace {
		if o.Functions, o.NoFunctions = k.OpenFunctions(table, observe.TraceReading); o.NoFunctions == nil {
			v.traced(o.Functions.Witness)
		}
	}
	var failed error
	if v.format == "recording" {
		h := record.NewHeader(k.Symbols, k.Functions())
		o.Opened = func(s *observe.Session) (observe.Recorder, error) {
			recorded.Sources(&h, s.Functions(), s.Watches(), s.Without())
			v.rec, failed = record.NewNamed(v.file, v.file.name, h, recordOptions(ro.anonymous))
			return v.rec, failed
		}
	}
	s, err := observe.StartOn(k, table, o)
	if err != nil {
		return nil, err
	}
	if failed != nil {
		s.Stop()
		return nil, failed
	}
	if s.NoTrace != nil {
		v.untraced(s.NoTrace)
	}
	return s, nil
}

// untraced says why functions are not traced: the rest goes on without.
func (v *view) untraced(err error) {
	fmt.Fprintf(v.env.stderr, "efdtrace run: -trace: functions are not traced: %v\n", err)
}

// program is the program that run started.
type program struct {
	cmd *exec.Cmd
	err error
}

// start starts the program, stopped at its first instruction.
func start(e *env, o *runOptions) (*program, error) {
	cmd := exec.Command(o.program[0], o.program[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.stdin, underlying(e.stdout), underlying(e.stderr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if o.asUser {
		if err := as(cmd, o.user); err != nil {
			return nil, err
		}
		if err := noMoreFiles(); err != nil {
			return nil, err
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, untraceable(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(cmd.Process.Pid, &ws, unix.WALL, nil); err != nil || !ws.Stopped() {
		cmd.Process.Kill()
		return nil, fmt.Errorf("start of %s: not stopped (%v)", o.program[0], err)
	}
	return &program{cmd: cmd}, nil
}

// noMoreFiles sets close-on-exec for every descriptor above 2.
func noMoreFiles() error {
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	// Before Linux 5.11.
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("-u: descriptors above 2 would be kept: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// pidList is a list of process IDs that stays on a line.
func pidList(pids []int) string {
	var names []string
	for _, p := range pids {
		names = append(names, strconv.Itoa(p))
	}
	return "process " + some(names)
}

// recordOptions are those of a recording.
func recordOptions(anonymous bool) record.Options {
	if anonymous {
		return record.Anonymous
	}
	return record.Options{}
}

// untraceable names the refused operation if a program cannot be started: it
// starts traced, and that may be the reason and not its file.
func untraceable(err error) error {
	if !refusal(err) {
		return err
	}
	// Of this program it is known that it may be executed.
	self := exec.Command("/proc/self/exe")
	self.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if refused := self.Start(); !refusal(refused) {
		if refused == nil {
			self.Process.Kill()
			self.Wait()
		}
		return err
	}
	by := "a seccomp filter or a security module does that"
	if b, err := os.ReadFile("/proc/self/status"); err == nil {
		_, rest, _ := strings.Cut(string(b), "TracerPid:")
		if pid, _, _ := strings.Cut(strings.TrimSpace(rest), "\n"); pid != "0" && pid != "" {
			by = "process " + pid + " traces efdtrace and its children: start efdtrace outside of it"
		}
	}
	return fmt.Errorf("%w: ptrace(PTRACE_TRACEME) is refused, with which the program starts stopped: %s", errNoPtrace, by)
}

// refusal reports whether err may be ptrace's: a seccomp filter gives the errno
// that it likes, and commonly one of these.
func refusal(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS)
}

var errNoPtrace = errors.New("program not started")

var errNoUser = errors.New("no such user")

// as makes the program run as another user, with that user's groups and home.
func as(cmd *exec.Cmd, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return fmt.Errorf("-u %s: %w", name, errNoUser)
		}
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	cred := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if ids, err := u.GroupIds(); err == nil {
		for _, id := range ids {
			if g, err := strconv.ParseUint(id, 10, 32); err == nil {
				cred.Groups = append(cred.Groups, uint32(g))
			}
		}
	}
	cmd.SysProcAttr.Credential = cred
	cmd.Env = append(os.Environ(), "HOME="+u.HomeDir, "USER="+u.Username, "LOGNAME="+u.Username)
	return nil
}

// release lets the program run, no longer traced. It may have been killed
// since.
func (p *program) release() error {
	if err := unix.PtraceDetach(p.cmd.Process.Pid); err != unix.ESRCH {
		return err
	}
	return nil
}

func (p *program) wait() { p.err = p.cmd.Wait() }

func (p *program) kill() {
	if p != nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}

// status is the program's: 128 + n if signal n killed it.
func (p *program) status() int {
	ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// startStatus is a shell's exit status for a program that it cannot start.
func startStatus(err error) int {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return 127
	case errors.Is(err, os.ErrPermission):
		return 126
	case errors.Is(err, errNoUser):
		return exitUsage
	}
	return exitCannot
}

// awaitExit returns when a process that is no child has ended.
func awaitExit(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		for unix.Kill(pid, 0) != unix.ESRCH {
			time.Sleep(100 * time.Millisecond)
		}
		return
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

// progress waits for the program's end, or for the user's.
func (v *view) progress(s *observe.Session, ended <-chan struct{}, signals <-chan os.Signal, p *program) {
	show := progress(v.env.stderr)
	defer show("")
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	var asked int
	var patience <-chan time.Time
	var last os.Signal
	observed := s.Ended()
	for {
		select {
		case <-ended:
			return
		case <-observed:
			if p == nil {
				return // with an error that Stop has
			}
			observed = nil
			_, err := s.Stop()
			fmt.Fprintf(v.env.stderr, "efdtrace run: %v; the program goes on, no longer observed\n", err)
		case last = <-signals:
			if p == nil {
				return
			}
			// From a terminal the program has the signal too, and decides itself
			// whether to end. If it was for this process alone, it is passed on.
			if asked++; asked > 1 {
				p.cmd.Process.Kill()
			}
			patience = time.After(300 * time.Millisecond)
		case <-patience:
			p.cmd.Process.Signal(last)
		case <-tick.C:
			if v.file != nil {
				show(fmt.Sprintf("%s, %s", time.Since(began).Round(time.Second), count.Of(v.count(), "wake")))
			}
		}
	}
}
