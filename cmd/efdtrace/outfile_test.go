//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// goldenRecording is a recording without findings.
const goldenRecording = "../../testdata/recordings/6.18.44/ppoll.jsonl.gz"

func fifo(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// says waits until a command has written something to its standard error.
func says(t *testing.T, stderr *os.File, want string) {
	t.Helper()
	stderr.SetReadDeadline(time.Now().Add(30 * time.Second))
	if line, err := bufio.NewReader(stderr).ReadString('\n'); !strings.Contains(line, want) {
		t.Fatalf("%q, %v; want %q within 30 s", line, err, want)
	}
}

// within waits for a command's end.
func within(t *testing.T, cmd *exec.Cmd, limit time.Duration, what string) int {
	t.Helper()
	testenv.EndsWithin(t, limit, cmd, what)
	cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

var logLine = "100 1.0 eventfd2(0, 0) = 3 <0.00001>\n"

// fifoCommands are those with -o, in each form.
func fifoCommands(t *testing.T) (all [][]string) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte(logLine), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range formats {
		all = append(all, []string{"run", "-format", f, "--", "true"}, []string{"verify", "-format", f, "ppoll"})
		if f != "recording" {
			all = append(all, []string{"replay", "-format", f, goldenRecording}, []string{"explain", "-format", f, log})
		}
	}
	return all
}

func withOutput(args []string, file string) []string {
	return append([]string{args[0], "-o", file}, args[1:]...)
}

// TestFIFOWithoutReader: a signal ends the wait for a FIFO's reader, and no
// program was started for it.
func TestFIFOWithoutReader(t *testing.T) {
	testenv.Shared(t, "watchpoints")
	signals := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup, and then by the command too
		signals = append(signals, syscall.SIGHUP)
	}
	for i, args := range fifoCommands(t) {
		sig := signals[i%len(signals)]
		cmd := efdtrace(t, "", withOutput(args, fifo(t))...)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = w
		testenv.Start(t, cmd)
		w.Close()
		says(t, r, "waits for a reader")
		cmd.Process.Signal(sig)
		if got, want := within(t, cmd, readerLimit-time.Second, "a FIFO without a reader"), 128+int(sig); got != want {
			t.Errorf("%v: status %d after %v, want %d", args, got, sig, want)
		}
		r.Close()
	}
}

// TestFIFOOfNobody: without a signal the wait has a limit.
func TestFIFOOfNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the limit")
	}
	status, _, stderr := invoke(t, "replay", "-o", fifo(t), goldenRecording)
	if status != exitCannot || !strings.Contains(stderr, "nobody opened the FIFO for reading within") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// TestFIFOReader: a reader that comes gets all.
func TestFIFOReader(t *testing.T) {
	name := fifo(t)
	got := make(chan []byte, 1)
	go func() {
		b, _ := os.ReadFile(name)
		got <- b
	}()
	if status, _, stderr := invoke(t, "replay", "-o", name, goldenRecording); status != exitOK {
		t.Fatalf("status %d: %s", status, stderr)
	}
	_, want, _ := invoke(t, "replay", goldenRecording)
	if b := testenv.Receive(t, got, "what the FIFO gives"); string(b) != want {
		t.Errorf("%d bytes arrived, want %d", len(b), len(want))
	}
}

// TestFIFOThatIsNotRead: a reader that stops reading keeps a signal from
// nothing.
func TestFIFOThatIsNotRead(t *testing.T) {
	needPerf(t)
	name := fifo(t)
	cmd := efdtrace(t, "pingpong 60s", "run", "-o", name, "--", os.Args[0])
	cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1")
	testenv.Start(t, cmd)
	r, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ); err == nil && n >= 60<<10 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the FIFO is not full after 30 s")
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if got := within(t, cmd, 20*time.Second, "a FIFO that is full"); got != exitCannot && got != 128+int(syscall.SIGTERM) {
		t.Errorf("status %d", got)
	}
}

// TestOutputIsInput: nothing is written over what is read.
func TestOutputIsInput(t *testing.T) {
	dir := t.TempDir()
	recording, err := os.ReadFile(goldenRecording)
	if err != nil {
		t.Fatal(err)
	}
	log, rec := filepath.Join(dir, "log"), filepath.Join(dir, "rec")
	for name, content := range map[string]string{log: logLine, rec: string(recording)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Link(name, name+".hard"), os.Symlink(name, name+".soft")); err != nil {
			t.Fatal(err)
		}
		args := []string{"explain", "-o"}
		if name == rec {
			args = []string{"replay", "-o"}
		}
		for _, out := range []string{name, name + ".hard", name + ".soft"} {
			for _, in := range [][]string{{name}, {"-"}} {
				f, err := os.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				var stdout, stderr bytes.Buffer
				status := run(&env{stdin: f, stdout: &stdout, stderr: &stderr}, append(append(args, out), in...))
				f.Close()
				if status != exitCannot || !strings.Contains(stderr.String(), "is the input") {
					t.Errorf("%v %s %v: status %d: %s", args, out, in, status, stderr.String())
				}
			}
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != content {
			t.Errorf("%s has %d bytes (%v), want %d", name, len(b), err, len(content))
		}
	}
	if status, _, stderr := invoke(t, "explain", "-o", log, "-", log); status != exitCannot || !strings.Contains(stderr, "is the input") {
		t.Errorf("the second input: status %d: %s", status, stderr)
	}
}

// TestOutputKept: what was there stays until all is written.
func TestOutputKept(t *testing.T) {
	dir := t.TempDir()
	keep := filepath.Join(dir, "keep")
	for _, args := range [][]string{
		{"explain", "/nonexistent"}, {"explain", dir}, {"replay", "nonexistent"}, {"replay", "/dev/null"}, {"replay", "outfile_test.go"},
		{"run", "--", "/nonexistent"}, {"run", "-p", strconv.Itoa(zombie(t))},
	} {
		if err := os.WriteFile(keep, []byte("kept"), 0o640); err != nil {
			t.Fatal(err)
		}
		status, _, _ := invoke(t, withOutput(args, keep)...)
		b, err := os.ReadFile(keep)
		if status == exitOK || string(b) != "kept" {
			t.Errorf("%v: status %d, %q, %v", args, status, b, err)
		}
	}
	if status, _, stderr := invoke(t, "replay", "-o", keep, goldenRecording); status != exitOK {
		t.Errorf("status %d: %s", status, stderr)
	}
	info, err := os.Stat(keep)
	if err != nil || info.Mode().Perm() != 0o640 || info.Size() < 100 {
		t.Errorf("%v, %v: want its mode kept, and new content", info, err)
	}
	if err := os.Remove(keep); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "html"} {
		invoke(t, "replay", "-o", keep, "-format", format, goldenRecording)
		if info, err := os.Stat(keep); err != nil || info.Mode().Perm() != outMode {
			t.Errorf("%v, %v: want mode %o", info, err, outMode)
		}
		os.Remove(keep)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestForeignLink: a link of another user leads nowhere, neither as the file nor
// on the way to it.
func TestForeignLink(t *testing.T) {
	if os.Geteuid() != 0 {
		testenv.Require(t, "root", errors.New("only root can make a link of another user"))
	}
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"theirs": victim, "absent": filepath.Join(dir, "new"), "way": dir, "second": "theirs"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		if link == "second" {
			continue
		}
		if err := os.Lchown(filepath.Join(dir, link), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"theirs", "absent", "second", "way/victim", "way/new"} {
		status, _, stderr := invoke(t, "replay", "-o", filepath.Join(dir, name), goldenRecording)
		if status != exitCannot || !strings.Contains(stderr, "link of another user") {
			t.Errorf("%s: status %d: %s", name, status, stderr)
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a file was made where a foreign link leads")
	}
}

// TestOutputDevices: a device and an open descriptor are written as they are.
func TestOutputDevices(t *testing.T) {
	if status, _, stderr := invoke(t, "replay", "-o", os.DevNull, goldenRecording); status != exitOK {
		t.Errorf("%s: status %d: %s", os.DevNull, status, stderr)
	}
	for _, format := range []string{"text", "html", "jsonl"} {
		if status, _, stderr := invoke(t, "replay", "-o", "/dev/full", "-format", format, goldenRecording); status != exitCannot || !strings.Contains(stderr, "no space left") {
			t.Errorf("/dev/full: status %d: %s", status, stderr)
		}
	}
	if status, _, stderr := invoke(t, "explain", "-o", "/dev/full", goldenRecording); status != exitCannot || !strings.Contains(stderr, "no space left") {
		t.Errorf("/dev/full: status %d: %s", status, stderr)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := efdtrace(t, "", "replay", "-o", "/dev/stdout", goldenRecording)
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	if info, err := out.Stat(); err != nil || info.Size() < 100 {
		t.Errorf("/dev/stdout: %v, %v", info, err)
	}
}

// TestResolve: names stand for what the kernel takes them for.
func TestResolve(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	os.Mkdir("d", 0o700)
	os.Symlink("loop", "loop")
	os.Symlink("d", "to")
	for name, want := range map[string]error{
		"": unix.ENOENT, "d": unix.EISDIR, "d/": unix.EISDIR, ".": unix.EISDIR, "/": unix.EISDIR, "to": unix.EISDIR, "loop": unix.ELOOP, "no/x": unix.ENOENT, "d/..": unix.EISDIR,
		"new": nil, "d/new": nil, "to/new": nil, "d/../new": nil, "./to/../new": nil, dir + "/new": nil, "//" + dir + "//d///new": nil,
	} {
		o, err := (&env{}).createOut(context.Background(), name)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
		if err != nil {
			continue
		}
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		o.abandon()
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%q is there after abandon", name)
		}
	}
}
