//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// childOf waits for a child of a process that is stopped or asleep.
func childOf(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		files, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, f := range files {
			b, _ := os.ReadFile(f)
			_, rest, _ := strings.Cut(string(b), ") ")
			if s := strings.Fields(rest); len(s) > 1 && s[1] == fmt.Sprint(pid) && strings.Contains("tTS", s[0]) {
				return
			}
		}
	}
	t.Fatalf("process %d started nothing", pid)
}

// TestSignalAtTheBeginning: a signal that comes while the observation is made
// ready, the program stopped, ends both, and with a report.
func TestSignalAtTheBeginning(t *testing.T) {
	needPerf(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			t.Logf("%v is ignored here", sig)
			continue
		}
		cmd := efdtrace(t, "", "run", "--", "sleep", "60")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.WaitDelay = time.Second
		testenv.Start(t, cmd)
		childOf(t, cmd.Process.Pid)
		cmd.Process.Signal(sig)
		cmd.Wait()
		if got, want := cmd.ProcessState.ExitCode(), 128+int(sig); got != want || !strings.Contains(out.String(), "0 wakes") {
			t.Errorf("%v: %v, %q; want the report, and status %d", sig, cmd.ProcessState, out.String(), want)
		}
	}
}

// TestRecordingThatEnds: where the recording can no longer be written the
// program is told of, and waited for.
func TestRecordingThatEnds(t *testing.T) {
	needPerf(t)
	dir := t.TempDir()
	fifo := filepath.Join(dir, "recording")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	cmd := efdtrace(t, "pingpong 1s", "run", "-o", fifo, "-format", "recording", "--", os.Args[0])
	cmd.Env, cmd.Stderr = append(cmd.Env, "GODEBUG=asyncpreemptoff=1"), stderr
	testenv.Start(t, cmd)
	readTo(t, fifo, `{"event":`)
	err = cmd.Wait()
	said, rerr := os.ReadFile(stderr.Name())
	if rerr != nil {
		t.Fatal(rerr)
	}
	ended, _ := err.(*exec.ExitError)
	if ended == nil || ended.ExitCode() != exitCannot {
		t.Fatalf("%v, want status %d: %s", err, exitCannot, said)
	}
	var sides []side
	told(t, string(said), "sides", &sides)
	if s := string(said); !strings.Contains(s, "no longer observed") || strings.Contains(s, "kept in") || strings.Count(s, "broken pipe") != 2 {
		t.Errorf("said: %s", s)
	}
}

// readTo reads a file up to a line that begins so.
func readTo(t *testing.T, file, begin string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, begin) {
			return
		}
	}
}

// TestVerifyEnded: a signal ends verify with what it kept in one piece.
func TestVerifyEnded(t *testing.T) {
	needPerf(t)
	testenv.Shared(t, "watchpoints")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			t.Logf("%v is ignored here", sig)
			continue
		}
		file := filepath.Join(t.TempDir(), "recording")
		cmd := efdtrace(t, "", "verify", "-o", file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said, stderr strings.Builder
		cmd.Stderr = &stderr
		testenv.Start(t, cmd)
		lines := bufio.NewScanner(io.TeeReader(out, &said))
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "ok") { // the first trial was added
		}
		if !strings.HasPrefix(lines.Text(), "ok") {
			t.Fatalf("verify ended before the signal: %s%s", stderr.String(), said.String())
		}
		cmd.Process.Signal(sig)
		for lines.Scan() {
		}
		cmd.Wait()
		if got, want := cmd.ProcessState.ExitCode(), 128+int(sig); got != want {
			t.Errorf("%v: %v, want status %d: %s%s", sig, cmd.ProcessState, want, stderr.String(), said.String())
		}
		if status, _, stderr := invoke(t, "replay", file); status != exitOK || stderr != "" {
			t.Errorf("%v: status %d of replay: %s", sig, status, stderr)
		}
	}
}

// TestVerifyEndedAsItWrites: a signal that ends verify while it writes the last
// of a recording, to a pipe that nobody reads, is its status.
func TestVerifyEndedAsItWrites(t *testing.T) {
	needPerf(t)
	testenv.Shared(t, "watchpoints")
	file := fifo(t)
	reader, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	size, err := unix.FcntlInt(reader.Fd(), unix.F_SETPIPE_SZ, 4096)
	if err != nil {
		t.Fatal(err)
	}
	cmd := efdtrace(t, "", "verify", "-o", file, "-no-tracer", "ppoll")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	testenv.Start(t, cmd)
	testenv.Until(t, "a full pipe", func() bool {
		n, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCINQ)
		return err == nil && n == size
	})
	cmd.Process.Signal(syscall.SIGINT)
	if got := within(t, cmd, 30*time.Second, "an interrupt"); got != 130 {
		t.Errorf("status %d, want 130: %s", got, said.String())
	}
	if !strings.Contains(said.String(), "efdtrace verify: interrupted") {
		t.Errorf("said: %s", said.String())
	}
}
