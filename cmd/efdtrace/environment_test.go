//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/adversary/hostile"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// in is this binary as the command in an environment.
func in(conditions []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "EFDTRACE_TEST_PROGRAM=hostile "+strings.Join(conditions, " "))
	if slices.Contains(conditions, "pidns") {
		cmd.Env[len(cmd.Env)-1] = "EFDTRACE_TEST_PROGRAM=efdtrace "
		hostile.Namespaces(cmd, unix.CLONE_NEWPID)
	}
	return cmd
}

func refused(nr int, errno unix.Errno) string { return fmt.Sprintf("refuse:%d=%d", nr, int(errno)) }

// ppollRefused refuses ppoll, and ppoll_time64, which a program of 32 bits calls.
func ppollRefused(errno unix.Errno) string {
	s := refused(unix.SYS_PPOLL, errno)
	if strconv.IntSize == 32 {
		time64 := 414
		if unix.SYS_READ > 4000 { // mips counts from there
			time64 += 4000
		}
		s += fmt.Sprintf(",%d=%d", time64, int(errno))
	}
	return s
}

// ended runs a command to its end.
func ended(t *testing.T, cmd *exec.Cmd) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	testenv.Start(t, cmd)
	status = within(t, cmd, 90*time.Second, "an environment that refuses something")
	return status, out.String(), errs.String()
}

// environments are those in which the calls of a scenario cannot be made or
// followed.
func environments(t *testing.T) [][]string {
	all := [][]string{{"nofile:12"}, {"nofile:24"}}
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS} {
		all = append(all, []string{ppollRefused(errno)}, []string{refused(unix.SYS_EVENTFD2, errno)})
	}
	if os.Geteuid() != 0 {
		t.Log("without root no /proc can be taken away, and no PID namespace made")
		return all
	}
	return append(all, []string{"noproc"}, []string{"pidns"})
}

// TestEnvironmentIsNoFinding: what an environment refuses says nothing of the
// kernel's paths.
func TestEnvironmentIsNoFinding(t *testing.T) {
	if err := observe.Observable(runtime.GOARCH); err != nil {
		t.Skip(err)
	}
	testenv.Shared(t, "watchpoints")
	for _, conditions := range environments(t) {
		status, stdout, stderr := ended(t, in(conditions, "verify", "ppoll"))
		// How many descriptors it takes depends on how much can be observed here.
		if few := strings.HasPrefix(conditions[0], "nofile:"); status != exitCannot && !(few && status == exitOK) {
			t.Errorf("%v: verify: status %d, want %d: %s%s", conditions, status, exitCannot, stdout, stderr)
		}
		if s := stdout + stderr; strings.Contains(s, "goroutine ") || strings.HasPrefix(s, "failed") || strings.Contains(s, "\nfailed") {
			t.Errorf("%v: verify: %s", conditions, s)
		}
		if slices.Contains(conditions, ppollRefused(unix.EPERM)) && !strings.Contains(stdout, "operation not permitted") {
			t.Errorf("%v: verify does not say why: %s", conditions, stdout)
		}
		status, stdout, stderr = ended(t, in(conditions, "demo", "ppoll"))
		usable := !strings.Contains(stderr, "Go's runtime needs it")
		if usable && (status != exitOK || !strings.Contains(stdout, "pollwake")) || !usable && status != exitCannot {
			t.Errorf("%v: demo: status %d: %s%s", conditions, status, stdout, stderr)
		}
	}
}

// TestDeniedSaysWhy: the first scenario that is skipped has the reason, and the
// others have it no more.
func TestDeniedSaysWhy(t *testing.T) {
	if err := observe.Observable(runtime.GOARCH); err != nil {
		t.Skip(err)
	}
	cmd := in([]string{refused(unix.SYS_PERF_EVENT_OPEN, unix.EPERM)}, "verify", "ppoll", "read", "epoll_wait")
	status, stdout, stderr := ended(t, cmd)
	if status != exitCannot || strings.Count(stdout, "\nskipped ") != 3 {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	scenarios, summary, _ := strings.Cut(stdout, "\n\n")
	lines := strings.Split(scenarios, "\n")
	if !strings.HasPrefix(lines[1], "skipped ") || !strings.HasPrefix(lines[2], "    ") || !strings.Contains(summary, "What is missing: ") {
		t.Errorf("the first that is skipped has no reason:\n%s", stdout)
	}
	if last := lines[len(lines)-2:]; !strings.HasPrefix(last[0], "skipped ") || !strings.HasPrefix(last[1], "skipped ") {
		t.Errorf("the reason is said more than once:\n%s", stdout)
	}
}

// TestLessonSaysWhy: a call that is refused is the reason, and not that its
// thread is gone.
func TestLessonSaysWhy(t *testing.T) {
	status, stdout, stderr := ended(t, in([]string{ppollRefused(unix.EPERM)}, "learn", "poll"))
	if status != exitCannot || !strings.Contains(stderr, "operation not permitted") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// TestPtraceRefused: it is ptrace that is refused, and not the program.
func TestPtraceRefused(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.ENOSYS} {
		status, _, stderr := ended(t, in([]string{refused(unix.SYS_PTRACE, errno)}, "run", "--", "true"))
		if status != exitCannot || !strings.Contains(stderr, "PTRACE_TRACEME") {
			t.Errorf("ptrace refused with %v: status %d: %s", errno, status, stderr)
		}
	}
}

// TestInterrupted: the status of an interrupt is 130 in every command.
func TestInterrupted(t *testing.T) {
	testenv.Shared(t, "watchpoints")
	for _, args := range [][]string{{"demo"}, {"verify"}, {"learn", "-all"}} {
		cmd := efdtrace(t, "", args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		testenv.Start(t, cmd)
		lines := bufio.NewScanner(out)
		lines.Scan()
		cmd.Process.Signal(syscall.SIGINT)
		for lines.Scan() {
		}
		if got := within(t, cmd, 30*time.Second, "an interrupt"); got != 130 {
			t.Errorf("%v: status %d", args, got)
		}
	}
}

// TestLeftRunning: what a program leaves running is named.
func TestLeftRunning(t *testing.T) {
	needPerf(t)
	cmd := efdtrace(t, "", "run", "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!; exit 4")
	status, stdout, stderr := ended(t, cmd)
	pid, _, _ := strings.Cut(stdout, "\n")
	if status != 4 || !strings.Contains(stderr, "go on unobserved: process "+pid+"\n") {
		t.Errorf("status %d, process %s: %s", status, pid, stderr)
	}
	var n int
	if fmt.Sscan(pid, &n); n > 1 {
		unix.Kill(n, unix.SIGKILL)
	}
	if _, _, stderr := ended(t, efdtrace(t, "", "run", "--", "sh", "-c", "sleep 0; true")); strings.Contains(stderr, "unobserved") {
		t.Errorf("nothing is left: %s", stderr)
	}
}

// TestAnonymous: such a recording has neither names nor arguments, and claims
// none.
func TestAnonymous(t *testing.T) {
	needPerf(t)
	file := filepath.Join(t.TempDir(), "recording")
	for _, args := range [][]string{
		{"run", "-anonymous", "-format", "recording", "-o", file, "--", os.Args[0]},
		{"verify", "-anonymous", "-o", file, "ppoll", "epoll_wait", "read"},
	} {
		cmd := efdtrace(t, "pingpong 100ms", args...)
		cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1")
		if status, _, stderr := ended(t, cmd); status != exitOK {
			t.Fatalf("%v: status %d: %s", args, status, stderr)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, never := range []string{filepath.Base(os.Args[0]), `"comm"`, `"target_comm"`, `"args":[`, "ppoll([", "EFD_"} {
			rest := strings.Replace(string(b), `"stripped":["comm","args"]`, "", 1)
			if strings.Contains(rest, never) {
				t.Errorf("%v: has %s", args, never)
			}
		}
		for _, format := range replayForms() {
			status, stdout, stderr := invoke(t, "replay", "-format", format, file)
			if status != exitOK || !strings.Contains(stdout, "pollwake") {
				t.Errorf("%v: replay: status %d: %s%s", args, status, stdout, stderr)
			}
			for _, never := range []string{"(0", "NULL", `"fd":0`} {
				if format != "html" && strings.Contains(stdout, never) {
					t.Errorf("%v: replay -format %s has %s, and it is not known", args, format, never)
				}
			}
		}
		r, err := record.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		os.Remove(file)
	}
}

// TestAnonymousUsage: only a recording can be.
func TestAnonymousUsage(t *testing.T) {
	for _, args := range [][]string{{"run", "-anonymous", "--", "true"}, {"run", "-anonymous", "-format", "html", "-o", "x", "--", "true"}, {"verify", "-anonymous"}, {"verify", "-anonymous", "-o", "x", "-format", "text"}, {"run", "-u", "", "--", "true"}, {"run", "-u", "", "-p", "1"}} {
		if status, _, stderr := invoke(t, args...); status != exitUsage || stderr == "" {
			t.Errorf("%q: status %d: %s", args, status, stderr)
		}
	}
}
