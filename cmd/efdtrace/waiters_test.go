//go:build linux

package main

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"github.com/efd-go/efd/internal/waiters"
	"golang.org/x/sys/unix"
)

func TestWaitersUsage(t *testing.T) {
	for args, want := range map[string]string{
		"x":            `"x": takes no arguments`,
		"-p 0":         "-p 0: want the number of a process",
		"-p -3":        "-p -3: want the number of a process",
		"-fd 3":        "-fd 3: want the number of a descriptor of the process of -p",
		"-p 1 -fd -2":  "-fd -2: want the number of a descriptor of the process of -p",
		"-p nonsense":  "-p",
		"-nonsense":    "-nonsense",
		"-p 1 x -json": "-json comes too late",
	} {
		var out, errs strings.Builder
		status := run(&env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}, append([]string{"waiters"}, strings.Fields(args)...))
		if status != exitUsage || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("%s: status %d, %q, %q", args, status, out.String(), errs.String())
		}
	}
	var out, errs strings.Builder
	if status := run(&env{stdout: &out, stderr: &errs}, []string{"waiters", "-p", "2147483647"}); status != exitCannot || !strings.Contains(errs.String(), "there is no such process") {
		t.Errorf("a process that does not exist: %d, %q", status, errs.String())
	}
}

// The JSON is the contract's, and has an eventfd of this process.
func TestWaitersJSON(t *testing.T) {
	testenv.Require(t, "bpf", waiters.Try())
	fd, err := unix.Eventfd(3, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	pid := strconv.Itoa(os.Getpid())
	var out, errs strings.Builder
	if status := run(&env{stdout: &out, stderr: &errs}, []string{"waiters", "-p", pid, "-fd", strconv.Itoa(fd), "-json"}); status != exitOK {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	var r struct {
		Kernel  string
		At      string
		Objects []struct {
			Kind    string
			ID      *int
			Holders []struct {
				PID, FD int
				Comm    string
			}
			State struct{ Count *uint64 }
			Queue []any
			More  *int
			Torn  *bool
		}
		Findings []struct {
			Code, Text string
			PID, FD    int
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Objects) != 1 || r.Kernel == "" || r.At == "" {
		t.Fatalf("%s", out.String())
	}
	o := r.Objects[0]
	if o.Kind != "eventfd" || o.State.Count == nil || *o.State.Count != 3 || o.Holders[0].FD != fd || strconv.Itoa(o.Holders[0].PID) != pid || o.Queue == nil || len(o.Queue) != 0 || o.More == nil || o.Torn == nil {
		t.Errorf("%s", out.String())
	}
	if len(r.Findings) != 1 || r.Findings[0].Code != "ready-unattended" || r.Findings[0].FD != fd {
		t.Errorf("findings %+v", r.Findings)
	}
	out.Reset()
	if status := run(&env{stdout: &out, stderr: &errs}, []string{"waiters", "-p", pid, "-fd", "999999"}); status != exitCannot || !strings.Contains(errs.String(), "is not open") {
		t.Errorf("a number that is not open: %d, %q", status, errs.String())
	}
}
