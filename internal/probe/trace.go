//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tracefs: the number of a tracepoint can be read, in a mounted tracing file
// system or in one that is mounted nowhere.
func (m *machine) tracefs() error {
	var errs []error
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing", ""} {
		fd, err := m.openTracing(dir)
		if err == nil {
			m.tracing = fd
			if _, err = m.tracepointID(); err == nil {
				return nil
			}
			unix.Close(fd)
			m.tracing = -1
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (*machine) openTracing(dir string) (int, error) {
	if dir != "" {
		return unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen tracefs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("fsconfig tracefs: %w", err)
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// at is a path in the tracing file system.
func (m *machine) at(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/self/fd/%d", m.tracing), name)
}

func (m *machine) tracepointID() (uint64, error) {
	b, err := os.ReadFile(m.at("events/sched/sched_waking/id"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// functions: the function tracer, in an instance of its own, sees a write to an
// eventfd.
func (m *machine) functions() (err error) {
	instance := m.at(fmt.Sprintf("instances/efd-probe-%d", os.Getpid()))
	if err := os.Mkdir(instance, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(instance)) }()
	set := func(file, text string) {
		if err == nil {
			err = os.WriteFile(filepath.Join(instance, file), []byte(text), 0)
		}
	}
	set("set_ftrace_filter", "eventfd_write")
	set("current_tracer", "function")
	if err != nil {
		return err
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	unix.Close(fd)
	set("current_tracer", "nop")
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(instance, "trace"))
	if err == nil && !strings.Contains(string(b), "eventfd_write") {
		err = errors.New("the function tracer saw no eventfd_write")
	}
	return err
}
