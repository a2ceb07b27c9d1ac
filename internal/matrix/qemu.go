//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/efd-go/efd/internal/matrix/wire"
)

// limits of one guest.
type limits struct {
	silence time.Duration // without a frame: the guest hangs
	total   time.Duration
}

// qemu holds the emulator's options of each architecture. thread=single: with a
// thread for each CPU, guests hang when the function tracer patches code.
// rcu_expedited: closing events and changing tracers waits for grace periods.
// no_timer_check: on a loaded host the kernel takes a late timer for a broken
// one, and panics. cx16: QEMU 7.2 leaves an operand's bits in the flags after
// cmpxchg16b, and code that an interrupt hits there goes on in single steps, or
// dies.
var qemu = map[string]struct {
	program, kernel string // the second: its command line
	args            []string
}{
	"amd64": {"qemu-system-x86_64", "console=ttyS0 no_timer_check", []string{"-accel", "tcg,thread=single", "-cpu", "max,-cx16"}},
	"arm64": {"qemu-system-aarch64", "console=ttyAMA0", []string{"-accel", "tcg,thread=single", "-M", "virt", "-cpu", "cortex-a76"}},
}

// errDone ends a guest whose job is done. It does not power itself off: its
// last frames could still be in flight.
var errDone = errors.New("done")

// trouble matches the messages of a kernel that has crashed.
var trouble = regexp.MustCompile(`Kernel panic|Oops:|Unable to mount root|BUG: unable to handle|Unable to handle kernel`)

// warned matches warnings after which a kernel goes on, to be looked at.
var warned = regexp.MustCompile(`(?m)^\[ *\d+\.\d+\] (WARNING: .*|INFO: task .* blocked for .*|watchdog: BUG: .*|rcu: INFO: .* detected .*)$`)

// warnings are the notes on a kernel's warnings.
func warnings(log string) []string {
	var notes []string
	for _, m := range warned.FindAllStringSubmatch(log, -1) {
		notes = append(notes, "the kernel warned: "+m[1])
	}
	return notes
}

// console keeps the output of a guest's serial line.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(bytes.ReplaceAll(b, []byte("\r"), nil))
	return len(b), nil
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// boot runs one guest and hands on its frames. It returns the guest's output,
// and an error if the guest did not complete its job.
func boot(ctx context.Context, k *kernel, initrd string, lim limits, frame func(wire.Frame, []byte)) (log string, err error) {
	dir, err := os.MkdirTemp("", "efd-matrix-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	sock := filepath.Join(dir, "port")
	l, err := net.Listen("unix", sock)
	if err != nil {
		return "", err
	}
	defer l.Close()

	ctx, cancel := context.WithTimeoutCause(ctx, lim.total, fmt.Errorf("the guest was not done after %v", lim.total))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	q := qemu[k.Arch]
	cmd := exec.CommandContext(ctx, q.program, append([]string{
		"-display", "none", "-no-reboot", "-nodefaults", "-serial", "stdio", "-m", "1536", "-smp", "2",
		"-kernel", k.image(), "-initrd", initrd,
		"-append", q.kernel + " panic=-1 oops=panic rcupdate.rcu_expedited=1",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=efd,path=" + sock,
		"-device", "virtserialport,chardev=efd,name=" + wire.Port,
	}, q.args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out console
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", err
	}
	silence := time.AfterFunc(lim.silence, func() { fail(fmt.Errorf("the guest hangs: no sign of life for %v", lim.silence)) })
	defer silence.Stop()
	done := make(chan bool, 1)
	go func() {
		finished, err := receive(l, silence, lim.silence, frame)
		switch {
		case finished:
			fail(errDone)
		case errors.Is(err, wire.ErrNoFrame):
			fail(fmt.Errorf("read frames of the guest: %w", err))
		}
		done <- finished
	}()

	werr := cmd.Wait()
	l.Close()
	finished := <-done
	log = out.String()
	switch {
	case finished:
		return log, nil
	case context.Cause(ctx) != nil:
		return log, context.Cause(ctx)
	case trouble.MatchString(log):
		return log, errors.New("the guest panicked")
	case werr != nil:
		return log, fmt.Errorf("%s: %w", q.program, werr)
	}
	return log, errors.New("the guest ended before its job was done")
}

// receive reads the guest's frames up to the last; it reports whether the guest
// said that it was done, and if it did not, why nothing more is read.
func receive(l net.Listener, silence *time.Timer, limit time.Duration, frame func(wire.Frame, []byte)) (finished bool, err error) {
	conn, err := l.Accept()
	if err != nil {
		return false, err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		f, body, err := wire.Read(r)
		if err != nil {
			return false, err
		}
		silence.Reset(limit)
		if f.Kind == wire.Bye {
			return true, nil
		}
		frame(f, body)
	}
}

// lastWords is the end of a guest's log, from the trouble on if there is some.
func lastWords(log string) string {
	if at := trouble.FindStringIndex(log); at != nil {
		begin := strings.LastIndexByte(log[:at[0]], '\n') + 1
		lines := strings.Split(log[begin:], "\n")
		return strings.TrimSpace(strings.Join(lines[:min(len(lines), 20)], "\n"))
	}
	return lastLines(log, 20)
}
