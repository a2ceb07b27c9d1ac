//go:build linux

package strace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// The descriptors that the traced program uses, apart from all that Go's
// runtime does in it.
const pingFD, pongFD = 900, 901

func TestMain(m *testing.M) {
	if os.Getenv("EFD_STRACE_PROGRAM") != "" {
		if err := pingPong(300); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// pingPong has two threads that wake each other through blocking eventfds, one
// of them with a poll before its read: what each does in which order is the
// same in every run.
func pingPong(rounds int) error {
	for _, fd := range [...]int{pingFD, pongFD} {
		e, err := unix.Eventfd(0, 0)
		if err != nil {
			return err
		}
		if err := unix.Dup3(e, fd, 0); err != nil {
			return err
		}
	}
	other := make(chan error)
	go func() {
		runtime.LockOSThread()
		other <- pings(rounds, pingFD, pongFD, true)
	}()
	runtime.LockOSThread()
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	if _, err := unix.Write(pingFD, one); err != nil {
		return err
	}
	return errors.Join(pings(rounds, pongFD, pingFD, false), <-other)
}

func pings(rounds, in, out int, poll bool) error {
	var buf [8]byte
	for i := range rounds {
		if poll {
			if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(in), Events: unix.POLLIN}}, nil, nil); err != nil {
				return err
			}
		}
		if _, err := unix.Read(in, buf[:]); err != nil {
			return err
		}
		if !poll && i == rounds-1 {
			return nil
		}
		if _, err := unix.Write(out, buf[:]); err != nil {
			return err
		}
	}
	return nil
}

// trace runs the program under strace and returns what it left in dir.
func trace(t *testing.T, flags ...string) []string {
	t.Helper()
	bin, err := exec.LookPath("strace")
	if err != nil {
		testenv.Require(t, "strace", errors.New("no strace in PATH"))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(bin, append(flags, "-o", filepath.Join(dir, "log"), self)...)
	cmd.Env = append(os.Environ(), "EFD_STRACE_PROGRAM=1", "GODEBUG=asyncpreemptoff=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("ptrace")) {
			testenv.Require(t, "strace", fmt.Errorf("%s", bytes.TrimSpace(out)))
		}
		t.Fatalf("%v: %s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "log*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no log: %v", err)
	}
	return files
}

// byThread reads logs into the calls that each thread made on our eventfds,
// and counts those that came in two halves.
func byThread(t *testing.T, files []string) (threads []string, joined int) {
	t.Helper()
	calls := map[int]*strings.Builder{}
	for i, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(f, 1<<20+i)
		for {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if rec.Type != CallLine && rec.Type != Resumed || len(rec.Call.Args) == 0 {
				continue
			}
			switch a := string(rec.Call.Args[0]); rec.Call.Name {
			case "read", "write":
				if a != "900" && a != "901" {
					continue
				}
			case "ppoll":
				if a != "[{fd=900, events=POLLIN}]" {
					continue
				}
			default:
				continue
			}
			if !rec.Call.Whole {
				t.Errorf("not whole: %s", rec.Raw)
			}
			if rec.Type == Resumed {
				joined++
			}
			b := calls[rec.PID]
			if b == nil {
				b = &strings.Builder{}
				calls[rec.PID] = b
			}
			fmt.Fprintf(b, "%s(%s) = %s (%s)\n", rec.Call.Name, bytes.Join(rec.Call.Args, []byte(", ")), rec.Call.Result, rec.Call.Note)
		}
		f.Close()
	}
	for _, b := range calls {
		threads = append(threads, b.String())
	}
	slices.Sort(threads)
	return threads, joined
}

// A log of all threads in one file, with its calls cut in halves, and a file
// per thread, without, tell the same calls.
func TestJoinedAsInFilesOfTheirOwn(t *testing.T) {
	if testenv.Emulated() {
		t.Skip("strace cannot run a program that qemu-user emulates")
	}
	one, joined := byThread(t, trace(t, "-f"))
	many, whole := byThread(t, trace(t, "-ff"))
	if joined < 50 || whole != 0 {
		t.Errorf("%d calls in halves in one file and %d in files of their own, want many and none", joined, whole)
	}
	if len(one) != 2 || strings.Count(one[0], "\n") < 600 {
		t.Fatalf("%d threads, want 2 with all their calls", len(one))
	}
	if !slices.Equal(one, many) {
		for i := range min(len(one), len(many)) {
			t.Errorf("the joined calls are not those of the files per thread: %s", firstDifference(one[i], many[i]))
		}
	}
}

// firstDifference names the first line in which two texts differ.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("call %d is\n%s\nand\n%s", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d calls and %d", len(x)-1, len(y)-1)
}
