//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/efd-go/efd/internal/adversary/hostile"
	"golang.org/x/sys/unix"
)

// environment is where a command runs: conditions, or namespaces.
type environment struct {
	name       string
	conditions []string
	namespaces uintptr
	root       bool // it takes root to make it
}

func refused(errno unix.Errno, nrs ...int) string {
	var pairs []string
	for _, nr := range nrs {
		pairs = append(pairs, fmt.Sprintf("%d=%d", nr, int(errno)))
	}
	return "refuse:" + strings.Join(pairs, ",")
}

// environments that there are; short ones first.
func allEnvironments(short bool) []environment {
	one := func(name string, conditions ...string) environment {
		return environment{name: name, conditions: conditions}
	}
	all := []environment{
		one("as it is"), one("no environment", "noenv"), one("12 descriptors", "nofile:12"), one("24 descriptors", "nofile:24"), one("32 descriptors", "nofile:32"),
		one("no locked memory", "memlock:0"), one("no standard input", "close:0"),
		one("perf_event_open refused", refused(unix.EPERM, unix.SYS_PERF_EVENT_OPEN)),
		one("ppoll refused", refused(unix.EPERM, unix.SYS_PPOLL)), one("no ppoll", refused(unix.ENOSYS, unix.SYS_PPOLL)),
		one("no eventfd", refused(unix.EPERM, unix.SYS_EVENTFD2)), one("no ptrace", refused(unix.EPERM, unix.SYS_PTRACE)),
		one("no bpf, fsopen, mounts", refused(unix.EPERM, unix.SYS_BPF, unix.SYS_FSOPEN, unix.SYS_FSMOUNT)),
		{name: "user namespace", namespaces: unix.CLONE_NEWUSER},
		{name: "PID namespace, foreign /proc", namespaces: unix.CLONE_NEWPID, root: true},
		{name: "no /proc", conditions: []string{"noproc"}, root: true},
		{name: "no /sys", conditions: []string{"nosys"}, root: true},
		{name: "another user", conditions: []string{"user:65534"}, root: true},
	}
	last := 40
	if short {
		last = 0
		all = append(all, environment{name: "without CAP_IPC_LOCK", conditions: []string{"drop:14"}, root: true})
	}
	for c := range last {
		all = append(all, environment{name: fmt.Sprintf("without capability %d", c), conditions: []string{fmt.Sprint("drop:", c)}, root: true})
	}
	for _, nr := range []int{unix.SYS_STATX, unix.SYS_OPENAT2, unix.SYS_EPOLL_PWAIT2, unix.SYS_CLOSE_RANGE, unix.SYS_PIDFD_OPEN, unix.SYS_SCHED_SETATTR, unix.SYS_MLOCK} {
		if !short {
			all = append(all, one(fmt.Sprintf("system call %d refused", nr), refused(unix.EPERM, nr)), one(fmt.Sprintf("no system call %d", nr), refused(unix.ENOSYS, nr)))
		}
	}
	return all
}

// environments runs the sub-commands in each. Nothing that is refused is a
// finding.
func (a *attack) environments() {
	self, err := os.Executable()
	if err != nil {
		a.fatal(err)
	}
	for _, e := range allEnvironments(a.short) {
		if e.root && os.Geteuid() != 0 {
			fmt.Printf("skipped, since it takes root: %s\n", e.name)
			continue
		}
		run := func(args ...string) (string, outcome) {
			cmd := a.command(e.conditions, args...)
			if e.namespaces != 0 {
				hostile.Namespaces(cmd, e.namespaces)
			}
			return fmt.Sprintf("%s: efdtrace %s", e.name, strings.Join(args, " ")), a.run(120*time.Second, cmd)
		}
		what, o := run("verify", "-json", "ppoll", "read", "timeout_ppoll")
		if a.sane(what, o, 0, 3) {
			a.noFinding(what, o)
		}
		what, o = run("demo", "ppoll")
		if usable := !strings.Contains(o.stderr, "Go's runtime needs it"); usable {
			a.sane(what, o, 0)
		} else {
			a.sane(what, o, 3)
		}
		what, o = run("run", "--", self, "pingpong")
		if a.sane(what, o, 7, 3, 125, 126) && (strings.Contains(o.stdout, "undocumented") || strings.Contains(o.stdout, "contradicted")) {
			a.broke(what, o, "a finding")
		}
		if !a.short {
			what, o = run("run", "-watch", "--", self, "pingpong")
			a.sane(what, o, 7, 3, 125, 126)
			what, o = run("learn", "poll")
			a.sane(what, o, 0, 3)
		}
		what, o = run("doctor", "-json")
		if a.sane(what, o, 0, 3) && o.status == 0 && !json.Valid([]byte(o.stdout)) {
			a.broke(what, o, "no JSON")
		}
	}
}

// noFinding reports a verdict against the documented paths.
func (a *attack) noFinding(what string, o outcome) {
	var v struct {
		Scenarios []struct {
			Name, Status, Reason string
			Edges                []struct{ Caller, Callee, Verdict string }
		}
	}
	if o.stdout == "" && o.status == 3 {
		return
	}
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil {
		a.broke(what, o, "JSON: %v", err)
		return
	}
	for _, s := range v.Scenarios {
		if s.Status == "failed" {
			a.broke(what, o, "%s failed: %s", s.Name, s.Reason)
		}
		for _, e := range s.Edges {
			if e.Verdict == "contradicted" || e.Verdict == "undocumented" {
				a.broke(what, o, "%s: %s -> %s %s", s.Name, e.Caller, e.Callee, e.Verdict)
			}
		}
	}
}

// pingPong is the program that is observed: two threads that wake each other.
func pingPong() int {
	var fds [2]int
	for i := range fds {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			fmt.Fprintln(os.Stderr, "eventfd2:", err)
			return 7
		}
		fds[i] = fd
	}
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	var wg sync.WaitGroup
	for side := range fds {
		wg.Go(func() {
			for range 3 {
				if side == 0 {
					unix.Write(fds[0], one)
				}
				p := []unix.PollFd{{Fd: int32(fds[1-side]), Events: unix.POLLIN}}
				for {
					if _, err := unix.Poll(p, 5000); err != unix.EINTR {
						break
					}
				}
				unix.Read(fds[1-side], make([]byte, 8))
				if side == 1 {
					unix.Write(fds[1], one)
				}
			}
		})
	}
	wg.Wait()
	return 7
}

// outputs attacks with outputs that fail writes, or lead elsewhere.
func (a *attack) outputs() {
	log, fifo := a.dir+"/log", a.dir+"/fifo"
	if err := os.WriteFile(log, []byte("100 1.0 eventfd2(0, 0) = 3 <0.00001>\n"), 0o600); err != nil {
		a.fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		a.fatal(err)
	}
	for _, args := range [][]string{{"explain", "-o", fifo, log}, {"explain", "-format", "html", "-o", fifo, log}, {"verify", "-o", fifo, "ppoll"}, {"run", "-o", fifo, "--", "/proc/self/exe"}, {"run", "-format", "html", "-o", fifo, "--", "/proc/self/exe"}} {
		for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
			cmd := a.command(nil, args...)
			time.AfterFunc(time.Second, func() { cmd.Process.Signal(sig) })
			a.sane(fmt.Sprintf("%v, FIFO without a reader, %v", args, sig), a.run(8*time.Second, cmd), 128+int(sig))
		}
	}
	for _, args := range [][]string{{"path", "ppoll"}, {"explain", log}, {"demo", "ppoll"}, {"doctor"}} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			a.fatal(err)
		}
		cmd := a.command(nil, args...)
		cmd.Stdout = full
		a.sane(fmt.Sprintf("%v > /dev/full", args), a.run(60*time.Second, cmd), 3)
		full.Close()
		for _, fd := range []string{"close:0", "close:1", "close:2"} {
			a.sane(fmt.Sprintf("%v with %s", args, fd), a.run(60*time.Second, a.command([]string{fd}, args...)), 0, 3)
		}
	}
	for _, out := range []string{log, a.dir + "/hard", a.dir + "/soft"} {
		switch out {
		case a.dir + "/hard":
			os.Link(log, out)
		case a.dir + "/soft":
			os.Symlink(log, out)
		}
		a.sane("explain -o its input", a.run(20*time.Second, a.command(nil, "explain", "-o", out, log)), 3)
	}
	a.foreignLink(log)
	if b, err := os.ReadFile(log); err != nil || len(b) == 0 {
		a.broke("explain -o its input", outcome{}, "the input has %d bytes left: %v", len(b), err)
	}
}

// foreignLink has a link of another user lead to a file.
func (a *attack) foreignLink(log string) {
	if os.Geteuid() != 0 {
		return
	}
	victim, link := a.dir+"/victim", a.dir+"/theirs"
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		a.fatal(err)
	}
	if err := os.Symlink(victim, link); err != nil {
		a.fatal(err)
	}
	if err := os.Lchown(link, 65534, 65534); err != nil {
		a.fatal(err)
	}
	for _, args := range [][]string{{"explain", "-o", link, log}, {"run", "-o", link, "--", "/bin/true"}, {"verify", "-o", link, "ppoll"}} {
		o := a.run(60*time.Second, a.command(nil, args...))
		a.sane(fmt.Sprintf("%v, a link of another user", args), o, 3)
		if b, _ := os.ReadFile(victim); string(b) != "precious" {
			a.broke(fmt.Sprint(args), o, "overwrote where a link of another user leads")
		}
	}
}
