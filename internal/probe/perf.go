//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of linux/hw_breakpoint.h.
const (
	breakpointWrite = 2 // HW_BREAKPOINT_W
	breakpointLen8  = 8 // HW_BREAKPOINT_LEN_8
)

// tracepoint: sched_waking counts a wake that this thread causes.
func (m *machine) tracepoint() error {
	id, err := m.tracepointID()
	if err != nil {
		return err
	}
	return counts(&unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample_type: unix.PERF_SAMPLE_CALLCHAIN | unix.PERF_SAMPLE_RAW}, 1, func() error {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return err
		}
		defer unix.Close(p[1])
		asleep, done := make(chan int, 1), make(chan error, 1)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			defer unix.Close(p[0])
			asleep <- unix.Gettid()
			_, err := unix.Read(p[0], make([]byte, 1))
			done <- err
		}()
		if err := sleeps(<-asleep, unix.SYS_READ); err != nil {
			return err
		}
		if _, err := unix.Write(p[1], []byte{1}); err != nil {
			return err
		}
		return <-done
	})
}

var watched [2]uint64

// watchpoint: the processor reports writes to a word, the program's own and
// those that the kernel makes for it.
func (*machine) watchpoint() error {
	word := (*uint64)(unsafe.Pointer((uintptr(unsafe.Pointer(&watched)) + 7) &^ 7))
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_BREAKPOINT, Bp_type: breakpointWrite, Ext1: uint64(uintptr(unsafe.Pointer(word))), Ext2: breakpointLen8}
	own := attr
	own.Bits = unix.PerfBitExcludeKernel
	const stores = 10
	err := counts(&own, stores, func() error {
		for i := range uint64(stores) {
			store(word, i)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("stores of this program: %w", err)
	}
	fd, err := unix.Eventfd(7, unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = counts(&attr, 1, func() error {
		_, err := unix.Read(fd, (*[8]byte)(unsafe.Pointer(word))[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("a store of the kernel's: %w", err)
	}
	return nil
}

//go:noinline
func store(word *uint64, v uint64) { *word = v }

// counts counts an event of this thread while do runs, and fails if it came
// less than want times.
func counts(attr *unix.PerfEventAttr, want uint64, do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	attr.Size, attr.Sample = uint32(unsafe.Sizeof(*attr)), 1
	fd, err := unix.PerfEventOpen(attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("perf_event_open: %w", err)
	}
	defer unix.Close(fd)
	if err := do(); err != nil {
		return err
	}
	var b [8]byte
	if n, err := unix.Read(fd, b[:]); err != nil || n != len(b) {
		return errors.Join(fmt.Errorf("read of the counter gave %d bytes", n), err)
	}
	if n := binary.NativeEndian.Uint64(b[:]); n < want {
		return fmt.Errorf("counted %d of %d", n, want)
	}
	return nil
}
