//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/plain"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// zombie is a process that has ended and that nobody has waited for.
func zombie(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	testenv.Start(t, cmd)
	t.Cleanup(func() { cmd.Wait() })
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// TestOutputThatWasThere: where nothing could be observed no file is left that
// was made for it, and none is gone that was there before: root may have named
// a device.
func TestOutputThatWasThere(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "link.rec"} {
		if err := os.Symlink("file", at(name)); err != nil {
			t.Fatal(err)
		}
	}
	gone := strconv.Itoa(zombie(t))
	for _, args := range [][]string{
		{"run", "-o", at("link"), "-p", gone},
		{"run", "-o", at("link.rec"), "-format", "recording", "-p", gone},
		{"run", "-o", at("new"), "-p", gone},
		{"run", "-o", at("new"), "-format", "recording", "-p", gone},
		{"replay", "-o", at("link"), at("none")},
		{"replay", "-o", at("new"), at("none")},
	} {
		if status, _, stderr := invoke(t, args...); status != exitCannot {
			t.Errorf("%v: status %d: %s", args, status, stderr)
		}
		for name, want := range map[string]bool{"file": true, "link": true, "link.rec": true, "new": false} {
			if _, err := os.Lstat(at(name)); (err == nil) != want {
				t.Fatalf("%v: %s: %v; want it there: %v", args, name, err, want)
			}
		}
	}
}

// TestNotAProcess: what -p cannot attach to is named as what it is.
func TestNotAProcess(t *testing.T) {
	needPerf(t)
	thread := strconv.Itoa(otherThread(t))
	for what, want := range map[string]string{
		strconv.Itoa(zombie(t)): "has ended",
		thread:                  "is a thread of process " + strconv.Itoa(os.Getpid()),
	} {
		if status, _, stderr := invoke(t, "run", "-p", what); status != exitCannot || !strings.Contains(stderr, want) {
			t.Errorf("-p %s: status %d: %s; want %q", what, status, stderr, want)
		}
	}
}

// otherThread is a thread of this process that does not lead it.
func otherThread(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil && tid != os.Getpid() {
			return tid
		}
	}
	t.Fatal("no thread beside the first")
	return 0
}

// TestNamesOnATerminal: a program's name for itself and a file's reach no
// terminal as they are.
func TestNamesOnATerminal(t *testing.T) {
	const name = "\x1b[2J\n\u009b1m"
	var w observe.Wake
	w.FD, w.Object = -1, name
	w.Waker, w.Wakee = observe.Side{TID: 1, Comm: name}, observe.Side{TID: 2, Comm: name}
	line := wakeLine(&observe.Judged{Wake: &w, WakeeSyscall: "poll"})
	if want := strings.Repeat(`\x1b[2J\n\u009b1m `, 3); strings.Count(line, `\x1b[2J\n\u009b1m`) != 3 || strings.ContainsAny(line, name[:1]+"\n\u009b") {
		t.Errorf("%q, want %q three times", line, want)
	}
	if s := plain.Text(`a "name" of c:\`); s != `a "name" of c:\` {
		t.Errorf("%q", s)
	}
}
