//go:build linux

// Supervisor starts a child that shares an eventfd with it: as descriptor 3, by
// ExtraFiles. The child sends one of its own back by SCM_RIGHTS, over a socket
// that is its descriptor 4, and both signal each other through them.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// limit bounds each step: the other process may have died.
const limit = 10 * time.Second

func main() {
	log.SetFlags(0)
	role, run := "supervisor", supervise
	if len(os.Args) > 1 && os.Args[1] == "child" {
		role, run = "child", child
	}
	if err := run(); err != nil {
		log.Fatal(role, ": ", err)
	}
}

func supervise() error {
	jobs, err := efd.New(0, efd.Semaphore)
	if err != nil {
		return err
	}
	defer jobs.Close()
	shared, err := jobs.File() // a duplicate, for ExtraFiles
	if err != nil {
		return err
	}
	defer shared.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	here, err := unixConn(pair[0])
	if err != nil {
		return err
	}
	defer here.Close()
	there := os.NewFile(uintptr(pair[1]), "socket")

	cmd := exec.Command(os.Args[0], "child")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{shared, there} // descriptors 3 and 4
	err = cmd.Start()
	there.Close() // the child's end: while it is open here, its death is no end of file
	if err != nil {
		return err
	}
	if err := talk(here, jobs); err != nil {
		cmd.Process.Kill()
		return errors.Join(err, cmd.Wait())
	}
	return cmd.Wait()
}

// talk hands out three jobs, and waits until the child has done them.
func talk(here *net.UnixConn, jobs *efd.EventFD) error {
	here.SetReadDeadline(time.Now().Add(limit))
	done, err := receive(here)
	if err != nil {
		return err
	}
	defer done.Close()
	if err := jobs.Write(3); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for n := uint64(0); n < 3; {
		more, err := done.ReadContext(ctx)
		if err != nil {
			return fmt.Errorf("%d of 3 jobs done: %w", n, err)
		}
		n += more
	}
	fmt.Println("supervisor: 3 jobs done")
	return nil
}

// receive takes one eventfd off the socket.
func receive(c *net.UnixConn) (*efd.EventFD, error) {
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, errors.New("the message has no descriptor")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	e, err := efd.FromFD(fds[0]) // checks that it is an eventfd, and sets FD_CLOEXEC
	if err != nil {
		unix.Close(fds[0])
	}
	return e, err
}

func child() error {
	jobs, err := efd.FromFD(3)
	if err != nil {
		return err
	}
	defer jobs.Close()
	c, err := unixConn(4)
	if err != nil {
		return err
	}
	defer c.Close()
	done, err := efd.New(0, 0)
	if err != nil {
		return err
	}
	defer done.Close()
	// The number is held for the call. The kernel then has the open file, and
	// the handle may be closed.
	conn, err := done.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := conn.Control(func(fd uintptr) {
		_, _, sent = c.WriteMsgUnix([]byte{0}, unix.UnixRights(int(fd)), nil)
	}); err != nil || sent != nil {
		return errors.Join(err, sent)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for i := range 3 {
		if _, err := jobs.ReadContext(ctx); err != nil { // a semaphore: one job each
			return err
		}
		fmt.Println("child: job", i+1)
		if err := done.Signal(); err != nil {
			return err
		}
	}
	return nil
}

// unixConn takes fd over.
func unixConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("descriptor %d is no AF_UNIX socket", fd)
	}
	return u, nil
}
