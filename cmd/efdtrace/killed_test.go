//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/asleep"
	"golang.org/x/sys/unix"
)

// victims is how many processes are killed.
const victims = 10

// reaperProgram polls the pidfds of processes that are killed while they run
// in user space, and reports their PIDs.
func reaperProgram(string) {
	runtime.LockOSThread()
	self := unix.Gettid()
	var pids []int
	for range victims {
		fd := -1
		cmd := exec.Command("/bin/sh", "-c", "while :; do :; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &fd, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		pids = append(pids, cmd.Process.Pid)
		ctx, cancel := context.WithTimeout(context.Background(), asleep.Patience(10*time.Second))
		go func() {
			err := asleep.Await(ctx, os.Getpid(), self, unix.SYS_PPOLL)
			for err == nil && !hasRun(cmd.Process.Pid) {
				err = ctx.Err()
				time.Sleep(time.Millisecond)
			}
			cmd.Process.Kill()
			if err != nil {
				panic(fmt.Sprintf("process %d was to run, and its poller to sleep: %v", cmd.Process.Pid, err))
			}
		}()
		for {
			if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, nil, nil); err != unix.EINTR {
				break
			}
		}
		cmd.Wait()
		cancel()
		unix.Close(fd)
	}
	tell("victims", pids)
}

// hasRun reports whether a process spent a tick in user space.
func hasRun(pid int) bool {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	const utime = 14 - 3
	return len(f) > utime && f[utime] != "0"
}

// A process that dies of a signal, on its way back from an interrupt, wakes who
// polls its pidfd itself.
func TestRunNamesTheKilled(t *testing.T) {
	needPerf(t)
	if _, err := exec.LookPath("/bin/sh"); err != nil {
		t.Skipf("needs /bin/sh: %v", err)
	}
	out, stderr := observeTestProgram(t, "reaper")
	var pids []int
	told(t, stderr, "victims", &pids)
	of := regexp.MustCompile(`(?m)^ *[0-9.]+  (\S+)( \S+)?( \(\w+\))? woke \d+ \S+ in ppoll through pollwake`)
	by := map[string]int{}
	for _, m := range of.FindAllStringSubmatch(out, -1) {
		by[m[1]+m[2]]++
		if m[1] == "a" {
			t.Errorf("not an interrupt's wake: %s", m[0])
		}
	}
	named := 0
	for _, pid := range pids {
		named += by[fmt.Sprint(pid, " sh")]
	}
	if lost := lostOf(out); named < victims && len(lost) == 0 {
		t.Errorf("%d of %d wakes are named: %v\n%s", named, victims, by, out)
	}
}
