//go:build linux

// Package deafen runs commands for tests on a processor whose watchpoints open
// and never fire, as under some hypervisors. A seccomp filter asks this process
// about each perf_event_open(2) of the command, and a watchpoint gets a
// descriptor of an event that never happens. All else is the kernel's.
//
// A program that imports it can be run as the command's first step: its init
// function sets the filter up and executes the command.
package deafen

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// Filter lists the changes to the system calls of a command.
type Filter struct {
	Deaf   bool               // watchpoints never fire
	Refuse map[int]unix.Errno // numbers of system calls that fail, and how
}

// Run is cmd.Run for a command without watchpoints that fire.
func Run(cmd *exec.Cmd) error {
	if err := Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// Start is cmd.Start for a command without watchpoints that fire.
func Start(cmd *exec.Cmd) error { return Filter{Deaf: true}.Start(cmd) }

// Start is cmd.Start under the filter. It uses the last of cmd.ExtraFiles.
func (f Filter) Start(cmd *exec.Cmd) error {
	if cmd.Err != nil {
		return cmd.Err
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	if f.Deaf && os.Getenv(isDeaf) != "" {
		f.Deaf = false // a process has one filter that asks
		if len(f.Refuse) == 0 {
			return cmd.Start()
		}
	}
	if f.Deaf {
		cmd.Env = append(cmd.Env, isDeaf+"=1")
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "deafen"), os.NewFile(uintptr(pair[1]), "deafen")
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return errors.Join(err, ours.Close(), theirs.Close())
	}
	const first = 3
	n := first + len(cmd.ExtraFiles)
	cmd.Args = append([]string{"deafen", f.text(n), cmd.Path}, cmd.Args...)
	// By way of the descriptor: the directory of a test's program is its owner's alone.
	cmd.Path, cmd.ExtraFiles = "/proc/self/fd/"+strconv.Itoa(n+1), append(cmd.ExtraFiles, theirs, self)
	cmd.Env = append(cmd.Env, stepEnv+"=1")
	err = cmd.Start()
	theirs.Close()
	self.Close()
	if err != nil {
		return errors.Join(err, ours.Close())
	}
	listener, err := receive(ours)
	ours.Close()
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("the command's seccomp filter: %w", err)
	}
	if listener >= 0 {
		go answer(listener)
	}
	return nil
}

// receive takes the filter's descriptor from the first step of the command, or
// its word that there is none.
func receive(from *os.File) (int, error) {
	b, oob := make([]byte, 256), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(int(from.Fd()), b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("recvmsg", err)
	}
	if n == 0 {
		return -1, errors.New("the first step of the command has ended")
	}
	if string(b[:n]) != ready {
		return -1, errors.New(string(b[:n]))
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) == 0 {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}
