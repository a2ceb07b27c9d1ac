//go:build linux

// Package ftrace observes the entry of kernel functions with the kernel's
// function tracer, if the kernel has one and lets this process use it. It
// sees functions that a call chain leaves out, since they were reached by a
// tail call.
//
// It works in a private instance of the tracer, so that the tracer's global
// state stays as it is. The instance is removed at the end; one that a killed
// process left is removed by the next that starts.
package ftrace

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/rights"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"golang.org/x/sys/unix"
)

// The Source of events and losses, by the tracer that saw them.
const (
	// Graph is the function_graph tracer: a stack has all traced functions that
	// were entered and not left.
	Graph = "function_graph tracer"
	// Function is the function tracer: a stack has the function and the one that
	// it will return to, which is not its caller if it was reached by a tail call.
	Function = "function tracer"
)

// Config says which functions to trace and whose.
type Config struct {
	// Symbols turn names of the source into those of this kernel.
	Symbols ktrace.SymbolSet

	// Functions are the source names of the functions wanted. Those that this
	// kernel does not have, or cannot trace, are left out.
	Functions []string

	// Tasks are the processes whose threads and children are traced. Empty: the
	// whole system.
	Tasks []int

	// NoGraph has the function tracer used even if function_graph could be.
	NoGraph bool

	// Paused has nothing traced until Resume. To open takes much longer than to
	// resume.
	Paused bool

	// Most bounds the bytes of one read, 0 is 4 MiB. The rest is dropped and
	// counted as lost.
	Most int
}

// Source is a running function tracer. It implements source.Source. Its times
// are exact to a microsecond.
type Source struct {
	fs      *tracefs.FS
	in      *instance
	pipe    int
	tracer  string
	traced  []string
	all     bool                // the whole system is traced,
	except  []int               // and of this process these threads
	aliases map[string][]string // traced symbol → symbols of other functions with the same code
	stacks  map[int][]string    // TID → functions entered and not left, outermost first
	found   map[int]int         // TID → how many of these an interrupt found that is on top of them
	comm    map[string]string
	process map[int]int
	rest    []byte
	buf     []byte
	pending []ktrace.Event
	losses  []ktrace.Loss
	last    int64
	ways    map[string][]ktrace.Frame // stacks so far, so that each is made once
	most    int
	seen    map[int]int64 // CPU → time of the last line of it
	empty   int64         // when the buffers were last found empty
	asked   int64         // when kernel.ftrace_enabled was last looked at
	off     bool          // it was found to be 0 since Resume
}

var _ source.Source = (*Source)(nil)

// Open starts to trace. Its error is an *ktrace.AccessError if a privilege
// or a part of the kernel is missing.
func Open(c Config) (*Source, error) {
	fs, err := tracefs.Open()
	if err != nil {
		return nil, err
	}
	s := newSource(fs, c.Most)
	if err := s.start(c); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func newSource(fs *tracefs.FS, most int) *Source {
	return &Source{fs: fs, pipe: -1, most: cmp.Or(most, maxRead), stacks: map[int][]string{}, found: map[int]int{}, comm: map[string]string{}, process: map[int]int{},
		ways: map[string][]ktrace.Frame{}, seen: map[int]int64{}, empty: source.Now()}
}

// Probe tries whether the function tracer delivers: it traces one function that
// only programs with eventfds call, and calls it. The error is an
// *ktrace.AccessError.
func Probe() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := Open(Config{Functions: []string{"eventfd_write"}, Symbols: exact{}, Tasks: []int{os.Getpid()}, NoGraph: true})
	if err != nil {
		return err
	}
	defer s.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd2", err)
	}
	defer unix.Close(fd)
	one := uint64(1)
	if _, err := unix.Write(fd, (*[8]byte)(unsafe.Pointer(&one))[:]); err != nil {
		return os.NewSyscallError("write", err)
	}
	if err := s.Stop(); err != nil {
		return access(err)
	}
	events, err := s.Read(source.End, nil)
	if err != nil {
		return access(err)
	}
	if !slices.ContainsFunc(events, func(e ktrace.Event) bool { return e.Kind == ktrace.FuncEntry && e.TID == unix.Gettid() }) {
		if err := enabled(); err != nil {
			return err
		}
		return &ktrace.AccessError{Tier: "ftrace", Silent: true, Missing: "the function tracer accepts its settings, and does not deliver: this thread called a traced function, and there is no record of it"}
	}
	return nil
}

// enabled is why no function is traced although the tracer takes every write:
// a sysctl switches it off for the whole system.
func enabled() error {
	b, err := os.ReadFile("/proc/sys/kernel/ftrace_enabled")
	if err != nil || strings.TrimSpace(string(b)) != "0" {
		return nil
	}
	return &ktrace.AccessError{Tier: "ftrace", Silent: true,
		Missing: "the function tracer accepts its settings, and does not deliver: kernel.ftrace_enabled is 0", Change: "as root set kernel.ftrace_enabled to 1"}
}

// exact is a set of symbols that are called as in the source.
type exact struct{}

func (exact) Variants(name string) []string { return []string{name} }

func (s *Source) start(c Config) error {
	if err := perf.OwnProc(); err != nil {
		return err
	}
	if err := hasTracer(s.fs); err != nil {
		return err
	}
	if err := enabled(); err != nil {
		return err
	}
	var err error
	if s.in, err = newInstance(s.fs); err != nil {
		return access(err)
	}
	indices, err := s.choose(c)
	if err != nil {
		return err
	}
	if len(s.traced) == 0 {
		return fmt.Errorf("the kernel can trace none of the functions %v", c.Functions)
	}
	steps := []struct{ file, value string }{
		{"tracing_on", "0"}, {"trace_clock", "mono"}, {"set_ftrace_filter", indices},
	}
	for _, st := range steps {
		if err := s.in.write(st.file, st.value); err != nil {
			return access(err)
		}
	}
	if err := s.limit(c.Tasks); err != nil {
		return access(err)
	}
	if err := s.chooseTracer(c.NoGraph); err != nil {
		return access(err)
	}
	f, err := s.fs.Open(s.in.dir+"/trace_pipe", unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return access(err)
	}
	// Read with the descriptor itself: os.File would register it with Go's
	// poller, and so show up among the waiters.
	s.pipe, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	f.Close()
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(s.pipe, true); err != nil {
		return err
	}
	if c.Paused {
		return nil
	}
	s.asked = source.Now()
	return access(s.in.write("tracing_on", "1"))
}

// Resume traces on after Stop, or begins if it was opened paused, and forgets
// earlier records. Only the threads and their children are traced from now on.
// Without threads it traces the whole system, but of this process only the
// threads in except. The reader of the trace must not be traced: each read
// would produce new records, for ever.
func (s *Source) Resume(threads, except []int) error {
	if err := s.Stop(); err != nil {
		return err
	}
	// An empty file is an empty buffer.
	if err := s.in.write("trace", ""); err != nil {
		return err
	}
	if err := s.drain(math.MaxInt); err != nil {
		return err
	}
	clear(s.seen)
	s.asked, s.off = source.Now(), false
	s.except, s.all = except, len(threads) == 0
	s.forget()
	s.rest, s.pending, s.losses = nil, nil, nil
	tids := make([]string, len(threads))
	for i, tid := range threads {
		tids[i] = strconv.Itoa(tid)
	}
	if err := s.follow(tids); err != nil {
		return err
	}
	if s.all {
		if err := s.notOurselves(); err != nil {
			return err
		}
	}
	s.last = source.Now()
	return s.in.write("tracing_on", "1")
}

// hasTracer distinguishes a kernel without the function tracer from one that
// refuses it.
func hasTracer(fs *tracefs.FS) error {
	b, err := fs.ReadFile("available_tracers")
	if err != nil {
		return access(err)
	}
	if !slices.Contains(strings.Fields(string(b)), "function") {
		return &ktrace.AccessError{Tier: "ftrace", Missing: "this kernel has no function tracer", Change: "run a kernel with CONFIG_FUNCTION_TRACER"}
	}
	return nil
}

// numbersHold checks this process's PID namespace: the tracer takes and prints
// TIDs of the initial PID namespace.
func numbersHold() error {
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil || perf.InitialPIDNamespace(ns) {
		return nil // without /proc no thread is found at all
	}
	return &ktrace.AccessError{Tier: "ftrace", Missing: "the function tracer knows threads by their numbers in the initial PID namespace, and this process is in another", Change: "run it outside of the container"}
}

func access(err error) error {
	if err == nil {
		return nil
	}
	if ae, ok := errors.AsType[*ktrace.AccessError](err); ok {
		return ae
	}
	e := &ktrace.AccessError{Tier: "ftrace", Missing: "the kernel refuses its function tracer: " + err.Error(), Err: err}
	switch {
	case rights.Of().Has(unix.CAP_SYS_ADMIN) && errors.Is(err, unix.EPERM):
		e.Missing, e.Change = "this kernel locks its function tracer away, from root too", "boot a kernel that does not, such as one without lockdown"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS):
		e.Change = "run as root"
		if rights.Of().UserNamespace {
			e.Change = "run as root in the initial user namespace"
		}
	case errors.Is(err, unix.ENOENT):
		e.Missing, e.Change = "this kernel has no function tracer: "+err.Error(), "run a kernel with CONFIG_FUNCTION_TRACER and CONFIG_DYNAMIC_FTRACE"
	}
	return e
}

// chooseTracer turns on function_graph, which older kernels do not have in an
// instance, or else the function tracer.
func (s *Source) chooseTracer(noGraph bool) error {
	if !noGraph {
		err := s.in.write("current_tracer", "function_graph")
		if err == nil {
			// Options of function_graph are those of the instance only there.
			s.in.write("options/latency-format", "1") // the flags; without them no entry is known to be an interrupt's
			for _, o := range [...]string{"funcgraph-abstime", "funcgraph-proc", "funcgraph-cpu", "funcgraph-tail"} {
				if err = s.in.write("options/"+o, "1"); err != nil {
					break
				}
			}
			if err == nil {
				s.tracer = Graph
				return nil
			}
		}
	}
	s.tracer = Function
	return s.in.write("current_tracer", "function")
}

// limit traces only the threads of the processes and their children.
func (s *Source) limit(pids []int) error {
	if pids == nil {
		return nil
	}
	if err := numbersHold(); err != nil {
		return err
	}
	var tids []string
	for _, pid := range pids {
		for _, tid := range perf.Threads(pid) {
			tids = append(tids, strconv.Itoa(tid))
			s.process[tid] = pid
		}
	}
	if len(tids) == 0 {
		return fmt.Errorf("no process has a PID of %v", pids)
	}
	return s.follow(tids)
}

// TraceProcesses is Resume for the threads of some processes and their
// children, without the calling thread.
func (s *Source) TraceProcesses(pids []int) error {
	if err := numbersHold(); err != nil {
		return err
	}
	known := map[int]bool{unix.Gettid(): true}
	threads := unknown(pids, known)
	if len(threads) == 0 {
		return fmt.Errorf("no process has a PID of %v", pids)
	}
	if err := s.Resume(threads, nil); err != nil {
		return access(err)
	}
	// Those that were started between the listing and that.
	for more := unknown(pids, known); len(more) > 0; more = unknown(pids, known) {
		for _, tid := range more {
			if err := s.Also(tid); err != nil && !errors.Is(err, unix.ESRCH) {
				return access(err)
			}
		}
	}
	return nil
}

// unknown lists the threads of processes that are not known yet.
func unknown(pids []int, known map[int]bool) []int {
	var out []int
	for _, pid := range pids {
		for _, tid := range perf.Threads(pid) {
			if !known[tid] {
				known[tid] = true
				out = append(out, tid)
			}
		}
	}
	return out
}

// Also traces a further thread of this process. It may be called while
// another goroutine reads.
func (s *Source) Also(tid int) error {
	if s.all {
		s.except = append(s.except, tid)
		return s.notOurselves()
	}
	f, err := s.fs.Open(s.in.dir+"/set_ftrace_pid", unix.O_WRONLY) // not truncated: one more
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(tid))
	return errors.Join(err, f.Close())
}

// notOurselves leaves the threads of this process out, except some.
func (s *Source) notOurselves() error {
	var tids []string
	for _, tid := range perf.Threads(os.Getpid()) {
		if !slices.Contains(s.except, tid) {
			tids = append(tids, strconv.Itoa(tid))
		}
	}
	return s.in.write("set_ftrace_notrace_pid", strings.Join(tids, " ")) // Linux 5.8
}

func (s *Source) follow(tids []string) error {
	s.in.write("set_ftrace_notrace_pid", "")
	if err := s.in.write("set_ftrace_pid", strings.Join(tids, " ")); err != nil {
		return err
	}
	return s.in.write("options/function-fork", "1")
}

// choose finds the wanted functions among those that can be traced. They are
// given to the kernel by their number in its list, which takes it a thousandth
// of the time that names do.
func (s *Source) choose(c Config) (indices string, err error) {
	list, err := s.fs.ReadFile("available_filter_functions")
	if err != nil {
		return "", access(err)
	}
	want := map[string]bool{}
	s.aliases = map[string][]string{}
	for _, n := range c.Functions {
		syms := c.Symbols.Variants(n)
		for _, v := range syms {
			want[v] = true
			if base(v) == n {
				continue
			}
			for _, own := range syms {
				if base(own) == n && !slices.Contains(s.aliases[v], own) {
					s.aliases[v] = append(s.aliases[v], own)
				}
			}
		}
	}
	var b strings.Builder
	i := 0
	for sc := bufio.NewScanner(bytes.NewReader(list)); sc.Scan(); {
		i++
		if name := symbol(sc.Text()); want[name] {
			fmt.Fprintf(&b, "%d ", i)
			s.traced = append(s.traced, name)
		}
	}
	return b.String(), nil
}

// base is a symbol without the compiler's suffix after a dot.
func base(symbol string) string {
	name, _, _ := strings.Cut(symbol, ".")
	return name
}

// Traced lists the symbols that are traced, with those at the same addresses.
func (s *Source) Traced() []string {
	all := slices.Clone(s.traced)
	for _, t := range s.traced {
		all = append(all, s.aliases[t]...)
	}
	return all
}

// Tracer names the tracer that is used: Graph or Function.
func (s *Source) Tracer() string { return s.tracer }

// left is a stack after a function was left. Entries and exits may go missing
// (in an interrupt that hits the tracer itself), so the name decides where it
// is known.
func left(stack []string, name string) []string {
	if name == "" {
		return stack[:max(len(stack)-1, 0)]
	}
	for i, f := range slices.Backward(stack) {
		if f == name {
			return stack[:i]
		}
	}
	return stack
}

func (s *Source) processOf(tid int) int {
	if p, ok := s.process[tid]; ok {
		return p
	}
	if len(s.process) > 1<<14 {
		clear(s.process)
	}
	s.process[tid] = perf.ProcessOf(tid)
	return s.process[tid]
}

func (s *Source) text(comm string) string {
	if v, ok := s.comm[comm]; ok {
		return v
	}
	if len(s.comm) > 1<<12 {
		clear(s.comm)
	}
	v := strings.ToValidUTF8(strings.Clone(comm), "\uFFFD")
	s.comm[v] = v
	return v
}

// Losses implements source.Source.
func (s *Source) Losses() []ktrace.Loss {
	l := s.losses
	s.losses = nil
	return l
}

// Off reports whether the function tracer was found switched off, for the whole
// system, while this source was to trace.
func (s *Source) Off() bool { return s.off }

// askEvery is how often a source looks whether the tracer was switched off.
const askEvery = int64(100 * time.Millisecond)

// ask counts a loss if the tracer is switched off.
func (s *Source) ask(now int64) {
	if enabled() != nil {
		s.off = true
		s.losses = append(s.losses, ktrace.Loss{Source: s.tracer, Count: 1, From: s.asked, To: now})
	}
	s.asked = now
}

// Stop implements source.Source.
func (s *Source) Stop() error {
	if s.in == nil {
		return nil
	}
	if s.asked != 0 {
		s.ask(source.Now())
		s.asked = 0
	}
	return s.in.write("tracing_on", "0")
}

// Close implements source.Source.
func (s *Source) Close() error {
	var errs []error
	if s.pipe >= 0 {
		errs = append(errs, unix.Close(s.pipe))
		s.pipe = -1
	}
	if s.in != nil {
		errs = append(errs, s.in.remove())
		s.in = nil
	}
	if s.fs != nil {
		errs = append(errs, s.fs.Close())
		s.fs = nil
	}
	return errors.Join(errs...)
}
