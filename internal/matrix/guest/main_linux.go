//go:build linux

// Command guest is the init process of a guest of the matrix: it makes the
// system that tests expect, runs the steps of its job and sends back their
// output. The host ends it then; after an error it powers itself off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/efd-go/efd/internal/matrix/wire"
	"golang.org/x/sys/unix"
)

// testsFailed is the status of a test program of which tests failed. One that
// hung or panicked has 2, and one that a signal ended more: a slow processor
// explains neither.
const testsFailed = 1

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: runs as the first process of a virtual machine only")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Println("guest:", err)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	if err := setup(); err != nil {
		return err
	}
	notes := loadModules("/mod")
	port, err := openPort(30 * time.Second)
	if err != nil {
		return fmt.Errorf("%w; modules: %q", err, notes)
	}
	defer port.Close()
	data, err := os.ReadFile(wire.JobFile)
	if err != nil {
		return err
	}
	var job wire.Job
	if err := json.Unmarshal(data, &job); err != nil {
		return err
	}
	s := &sender{port: port}
	var uts unix.Utsname
	unix.Uname(&uts)
	s.send(wire.Frame{Kind: wire.Hello, Text: unix.ByteSliceToString(uts.Release[:]), Detail: notes}, nil)
	go s.heartbeat()
	for _, step := range job.Steps {
		if status := s.step(job.Env, step); status == testsFailed && step.Twice {
			s.step(job.Env, step)
		}
	}
	s.send(wire.Frame{Kind: wire.Bye}, nil)
	if err := s.failure(); err != nil {
		return err
	}
	time.Sleep(time.Minute) // the host ends the machine when it has read all
	return errors.New("the host did not end this guest")
}
