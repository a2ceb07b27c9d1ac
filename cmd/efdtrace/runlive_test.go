//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"github.com/efd-go/efd/internal/ktrace/source/watch"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// observeTestProgram runs a program of this binary as `efdtrace run` does.
func observeTestProgram(t *testing.T, program string, args ...string) (report, stderr string) {
	t.Helper()
	t.Setenv("EFDTRACE_TEST_PROGRAM", program)
	t.Setenv("GODEBUG", "asyncpreemptoff=1") // its signals would wake threads too
	file := filepath.Join(t.TempDir(), "out")
	status, _, stderr := invoke(t, append(append([]string{"run", "-o", file}, args...), "--", os.Args[0])...)
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), stderr
}

// makeNoise keeps all CPUs busy with other programs' system calls and wakes
// until the test ends.
func makeNoise(t *testing.T) {
	t.Helper()
	for range runtime.NumCPU() {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "EFDTRACE_TEST_PROGRAM=noise", "GOMAXPROCS=3")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testenv.EndsWithin(t, 5*testenv.Limit()+*stressTime, cmd, "the noise")
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
}

// sawWake is a wake of a poller as the text of run has it.
type sawWake struct {
	pairing
	unsure bool
}

var wakeOf = regexp.MustCompile(`(?m)^ *[0-9.]+  (\d+) \S+ in write\((\d+)\) woke (\d+) \S+ in ppoll through pollwake( on eventfd \d+)?.*?( \[records were lost beside it\])?$`)

func wakesIn(t *testing.T, text string, losses bool) (all []sawWake) {
	t.Helper()
	for _, m := range wakeOf.FindAllStringSubmatch(text, -1) {
		var w sawWake
		w.Waker, _ = strconv.Atoi(m[1])
		w.FD, _ = strconv.Atoi(m[2])
		w.Wakee, _ = strconv.Atoi(m[3])
		w.unsure = m[5] != ""
		if m[4] != fmt.Sprintf(" on eventfd %d", w.FD) && !w.unsure && !(losses && m[4] == "") {
			t.Errorf("what the wake is on is missing or wrong: %s", m[0])
		}
		all = append(all, w)
	}
	return all
}

// lostOf are the losses that a report tells of, by their source.
func lostOf(text string) map[string]string {
	lost := map[string]string{}
	for _, m := range regexp.MustCompile(`(\d+)\s+of\s+((?:sched|raw_syscalls|perf|kmem):\w+)`).FindAllStringSubmatch(text, -1) {
		lost[m[2]] = m[1]
	}
	return lost
}

// On a machine that is busy with other programs, each wake that is shown is
// between those that took part in it, and without a loss none is missing.
func TestRunOnABusyMachine(t *testing.T) {
	needPerf(t)
	makeNoise(t)
	out, stderr := observeTestProgram(t, "pingpong 1s")
	var sides [2]side
	told(t, stderr, "sides", &sides)
	lost := lostOf(out)
	woken := map[int]int{}
	for _, w := range wakesIn(t, out, len(lost) > 0) {
		woken[w.Wakee]++
		from, to := sides[0], sides[1]
		if w.Wakee == from.TID {
			from, to = to, from
		}
		if w.Waker != from.TID || w.Wakee != to.TID || w.FD != to.FD {
			t.Fatalf("%+v woken by %+v is said to be %+v", to, from, w)
		}
	}
	for i, s := range sides {
		// A thread that was woken between its look and its sleep did not give up
		// the CPU.
		other, unnamed := sides[1-i], unnamedWakes(out, s.TID)
		if woken[s.TID] > other.Wrote || int64(woken[s.TID]+unnamed) < s.Sleeps && len(lost) == 0 {
			t.Errorf("thread %d slept %d times, %d writes were made for it, and %d wakes seen, %d without a waker", s.TID, s.Sleeps, other.Wrote, woken[s.TID], unnamed)
		}
		if s.Sleeps == 0 || woken[s.TID] == 0 {
			t.Errorf("thread %d slept %d times and was woken %d times: this shows nothing", s.TID, s.Sleeps, woken[s.TID])
		}
	}
	t.Logf("%+v, %d wakes, lost %v", sides, woken[sides[0].TID]+woken[sides[1].TID], lost)
}

// unnamedWakes counts the wakes of a thread that are not said to come of a
// write.
func unnamedWakes(text string, tid int) (n int) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, fmt.Sprintf(" woke %d ", tid)) && !wakeOf.MatchString(line) {
			n++
		}
	}
	return n
}

// In a program of 1,000 threads each wake is between the threads that took
// part in it, quiet or not.
func TestRunCrowd(t *testing.T) {
	needPerf(t)
	for _, busy := range []bool{false, true} {
		t.Run(map[bool]string{false: "quiet", true: "busy"}[busy], func(t *testing.T) {
			if busy {
				makeNoise(t)
			}
			out, stderr := observeTestProgram(t, "crowd 1000 4 250")
			var did [][]pairing
			told(t, stderr, "pairings", &did)
			made, total := map[pairing]int{}, 0
			for _, of := range did {
				for _, p := range of {
					made[p]++
					total++
				}
			}
			unsure, seen := 0, 0
			for _, w := range wakesIn(t, out, len(lostOf(out)) > 0) {
				switch {
				case w.unsure:
					unsure++
				case made[w.pairing] == 0:
					t.Errorf("%+v was not made, or not as often", w.pairing)
				default:
					made[w.pairing]--
					seen++
				}
			}
			lost := lostOf(out)
			if seen+unsure != total && len(lost) == 0 {
				t.Errorf("%d wakes of %d were seen, %d more are unsure", seen, total, unsure)
			}
			if unsure > 0 && len(lost) == 0 {
				t.Errorf("%d wakes are unsure, and nothing was lost", unsure)
			}
		})
	}
}

// needRoot ends the test where it cannot become another user.
func needRoot(t *testing.T) *user.User {
	t.Helper()
	if os.Geteuid() != 0 {
		testenv.Require(t, "root", fmt.Errorf("user ID %d cannot become another", os.Geteuid()))
	}
	u, err := user.Lookup("nobody")
	testenv.Require(t, "root", err)
	return u
}

// elsewhere copies this binary to where every user can run it.
func elsewhere(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "efdtrace-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "program")
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(path, b, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// efdtrace is this binary as the command, with what it starts as the program.
func efdtrace(t *testing.T, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "EFDTRACE_TEST_PROGRAM=efdtrace "+program)
	return cmd
}

func TestRunAsUser(t *testing.T) {
	needPerf(t)
	u := needRoot(t)
	third, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.WriteString("third")
	w.Close()
	defer third.Close()
	cmd := efdtrace(t, "who", "run", "-o", filepath.Join(t.TempDir(), "report"), "-u", u.Username, "--", elsewhere(t))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles = strings.NewReader("line\n"), &stderr, []*os.File{third}
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
		t.Fatalf("%v, want the program's status 7: %s", err, stderr.String())
	}
	var id identity
	told(t, stderr.String(), "identity", &id)
	four := func(s string) string { return strings.Join([]string{s, s, s, s}, "\t") }
	groups, err := u.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"Uid": four(u.Uid), "Gid": four(u.Gid), "Groups": strings.Join(groups, " "), "TracerPid": "0",
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapAmb": "0000000000000000",
	} {
		if id.Status[key] != want {
			t.Errorf("%s is %q, want %q", key, id.Status[key], want)
		}
	}
	if id.Home != u.HomeDir || id.Stdin != "line\n" || id.Third == "third" {
		t.Errorf("home %q, standard input %q, descriptor 3 %q, which another user is not to have", id.Home, id.Stdin, id.Third)
	}
	for fd, what := range id.Files {
		if strings.Contains(what, "perf_event") || strings.Contains(what, "trac") {
			t.Errorf("descriptor %s of the program is %s", fd, what)
		}
	}
	if status, _, stderr := invoke(t, "run", "-u", "no such user", "--", "true"); status != exitUsage || !strings.Contains(stderr, "no such user") {
		t.Errorf("an unknown user: status %d, %s", status, stderr)
	}
}

// talk is a program that one talks to by lines.
type talk struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func (k *talk) say(line string) { fmt.Fprintln(k.in, line) }

// hear reads lines until one begins with the words, and returns it.
func (k *talk) hear(words string) string {
	k.t.Helper()
	for {
		line, err := k.out.ReadString('\n')
		if strings.HasPrefix(line, words) {
			return line
		}
		if err != nil {
			k.t.Fatalf("no %q: %v", words, err)
		}
	}
}

func talkTo(t *testing.T, cmd *exec.Cmd) *talk {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	testenv.EndsWithin(t, 2*testenv.Limit()+*stressTime, cmd, strings.Join(cmd.Args, " "))
	t.Cleanup(func() { in.Close() })
	return &talk{t, in, bufio.NewReader(out)}
}

// waiterOutside starts a program that waits and is not observed yet.
func waiterOutside(t *testing.T, program string) (k *talk, pid, tid int, cmd *exec.Cmd) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EFDTRACE_TEST_PROGRAM="+program)
	k = talkTo(t, cmd)
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	fmt.Sscanf(k.hear("ready"), "ready %d %d", &pid, &tid)
	return k, pid, tid, cmd
}

// observers counts the perf descriptors of a process.
func observers(pid int) int {
	n := 0
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, f := range fds {
		if link, _ := os.Readlink(f); strings.Contains(link, "perf_event") {
			n++
		}
	}
	return n
}

// awaitReading waits until a process observes: it has its events, and sleeps
// between two readings.
func awaitReading(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		if time.Now().After(deadline) {
			t.Fatal("the command does not read")
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
		for _, task := range tasks {
			b, _ := os.ReadFile(task)
			// Go's runtime naps by nanosleep too, but never with this priority.
			if observers(pid) > 0 && strings.HasPrefix(string(b), strconv.Itoa(unix.SYS_NANOSLEEP)+" ") && niceness(filepath.Dir(task)) == "-20" {
				return
			}
		}
		runtime.Gosched()
	}
}

func niceness(task string) string {
	b, _ := os.ReadFile(task + "/stat")
	if f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])); len(f) > 16 {
		return f[16]
	}
	return ""
}

// Attached to a process, run shows what it does from then on, and a signal
// ends it with its report. The process goes on.
func TestRunAttaches(t *testing.T) {
	needPerf(t)
	needRoot(t) // for the reader's priority, by which it is known
	k, pid, tid, _ := waiterOutside(t, "waiter")
	cmd := efdtrace(t, "", "run", "-p", strconv.Itoa(pid))
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	testenv.Start(t, cmd)
	awaitReading(t, cmd.Process.Pid)
	for range 3 {
		k.say("wake")
		k.hear("woken")
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, stderr.String())
	}
	wakes := wakesIn(t, out.String(), false)
	if len(wakes) != 3 {
		t.Errorf("%d wakes of 3 in\n%s", len(wakes), out.String())
	}
	for _, w := range wakes {
		if w.Wakee != tid || w.unsure {
			t.Errorf("%+v: the waiter is %d", w, tid)
		}
	}
	// The descriptor is told with its id: it is known once nothing can have closed it.
	if !regexp.MustCompile(`on eventfd \d+ \(id \d+\)`).MatchString(out.String()) || !strings.Contains(out.String(), "3 wakes of threads that waited") {
		t.Errorf("no id, or no report in\n%s", out.String())
	}
	k.say("wake")
	k.hear("woken")
}

// TestRunOfOtherWaits: a thread that waits in a read of a pipe is none of those
// that the report counts, which it says.
func TestRunOfOtherWaits(t *testing.T) {
	needPerf(t)
	_, out, stderr := invoke(t, "run", "--", "sh", "-c", "(sleep 0.1; echo read) | cat")
	if want := "0 wakes of threads that waited in poll, select or epoll, or for an eventfd"; !strings.Contains(out, want) {
		t.Errorf("want %q: %s%s", want, out, stderr)
	}
}

// A signal reaches the program too, and the report comes all the same.
func TestRunInterrupted(t *testing.T) {
	needPerf(t)
	cmd := efdtrace(t, "waiter", "run", "--", os.Args[0])
	k := talkTo(t, cmd)
	k.hear("ready")
	k.say("wake")
	k.hear("woken")
	cmd.Process.Signal(os.Interrupt)
	rest, _ := io.ReadAll(k.out)
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 128+int(syscall.SIGINT) {
		t.Errorf("status %d, want that of a program that SIGINT ended", status)
	}
	if !strings.Contains(string(rest), "wakes of threads that waited") {
		t.Errorf("no report in\n%s", rest)
	}
}

// nothingLeft checks that no observer is left in the kernel.
func nothingLeft(t *testing.T) {
	t.Helper()
	if fs, err := tracefs.Open(); err == nil {
		defer fs.Close()
		left, err := fs.ReadDir("instances")
		if err != nil {
			t.Error(err)
		}
		for _, name := range left {
			if strings.HasPrefix(name, "efdtrace-") {
				t.Errorf("an instance of the tracer is left: %s", name)
			}
		}
	}
	syms, err := ksym.Load()
	if err != nil {
		t.Fatal(err)
	}
	w, err := watch.Open(watch.Config{Symbols: syms})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range 2 {
		fd, armed, err := w.Eventfd(func() (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC) })
		if err != nil || !armed {
			t.Errorf("eventfd %d of 2 cannot be watched: watchpoints are left (%v)", i+1, err)
		}
		unix.Close(fd)
	}
}

func needWatch(t *testing.T) {
	t.Helper()
	needPerf(t)
	testenv.Exclusive(t, "watchpoints")
	testenv.Require(t, "watch", watch.Probe())
}

// A tracer that is killed leaves nothing behind, and the program lives on.
func TestKilledTracerLeavesNothing(t *testing.T) {
	needWatch(t)
	cmd := efdtrace(t, "waiter", "run", "-watch", "-o", os.DevNull, "--", os.Args[0])
	k := talkTo(t, cmd)
	var pid int
	fmt.Sscanf(k.hear("ready"), "ready %d", &pid)
	for range 3 {
		k.say("wake")
		k.hear("woken")
	}
	if observers(cmd.Process.Pid) == 0 {
		t.Error("the tracer has no perf descriptor: this shows nothing")
	}
	if n := observers(pid); n != 0 {
		t.Errorf("the program has %d perf descriptors", n)
	}
	cmd.Process.Kill()
	if state, err := cmd.Process.Wait(); err != nil || !state.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("the tracer was not killed: %v, %v", state, err)
	}
	k.say("wake")
	k.hear("woken")
	nothingLeft(t)
	k.in.Close()
	io.Copy(io.Discard, k.out) // to its end
}

// A program that is killed while it observes itself leaves nothing either.
func TestKilledObserverLeavesNothing(t *testing.T) {
	needWatch(t)
	k, pid, _, cmd := waiterOutside(t, "observed")
	k.say("wake")
	k.hear("woken")
	if observers(pid) == 0 {
		t.Error("the program has no perf descriptor: this shows nothing")
	}
	cmd.Process.Kill()
	cmd.Wait()
	nothingLeft(t)
}

// Eventfds that the program makes are watched: who waits for them, and who
// changes them.
func TestRunWatches(t *testing.T) {
	needWatch(t)
	wanted := []string{"in ppoll was put on the wait queue of eventfd ", "in ppoll was taken off the wait queue of eventfd ", ") changed the counter of eventfd ",
		"watchpoint: add_wait_queue < eventfd_poll"}
	cmd := efdtrace(t, "crowd 3 1 0", "run", "-watch", "--", os.Args[0])
	k := talkTo(t, cmd)
	var out, last string
	for {
		line, err := k.out.ReadString('\n')
		if err != nil {
			break
		}
		out += line
		// A sentence may be of three lines. Watching starts some time after an
		// eventfd is made.
		last = strings.Join(append(strings.Fields(last), strings.Fields(line)...), " ")
		if n := len(last); n > 500 {
			last = last[n-500:]
		}
		wanted = slices.DeleteFunc(wanted, func(w string) bool { return strings.Contains(last, w) })
		if len(wanted) == 0 {
			k.in.Close()
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, w := range append(wanted, ": all watchpoints") {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), w) {
			t.Errorf("no %q in\n%s", w, out)
		}
	}
	if strings.Contains(out, "undocumented") || strings.Contains(out, "contradicted") {
		t.Errorf("findings in\n%s", out)
	}
}

// What run keeps does not grow with what it sees. Ten minutes of it show no
// more than these seconds do.
func TestRunMemory(t *testing.T) {
	needPerf(t)
	runMemory(t)
}

func TestRunTracedMemory(t *testing.T) {
	needFtrace(t)
	runMemory(t, "-trace")
}

func runMemory(t *testing.T, args ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes 5 s")
	}
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	cmd := efdtrace(t, "pingpong 5s", append(append([]string{"run"}, args...), "-o", os.DevNull, "--", os.Args[0])...)
	cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1", "EFDTRACE_TEST_HOLD=1")
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	k := talkTo(t, cmd)
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+)`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmHWM in %s", b)
	}
	if most, _ := strconv.Atoi(string(m[1])); most > 64<<10 {
		t.Errorf("%d KB at most, want no more than 64 MB", most)
	} else {
		t.Logf("%d KB at most", most)
	}
	k.in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
