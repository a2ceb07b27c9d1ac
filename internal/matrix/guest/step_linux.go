//go:build linux

package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/efd-go/efd/internal/matrix/wire"
)

// sender sends frames, one at a time.
type sender struct {
	mu   sync.Mutex
	port io.Writer
	err  error
}

func (s *sender) send(f wire.Frame, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = wire.Write(s.port, f, body)
	}
}

func (s *sender) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// heartbeat reports to the host once a second that the guest's scheduler still
// runs.
func (s *sender) heartbeat() {
	for range time.Tick(time.Second) {
		s.send(wire.Frame{Kind: wire.Alive}, nil)
	}
}

// stepOutput passes on the output of a step, as it comes.
type stepOutput struct {
	s    *sender
	step string
}

func (o *stepOutput) Write(b []byte) (int, error) {
	o.s.send(wire.Frame{Kind: wire.Output, Step: o.step}, b)
	return len(b), nil
}

// step runs one command and sends its output, its files and its end. It
// returns the command's status.
func (s *sender) step(env []string, step wire.Step) int {
	s.send(wire.Frame{Kind: wire.Start, Step: step.Name}, nil)
	begin := time.Now()
	status, err := runStep(env, step, &stepOutput{s, step.Name})
	end := wire.Frame{Kind: wire.End, Step: step.Name, Status: status, Seconds: time.Since(begin).Seconds()}
	if err != nil {
		end.Text = err.Error()
	}
	if step.Keep != "" {
		s.keep(step)
	}
	s.send(end, nil)
	return status
}

func runStep(env []string, step wire.Step, out io.Writer) (status int, err error) {
	home := "/tmp/home-" + strconv.Itoa(step.UID)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return 126, err
	}
	if err := os.Chown(home, step.UID, step.UID); err != nil {
		return 126, err
	}
	if step.Keep != "" {
		if err := os.MkdirAll(step.Keep, 0o777); err != nil {
			return 126, err
		}
	}
	cmd := exec.Command(step.Args[0], step.Args[1:]...)
	cmd.Dir = step.Dir
	cmd.Env = append([]string{"PATH=/bin", "HOME=" + home, "TMPDIR=/tmp", "LANG=C.UTF-8"}, slices.Concat(env, step.Env)...)
	cmd.Stdout, cmd.Stderr = out, out
	if step.Stdout != "" {
		f, err := os.Create(step.Stdout)
		if err != nil {
			return 126, err
		}
		defer f.Close()
		cmd.Stdout = f
	}
	cmd.WaitDelay = 5 * time.Second // a child that keeps the pipe open does not keep the guest
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if step.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(step.UID), Gid: uint32(step.UID)}
	}
	if err := cmd.Start(); err != nil {
		return 127, err
	}
	var timedOut atomic.Bool
	quit := time.AfterFunc(step.Timeout, func() {
		timedOut.Store(true)
		cmd.Process.Signal(syscall.SIGQUIT) // a Go program prints its goroutines
	})
	kill := time.AfterFunc(step.Timeout+5*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err = cmd.Wait()
	quit.Stop()
	kill.Stop()
	if timedOut.Load() {
		return wire.TimedOut, nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 126, err
	}
	return 0, nil
}

// keep sends the files that a step left.
func (s *sender) keep(step wire.Step) {
	filepath.WalkDir(step.Keep, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return nil
		}
		s.send(wire.Frame{Kind: wire.File, Step: step.Name, Text: strings.TrimPrefix(p, step.Keep+"/")}, data)
		return nil
	})
}
