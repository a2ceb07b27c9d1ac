//go:build linux

package efd_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd"
	procfs "github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

const fuseChild = "EFD_FUSE_CHILD"

// A process serves a file by FUSE and uses it through the package: the poll, the
// flush and the release of that file sleep until the process answers. With one
// P, and the garbage collector running, a call that sleeps without a word to
// Go's scheduler is never answered. Such a process cannot be killed either, so
// the body runs in a child, whose connection the test aborts.
func TestOwnFUSEFile(t *testing.T) {
	if os.Getenv(fuseChild) != "" {
		useOwnFile()
		return
	}
	f, err := newFUSE()
	testenv.Require(t, "a FUSE mount", err)
	f.close()
	ctl, err := detachedMount("fusectl", nil)
	testenv.Require(t, "fusectl", err)
	defer unix.Close(ctl)

	cmd := exec.Command(os.Args[0], "-test.run=^TestOwnFUSEFile$", "-test.count=1")
	cmd.Env = append(os.Environ(), fuseChild+"=1", "GOMAXPROCS=1", "GOCOVERDIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			lines <- in.Text()
		}
	}()
	limit := time.NewTimer(procfs.Patience(30 * time.Second))
	defer limit.Stop()
	var conn, step string
	for open := true; open; {
		select {
		case line, ok := <-lines:
			open = ok
			if after, found := strings.CutPrefix(line, "connection "); found {
				conn = after
			} else if after, found := strings.CutPrefix(line, "step "); found {
				step = after
			}
		case <-limit.C:
			cmd.Process.Kill()
			if err := abortFUSE(ctl, conn); err != nil {
				t.Errorf("aborting FUSE connection %s: %v", conn, err)
			}
			cmd.Wait()
			t.Fatalf("the process hangs in %s", step)
		}
	}
	if err := cmd.Wait(); err != nil || step != "done" {
		t.Fatalf("the process ended in %q: %v", step, err)
	}
}

// useOwnFile is the child. It reports each step before it makes it.
func useOwnFile() {
	f, err := newFUSE()
	mustChild(err)
	go f.serve()
	open := func() int {
		fd, err := unix.Openat(f.mount, "file", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		mustChild(err)
		return fd
	}
	fd := open()
	var st unix.Stat_t
	mustChild(unix.Fstat(fd, &st))
	fmt.Println("connection", unix.Minor(uint64(st.Dev)))
	collections := 0
	stop := make(chan struct{})
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
				collections++
			}
		}
	}()
	p, err := efd.NewEpoll()
	mustChild(err)
	var set efd.PollSet
	file := os.NewFile(uintptr(open()), "file")
	events := make([]efd.EpollEvent, 4)
	const rounds, flushesARound = 20, 3
	for range rounds {
		for _, s := range []struct {
			name string
			call func() error
		}{
			{"Poll", func() error {
				return want1(efd.Poll([]efd.PollFD{{FD: int32(fd), Events: efd.POLLIN}}, 0, nil))
			}},
			{"Select", func() error {
				var r efd.FDSet
				r.Add(fd)
				return want1(efd.Select(&r, nil, nil, 0, nil))
			}},
			{"Epoll.Add", func() error { return p.Add(fd, efd.EPOLLIN, 1) }},
			{"Epoll.Wait", func() error { return want1(p.Wait(events, 0, nil)) }},
			{"Epoll.Modify", func() error { return p.Modify(fd, efd.EPOLLIN|efd.EPOLLET, 2) }},
			{"Epoll.Delete", func() error { return p.Delete(fd) }},
			{"Epoll.AddConn", func() error { return p.AddConn(file, efd.EPOLLIN, 3) }},
			{"Epoll.ModifyConn", func() error { return p.ModifyConn(file, efd.EPOLLIN, 4) }},
			{"Epoll.DeleteConn", func() error { return p.DeleteConn(file) }},
			{"PollSet.Add", func() error { return set.Add(file, efd.POLLIN) }},
			{"PollSet.Wait", func() error { return want1(set.Wait(0, nil)) }},
			{"PollSet.Remove", func() error { return set.Remove(file) }},
			{"PollSet.Close with a member", func() error {
				var s efd.PollSet
				mustChild(s.Add(file, efd.POLLIN))
				return s.Close()
			}},
			{"the close of a PollSet that was lost", func() error {
				mustChild(new(efd.PollSet).Add(file, efd.POLLIN))
				return nil
			}},
		} {
			fmt.Println("step", s.name)
			if err := s.call(); err != nil {
				mustChild(fmt.Errorf("%s: %w", s.name, err))
			}
		}
	}
	fmt.Println("step close")
	mustChild(set.Close())
	mustChild(p.Add(fd, efd.EPOLLIN, 1))
	mustChild(p.Close())
	file.Close()
	unix.Close(fd)
	// Nothing may wait for an answer at the end, when there is nobody to give it.
	fmt.Println("step close of lost sets")
	for f.flushes.Load() < rounds*flushesARound+2 {
		runtime.Gosched()
	}
	close(stop)
	<-collected
	if f.polls.Load() == 0 || collections == 0 {
		mustChild(fmt.Errorf("%d polls, %d collections: want some", f.polls.Load(), collections))
	}
	fmt.Println("step done")
	os.Stdout.Sync()
	os.Exit(0) // the server still reads
}

func mustChild(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func want1(n int, err error) error {
	if err == nil && n != 1 {
		return fmt.Errorf("%d ready, want 1", n)
	}
	return err
}

// abortFUSE ends all requests of a connection.
func abortFUSE(ctl int, conn string) error {
	if conn == "" {
		return errors.New("its number is not known")
	}
	fd, err := unix.Openat(ctl, conn+"/abort", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("1"))
	return err
}

// detachedMount mounts a file system nowhere and returns its root directory. It
// is unmounted when that is closed.
func detachedMount(fsType string, params map[string]string) (root int, err error) {
	fs, err := unix.Fsopen(fsType, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen %s: %w", fsType, err)
	}
	defer unix.Close(fs)
	for k, v := range params {
		if err := unix.FsconfigSetString(fs, k, v); err != nil {
			return -1, fmt.Errorf("fsconfig %s %s=%s: %w", fsType, k, v, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("fsconfig %s: %w", fsType, err)
	}
	root, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, fmt.Errorf("fsmount %s: %w", fsType, err)
	}
	return root, nil
}
