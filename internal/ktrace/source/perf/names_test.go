//go:build linux

package perf

import (
	"io"
	"os/exec"
	"runtime"
	"testing"

	"github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// A waker that is not one of those observed has the name of the program that it
// runs, and not of the one that it ran when it was seen before.
func TestNameOfOthers(t *testing.T) {
	for _, program := range []string{"sh", "cat", "/bin/echo"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: %v", program, err)
		}
	}
	waker := exec.Command("sh", "-c", "read line; exec /bin/echo word")
	reader := exec.Command("cat")
	words, err := waker.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if reader.Stdin, err = waker.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	read, err := reader.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{waker, reader} {
		testenv.Start(t, cmd)
	}
	pid := reader.Process.Pid
	s := open(t, Config{Tasks: []int{pid}, PIDs: []int{pid}, Kinds: []ktrace.EventKind{ktrace.Waking, ktrace.Switch}, System: []ktrace.EventKind{ktrace.Waking}})
	testenv.Until(t, "sh and cat to wait for input", func() bool { return readsIn(waker.Process.Pid) && readsIn(pid) })
	if _, err := io.WriteString(words, "\n"); err != nil { // wakes it as sh, and it does not sleep any more
		t.Fatal(err)
	}
	b := make([]byte, 5)
	testenv.Within(t, "the word", func() { _, err = io.ReadFull(read, b) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	events, err := s.Read(source.End, nil)
	if err != nil {
		t.Fatal(err)
	}
	wakes := 0
	for _, e := range events {
		if e.Kind == ktrace.Waking && e.TID == waker.Process.Pid && e.Target == pid {
			if wakes++; e.Comm != "echo" {
				t.Errorf("the waker is called %q, and runs echo", e.Comm)
			}
		}
	}
	if wakes == 0 {
		t.Error("the wake was not seen")
	}
	words.Close()
	for _, cmd := range []*exec.Cmd{waker, reader} {
		cmd.Wait()
	}
}

// readsIn reports whether a program of the system is in read.
func readsIn(pid int) bool {
	s, err := asleep.Of(pid, pid)
	return err == nil && (s.Nr == unix.SYS_READ || runtime.GOARCH == "386" && s.Nr == 0) // x86-64's, which a test for 386 starts
}
