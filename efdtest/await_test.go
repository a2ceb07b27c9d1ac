//go:build linux

package efdtest_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/efdtest"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// A process writes to the eventfd by its own number, and is the waker.
func TestProcess(t *testing.T) {
	q := newQueue(t)
	f, err := q.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("/bin/sh", "-c", `echo ready; read x; printf '\001\000\000\000\000\000\000\000' >&3; read x`)
	cmd.ExtraFiles = []*os.File{f}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	testenv.Start(t, cmd)
	defer func() { in.Close(); cmd.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	k := efdtest.New(t)
	jobs := k.Name(q, "jobs")
	child := k.Process("child", cmd.Process.Pid)
	c := k.Go("consumer", q.Get)
	c.Asleep(jobs)
	child.Asleep()
	a := k.Await(child, func() {
		in.Write([]byte("go\n"))
		c.Done()
	})
	a.Woke(c, efdtest.OutOf("ppoll"), efdtest.On(jobs), efdtest.Times(1))
	a.WokeNobodyElse()

	r := record(t, func(t testing.TB) { // the act of another does not count
		k := efdtest.New(t)
		q := newQueue(t)
		jobs := k.Name(q, "jobs")
		child := k.Process("child", cmd.Process.Pid)
		c := k.Go("consumer", q.Get)
		c.Asleep(jobs)
		k.Await(child, func() { q.Put(); c.Done() }).Woke(c)
	})
	if r.attrs["efd.evidence"] == "kernel" {
		r.wantFailure(t, "child did not wake consumer: (test)'s write(jobs) did")
	}
}

// A time-out is a wake by the kernel's timer, and no other is.
func TestTimer(t *testing.T) {
	efdtest.Run(t, func(k *efdtest.K) {
		q := newQueue(t)
		k.Name(q, "jobs")
		c := k.Go("consumer", func() {
			efd.Poll([]efd.PollFD{{FD: int32(q.FD()), Events: efd.POLLIN}}, 300*time.Millisecond, nil)
		})
		a := k.Await(efdtest.Timer, func() { c.Done() })
		a.Woke(c, efdtest.OutOf("ppoll"))
		a.WokeNobodyElse()
	})
	r := record(t, func(t testing.TB) {
		k := efdtest.New(t)
		q := newQueue(t)
		k.Name(q, "jobs")
		c := k.Go("consumer", q.Get)
		c.Asleep()
		k.Await(efdtest.Timer, func() { q.Put(); c.Done() }).Woke(c)
	})
	if r.attrs["efd.evidence"] == "kernel" {
		r.wantFailure(t, "timer did not wake consumer: (test)'s write(jobs) did")
	}
}

// iocb is struct iocb of <linux/aio_abi.h>.
type iocb struct {
	_         uint64 // data
	_, _      uint32 // key and flags
	opcode    uint16
	_         int16 // priority
	fd        uint32
	buf, size uint64
	_         int64 // offset
	_         uint64
	flags     uint32
	resfd     uint32
}

// The end of an asynchronous read signals an eventfd.
func TestAIO(t *testing.T) {
	const pread, flagResfd = 0, 1
	var ctx uintptr
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&ctx)), 0); errno != 0 {
		t.Skipf("needs AIO: io_setup: %v", errno)
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0)
	f, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	efdtest.Run(t, func(k *efdtest.K) {
		q := newQueue(t)
		jobs := k.Name(q, "jobs")
		c := k.Go("consumer", q.Get)
		c.Asleep(jobs)
		buf := make([]byte, 16)
		a := k.Await(efdtest.AIO, func() {
			cb := &iocb{opcode: pread, fd: uint32(f.Fd()), buf: uint64(uintptr(unsafe.Pointer(&buf[0]))), size: 16,
				flags: flagResfd, resfd: uint32(q.FD())}
			if _, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, ctx, 1, uintptr(unsafe.Pointer(&cb))); errno != 0 {
				t.Errorf("io_submit: %v", errno)
				q.Put()
			}
			var events [4]uint64
			unix.Syscall6(unix.SYS_IO_GETEVENTS, ctx, 1, 1, uintptr(unsafe.Pointer(&events)), 0, 0)
			c.Done()
		})
		a.Woke(c, efdtest.On(jobs))
		a.WokeNobodyElse()
	})
}

// Check waits for records once, and reports each assertion by its place.
func TestCheck(t *testing.T) {
	r := record(t, func(t testing.TB) {
		k := efdtest.New(t)
		q := newQueue(t)
		jobs := k.Name(q, "jobs")
		began := time.Now()
		k.Check(func() {
			for range 20 {
				c := k.Go("consumer", q.Get)
				c.Asleep(jobs)
				put := k.Do("Put", q.Put)
				put.Woke(c)
				put.WokeNobodyElse()
				c.Done()
			}
		})
		t.Logf("20 acts took %v", time.Since(began))
		k.Check(func() { k.Do("nothing", func() {}).WokeOneOf(1, k.Go("idle", q.Get)) })
		q.Put()
	})
	if r.attrs["efd.evidence"] == "kernel" {
		if text := r.wantFailure(t, "nothing woke nobody; want 1 of idle (asserted at await_test.go:"); len(r.failures) != 1 {
			t.Errorf("%d failures, the first:\n%s", len(r.failures), text)
		}
	}
	t.Log(strings.Join(r.logged, "\n"))
}

// Wakes has them all, for assertions of one's own.
func TestWakes(t *testing.T) {
	needKernel(t)
	k := efdtest.New(t)
	q := newQueue(t)
	jobs := k.Name(q, "jobs")
	info, err := q.Info()
	if err != nil {
		t.Fatal(err)
	}
	c := k.Go("consumer", q.Get)
	c.Asleep(jobs)
	k.Do("Put", q.Put)
	c.Done()
	n := 0
	for _, w := range k.Wakes() {
		if w.EventFD == info.ID && w.Waker.PID == os.Getpid() && w.Wakee.Comm == "consumer" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d wakes of consumer by jobs, want 1 in %v", n, k.Wakes())
	}
}
