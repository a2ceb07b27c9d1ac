//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readByBPF runs a BPF program that reads the first instructions of a function.
func (m *machine) readByBPF() error {
	type instruction struct {
		code, regs byte
		off        int16
		imm        int32
	}
	const helperProbeReadKernel = 113
	program := []instruction{
		{0xbf, 0xa1, 0, 0},                         // r1 = r10
		{0x07, 0x01, 0, -8},                        // r1 -= 8
		{0xb7, 0x02, 0, 8},                         // r2 = 8
		{0x18, 0x03, 0, int32(uint32(m.function))}, // r3 = the address
		{0x00, 0x00, 0, int32(uint32(m.function >> 32))},
		{0x85, 0x00, 0, helperProbeReadKernel},
		{0x79, 0xa0, -8, 0}, // r0 = the value read
		{0x95, 0x00, 0, 0},
	}
	license := []byte("GPL\x00")
	load := struct {
		kind, count       uint32
		program, license  uint64
		logLevel, logSize uint32
		log               uint64
		version, flags    uint32
	}{kind: unix.BPF_PROG_TYPE_RAW_TRACEPOINT, count: uint32(len(program)), program: address(&program[0]), license: address(&license[0])}
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	if err != nil {
		return fmt.Errorf("BPF_PROG_LOAD: %w", err)
	}
	defer unix.Close(fd)
	run := struct {
		fd, result       uint32
		inSize, outSize  uint32
		in, out          uint64
		repeat, duration uint32
		rest             [2]uint32
		context          [2]uint64
		flags, cpu       uint32
	}{fd: uint32(fd)}
	if _, err := bpf(unix.BPF_PROG_TEST_RUN, unsafe.Pointer(&run), unsafe.Sizeof(run)); err != nil {
		return fmt.Errorf("BPF_PROG_TEST_RUN: %w", err)
	}
	if run.result == 0 {
		return errors.New("a BPF program read nothing")
	}
	return nil
}

func address[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// iterators: BPF programs can read the kernel's memory, iterators are there
// (Linux 5.8), and the numbers of threads are those of the kernel.
func (m *machine) iterators() error {
	const initial = "pid:[4026531836]"
	if ns, err := os.Readlink("/proc/self/ns/pid"); err != nil || ns != initial {
		return fmt.Errorf("PID namespace %s (%v)", ns, err)
	}
	if err := m.readByBPF(); err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		return err
	}
	if !bytes.Contains(b, []byte(" bpf_iter_run_prog\n")) {
		return errors.New("the kernel has no iterators")
	}
	return nil
}
