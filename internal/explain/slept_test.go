//go:build linux

package explain

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

var waits10k = flag.Int("waits", 25, "how many waits of each kind the traced programs make")

// waitsFD is the eventfd that the traced program waits for, apart from those of
// Go's runtime, and waitsEpoll an epoll that has it.
const waitsFD, waitsEpoll = 900, 901

// theWaits are the waits of the traced program. They are raw, so that Go's
// scheduler has no part in them.
var theWaits = []struct {
	name string
	call func() unix.Errno
}{
	{"ppoll", func() unix.Errno {
		p := unix.PollFd{Fd: waitsFD, Events: unix.POLLIN}
		_, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, 0, 0, 8, 0)
		return e
	}},
	{"ppoll with a time-out", func() unix.Errno {
		p, limit := unix.PollFd{Fd: waitsFD, Events: unix.POLLIN}, unix.Timespec{Sec: 100}
		_, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&limit)), 0, 8, 0)
		return e
	}},
	{"pselect6", func() unix.Errno {
		var set unix.FdSet
		set.Set(waitsFD)
		limit := unix.Timespec{Sec: 100}
		_, _, e := unix.RawSyscall6(unix.SYS_PSELECT6, waitsFD+1, uintptr(unsafe.Pointer(&set)), 0, 0, uintptr(unsafe.Pointer(&limit)), 0)
		return e
	}},
	{"epoll_pwait", func() unix.Errno {
		var ev unix.EpollEvent
		_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, waitsEpoll, uintptr(unsafe.Pointer(&ev)), 1, ^uintptr(0), 0, 8)
		return e
	}},
}

// TestWaitsProgram is the traced program: it makes each wait, and takes the
// counter away if it is to sleep in the next.
func TestWaitsProgram(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("EFD_WAITS"))
	if rounds == 0 {
		t.Skip("is run by TestNoFalseClaims")
	}
	runtime.LockOSThread()
	ep, err := unix.EpollCreate1(0)
	if err == nil {
		err = unix.Dup3(ep, waitsEpoll, 0)
	}
	if err == nil {
		err = unix.Dup3(3, waitsFD, 0)
	}
	if err == nil {
		err = unix.EpollCtl(waitsEpoll, unix.EPOLL_CTL_ADD, waitsFD, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: waitsFD})
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { // has strace print calls in two halves
		for {
			unix.Getppid()
			unix.Nanosleep(&unix.Timespec{Nsec: 100_000}, nil)
		}
	}()
	fmt.Println(unix.Gettid())
	var value [8]byte
	for range rounds {
		for _, w := range theWaits {
			if e := w.call(); e != 0 && e != unix.EINTR {
				t.Fatal(w.name, e)
			}
			if os.Getenv("EFD_WAITS_SLEEP") != "" {
				unix.RawSyscall(unix.SYS_READ, waitsFD, uintptr(unsafe.Pointer(&value)), 8)
			}
		}
	}
	os.Exit(0)
}

// TestNoFalseClaims: of waits that are known to have slept none is said to have
// returned at once, and of waits that are known not to none to have slept,
// whatever times the log has and however loaded the machine is.
func TestNoFalseClaims(t *testing.T) {
	tool, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	for _, flags := range []string{"-f", "-f -T", "-f -r", "-f -t", "-f -tt", "-f -ttt -T", "-f -y -tt"} {
		for _, sleeps := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/sleeps=%v", flags, sleeps), func(t *testing.T) {
				log := traceWaits(t, tool, strings.Fields(flags), sleeps)
				checkClaims(t, log, sleeps)
			})
		}
	}
}

// traceWaits runs the program under strace and returns the log.
func traceWaits(t *testing.T, tool string, flags []string, sleeps bool) []byte {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	counter := os.NewFile(uintptr(fd), "eventfd")
	defer counter.Close()
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	if !sleeps {
		if _, err := counter.Write(one); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(t.TempDir(), "log")
	const calls = "trace=eventfd2,read,ppoll,pselect6,epoll_create1,epoll_ctl,epoll_pwait,dup3,getppid,clone,clone3"
	cmd := exec.Command(tool, slices.Concat(flags, []string{"-qq", "-o", name, "-e", calls, "--", os.Args[0], "-test.run=^TestWaitsProgram$"})...)
	cmd.Env = append(os.Environ(), "EFD_WAITS="+strconv.Itoa(*waits10k), "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	if sleeps {
		cmd.Env = append(cmd.Env, "EFD_WAITS_SLEEP=1")
	}
	cmd.ExtraFiles = []*os.File{counter}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testenv.EndsWithin(t, 10*time.Minute, cmd, "the traced program")
	first, err := bufio.NewReader(out).ReadString('\n')
	tid := strings.TrimSpace(first)
	if err != nil {
		cmd.Wait()
		if strings.Contains(said.String(), "not permitted") || strings.Contains(said.String(), "ptrace") {
			t.Skipf("needs ptrace: %s", said.String())
		}
		t.Fatalf("%v: %s", err, said.String())
	}
	for i := 0; sleeps && i < *waits10k*len(theWaits); i++ {
		untilAsleep(t, tid)
		if _, err := unix.Write(fd, one); err != nil {
			t.Fatal(err)
		}
		testenv.Until(t, "the program to take the counter", func() bool {
			n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n == 0
		})
	}
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	log, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// untilAsleep returns when a thread sleeps in a call, and not in a stop of strace.
func untilAsleep(t *testing.T, tid string) {
	t.Helper()
	testenv.Until(t, "thread "+tid+" to sleep in its wait", func() bool {
		stat, _ := os.ReadFile("/proc/" + tid + "/stat")
		at, err := os.ReadFile("/proc/" + tid + "/wchan")
		if err != nil {
			return false
		}
		if string(at) == "" {
			t.Skip("needs /proc/TID/wchan: CONFIG_KALLSYMS, and the right to trace")
		}
		_, state, _ := bytes.Cut(stat, []byte(") "))
		return bytes.HasPrefix(state, []byte("S")) && (bytes.Contains(at, []byte("poll")) || bytes.Contains(at, []byte("select")))
	})
}

// checkClaims holds the sentences on the program's waits to what is known.
func checkClaims(t *testing.T, log []byte, slept bool) {
	t.Helper()
	var seen, certain int
	words := []string{"sleep", "slept"}
	if slept {
		words = []string{"at once"}
	}
	r, x := strace.NewReader(bytes.NewReader(log), 0), New()
	check := func(n *Note, line int) {
		seen++
		if n.Outcome == AtOnce && slept || (n.Outcome == Slept || n.Outcome == TimedOut || slices.Contains(n.Branches, "slept")) && !slept {
			t.Errorf("line %d has the outcome %q and the branches %q", line, n.Outcome, n.Branches)
		}
		for _, w := range words {
			if bytes.Contains(n.Summary, []byte(w)) {
				t.Errorf("line %d: %s", line, n.Summary)
			}
		}
		if n.span.most >= 0 {
			certain++
		}
	}
	var held *Note
	for line := 0; ; line++ {
		rec, err := r.Next()
		if held != nil {
			if err == nil {
				x.follow(held, rec)
			}
			check(held, line)
			held = nil
		}
		if err != nil {
			break
		}
		n := x.Explain(rec)
		if n == nil || rec.Type == strace.Unfinished || !Concerns(rec.Call.Name) || !slices.Contains(n.FDs, waitsFD) && !slices.Contains(n.FDs, waitsEpoll) ||
			rec.Call.Name == "epoll_ctl" || rec.Call.Errno != "" {
			continue
		}
		if n.follows {
			held = n
			continue
		}
		check(n, line+1)
	}
	if want := *waits10k * len(theWaits); seen < want {
		t.Errorf("%d waits in the log, want %d", seen, want)
	}
	t.Logf("%d waits, of %d the log bounds the length", seen, certain)
}
