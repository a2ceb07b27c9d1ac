//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// pingerEnv makes this program the one that is observed.
const pingerEnv = "EFD_BENCH_PINGER"

// pinger is a program with two threads on one CPU that wake each other through
// eventfds and ppoll. It runs the operation that each line of its input names,
// and answers with a line.
func pinger() error {
	in := bufio.NewScanner(os.Stdin)
	var o *efd.Observation
	for in.Scan() {
		var word string
		var n int
		fmt.Sscan(in.Text(), &word, &n)
		var err error
		switch word {
		case "go":
			took := pingPong(n)
			fmt.Println(took.Nanoseconds())
			continue
		case "wakes":
			o, err = efd.Observe(efd.WakesOnly(), efd.OnWake(func(efd.Wake) {}))
		case "all":
			o, err = efd.Observe(efd.OnWake(func(efd.Wake) {}))
		case "stop":
			var r *efd.Report
			if r, err = o.Stop(); err == nil {
				fmt.Println(r.Lost)
				continue
			}
		}
		if err != nil {
			return err
		}
		fmt.Println(0)
	}
	return in.Err()
}

// pingPong does n rounds, each of which is a write and a wait of either thread.
func pingPong(n int) time.Duration {
	a, b := must1(efd.New(0, 0)), must1(efd.New(0, 0))
	defer a.Close()
	defer b.Close()
	done := make(chan struct{})
	side := func(in, out *efd.EventFD, first bool) {
		// The thread ends with the goroutine: it is bound to a CPU.
		runtime.LockOSThread()
		var one unix.CPUSet
		one.Set(0)
		unix.SchedSetaffinity(0, &one) // if CPU 0 is unavailable, on any CPU
		fds := []efd.PollFD{{FD: int32(in.FD()), Events: efd.POLLIN}}
		for range n {
			if first {
				out.Write(1)
			}
			efd.Poll(fds, efd.Forever, nil)
			in.Read()
			if !first {
				out.Write(1)
			}
		}
		done <- struct{}{}
	}
	go side(a, b, false)
	start := time.Now()
	go side(b, a, true)
	<-done
	<-done
	return time.Since(start)
}

// observed is a running pinger.
type observed struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startPinger() (*observed, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), pingerEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &observed{cmd, in, bufio.NewReader(out)}, cmd.Start()
}

func (p *observed) stop() {
	p.in.Close()
	p.cmd.Wait()
}

// ask has the pinger do something and returns its answer.
func (p *observed) ask(format string, args ...any) (n int64, err error) {
	fmt.Fprintf(p.in, format+"\n", args...)
	if _, err := fmt.Fscanln(p.out, &n); err != nil {
		return 0, fmt.Errorf("the observed program: %w", err)
	}
	return n, nil
}
