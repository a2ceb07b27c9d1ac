//go:build linux

package efd

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What the kernel reads and writes has its layout.
func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		what      string
		got, want uintptr
	}{
		{"EpollEvent", unsafe.Sizeof(EpollEvent{}), unsafe.Sizeof(unix.EpollEvent{})},
		{"EpollEvent.data", unsafe.Offsetof(EpollEvent{}.data), unsafe.Offsetof(unix.EpollEvent{}.Fd)},
		{"PollFD", unsafe.Sizeof(PollFD{}), unsafe.Sizeof(unix.PollFd{})},
		{"PollFD.Events", unsafe.Offsetof(PollFD{}.Events), unsafe.Offsetof(unix.PollFd{}.Events)},
		{"PollFD.Revents", unsafe.Offsetof(PollFD{}.Revents), unsafe.Offsetof(unix.PollFd{}.Revents)},
		{"timespec", unsafe.Sizeof(timespec{}), 16},
		{"epollParams", unsafe.Sizeof(epollParams{}), 8},
		{"sigsetArg", unsafe.Sizeof(sigsetArg{}), 2 * unsafe.Sizeof(uintptr(0))},
		{"SigSet", sigsetSize, sigsetBits / 8},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
	if n := unsafe.Sizeof(EventFD{}); n > 48 {
		t.Errorf("an EventFD takes %d bytes, want 48", n)
	}
}

func FuzzEpollEvent(f *testing.F) {
	f.Add(uint32(1), uint64(1)<<40)
	f.Fuzz(func(t *testing.T, events uint32, data uint64) {
		ev := NewEpollEvent(EpollEvents(events), data)
		raw := (*[unsafe.Sizeof(ev)]byte)(unsafe.Pointer(&ev))
		if ev.Events() != EpollEvents(events) || ev.Data() != data {
			t.Errorf("%#x %#x became %#x %#x", events, data, ev.Events(), ev.Data())
		}
		at := unsafe.Offsetof(unix.EpollEvent{}.Fd)
		if got := *(*[8]byte)(raw[at:]); got != *(*[8]byte)(unsafe.Pointer(&data)) {
			t.Errorf("data %#x is %x in memory", data, got)
		}
	})
}

func FuzzTimespec(f *testing.F) {
	for _, d := range []int64{0, 1, -1, 999_999_999, 1e9, math.MaxInt64, math.MinInt64} {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		d := time.Duration(n)
		var ts timespec
		p := ts.set(d)
		if d < 0 {
			if p != nil || p.duration() != Forever || p.isZero() {
				t.Errorf("%v is a limit of %v", d, p.duration())
			}
			return
		}
		if p.duration() != d || p.nsec < 0 || p.nsec > 999_999_999 || p.isZero() != (d == 0) {
			t.Errorf("%v became %+v", d, *p)
		}
	})
}

func FuzzMsec(f *testing.F) {
	for _, d := range []int64{-1, 0, 1, 999_999, 1e6, 1e6 + 1, math.MaxInt64, int64(longestPwait), int64(longestPwait) + 1} {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		d := time.Duration(n)
		msec, whole := wholeMsec(d)
		got := time.Duration(msec) * time.Millisecond
		switch {
		case d < 0:
			if msec != -1 || !whole {
				t.Errorf("%v: %d, %v", d, msec, whole)
			}
			return
		case whole != (d <= longestPwait && d%time.Millisecond == 0) || whole && got != d:
			t.Errorf("%v: %d, %v", d, msec, whole)
		}
		got = time.Duration(ceilMsec(d)) * time.Millisecond
		if want := min(d, longestPwait); got < want || got-want >= time.Millisecond {
			t.Errorf("%v became %v", d, got)
		}
	})
}

func TestParseEventFDInfo(t *testing.T) {
	for _, c := range []struct {
		text string
		want Info
		ok   bool
	}{
		{"pos:\t0\nflags:\t02004002\nmnt_id:\t15\neventfd-count:                5\n", Info{5, -1, false, 0o4002}, true},                                                          // 4.19
		{"pos:\t0\nflags:\t02\nmnt_id:\t15\neventfd-count: fffffffffffffffe\neventfd-id: 7\n", Info{MaxCount, 7, false, 2}, true},                                                // 5.10
		{"pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t2057\neventfd-count: ffffffffffffffff\neventfd-id: 0\neventfd-semaphore: 1\nnew: 1\n", Info{math.MaxUint64, 0, true, 2}, true}, // 6.18
		{"eventfd-count: 1\neventfd-id: -12\n", Info{1, -1, false, 0}, true},                                                                                                     // the id could not be had
		{"pos:\t0\nflags:\t02\nmnt_id:\t15\n", Info{}, false},
		{"eventfd-count: xyz\n", Info{}, false},
		{"eventfd-count: 10000000000000000\n", Info{}, false},
		{"", Info{}, false},
	} {
		got, ok := parseEventFDInfo([]byte(c.text))
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %+v, %v; want %+v, %v", c.text, got, ok, c.want, c.ok)
		}
	}
}

func FuzzFDInfo(f *testing.F) {
	f.Add([]byte("pos:\t0\nflags:\t02004002\neventfd-count:                a\neventfd-id: 3\neventfd-semaphore: 0\n"))
	f.Add([]byte("pos:\t0\nflags:\t02\ntfd:        5 events:       19 data: ffffffffffffffff  pos:0 ino:809 sdev:f\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if info, ok := parseEventFDInfo(text); ok && (!bytes.Contains(text, []byte("eventfd-count:")) || info.ID < -1) {
			t.Errorf("%q is %+v", text, info)
		}
		if n := len(parseInterest(text)); n > bytes.Count(text, []byte("tfd:")) {
			t.Errorf("%q has %d registrations", text, n)
		}
	})
}

func TestParseInterest(t *testing.T) {
	const text = "pos:\t0\nflags:\t02\nmnt_id:\t15\n" +
		"tfd:        5 events:       19 data: ffffffffffffffff  pos:0 ino:809 sdev:f\n" +
		"tfd:       12 events: 80000019 data:                7  pos:0 ino:809 sdev:f\n" +
		"tfd:        6 events:       1d data:                0 \n"
	want := []Interest{
		{5, EPOLLIN | EPOLLERR | EPOLLHUP, math.MaxUint64},
		{12, EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLET, 7},
		{6, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP, 0},
	}
	if d := cmp.Diff(want, parseInterest([]byte(text))); d != "" {
		t.Errorf("parseInterest (-want +got):\n%s", d)
	}
}

func FuzzMasks(f *testing.F) {
	f.Add(uint16(0x4011), uint32(0x80000019))
	f.Fuzz(func(t *testing.T, poll uint16, epoll uint32) {
		for _, s := range []string{PollEvents(poll).String(), EpollEvents(epoll).String()} {
			if s == "" || strings.HasPrefix(s, "|") || strings.HasSuffix(s, "|") || strings.Contains(s, "||") {
				t.Errorf("%#x, %#x print as %q", poll, epoll, s)
			}
		}
	})
}

// A frequent error is one value.
func TestErrorsArePrepared(t *testing.T) {
	if opRead.fail(unix.EAGAIN) != opRead.fail(unix.EAGAIN) {
		t.Error("two values for one error")
	}
	if err := opRead.fail(5000); err == nil || err.Error() == "" {
		t.Errorf("an errno beyond the table: %v", err)
	}
}

// Whichever words are beyond the descriptor table, what is left is what the
// kernel reported.
func FuzzClearStale(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(0), uint64(1<<40), uint64(3), uint64(0), uint8(1))
	f.Fuzz(func(t *testing.T, r0, w0, r1, w1, r2, w2 uint64, table uint8) {
		words := func(v ...uint64) (w []fdWord) {
			for _, x := range v {
				w = append(w, fdWord(x), fdWord(x>>32>>(fdWordBits-32)))
			}
			return w
		}
		r, w := words(r0, r1, r2), words(w0, w1, w2)
		tested := int(table) % (len(r) + 1)
		numbers := func(r, w []fdWord) (fds []int) {
			for _, words := range [][]fdWord{r, w} {
				eachFD(words, func(fd int) bool { fds = append(fds, fd); return true })
			}
			return fds
		}
		want := numbers(r[:tested], w[:tested])
		clearStale(len(want), r, nil, w)
		if got := numbers(r, w); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// BenchmarkTracingOff is what a write costs more than without the check for
// tracers, while there is none: the median of rounds in which both take turns.
func BenchmarkTracingOff(b *testing.B) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	const calls = 500
	var nothing uint64
	timed := func(write func(int, *uint64) (int, unix.Errno)) float64 {
		start := time.Now()
		for range calls {
			if _, errno := write(fd, &nothing); errno != 0 {
				b.Fatal(errno)
			}
		}
		return float64(time.Since(start)) / calls
	}
	checked := func(fd int, v *uint64) (int, unix.Errno) {
		if tracing.Load() == nil {
			return sysWriteNonblock(fd, v)
		}
		return callWrite(fd, v, false)
	}
	var more []float64
	for b.Loop() {
		without, with := timed(sysWriteNonblock), timed(checked)
		again := timed(sysWriteNonblock)
		more = append(more, with-(without+again)/2)
	}
	slices.Sort(more)
	b.ReportMetric(0, "ns/op") // which leaves it out
	b.ReportMetric(max(0, more[len(more)/2]), "ns/check")
}

// A call that the package makes by its sysX is hidden from the tracers, unless it
// is a branch for no tracers and the other one is the callX. One that it makes
// raw stops Go's scheduler if it sleeps.
func TestCallsAreMadeInTheirPlace(t *testing.T) {
	raw := []string{"sysEventfd2", "sysReadNonblock", "sysWriteNonblock", "sysFcntl", "sysEpollCreate1", "sysRtSigprocmask"}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			untraced := untracedCalls(fn)
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.Ident); ok && isSysX(f.Name) && !isSysX(fn.Name.Name) && name != "sys_trace.go" && !untraced[f] {
						t.Errorf("%s: %s calls %s: want the callX of it", name, fn.Name.Name, f.Name)
					}
				case *ast.SelectorExpr:
					if strings.HasPrefix(n.Sel.Name, "RawSyscall") {
						found++
						if name != "sys.go" || !slices.Contains(raw, fn.Name.Name) {
							t.Errorf("%s: %s makes a raw call: only %v may", name, fn.Name.Name, raw)
						}
					}
				}
				return true
			})
		}
	}
	if found != len(raw) {
		t.Errorf("%d raw calls, want the %d of %v", found, len(raw), raw)
	}
}

// untracedCalls are the calls of a sysX in fn that are made if there is no tracer,
// and by its callX otherwise: "if tracing.Load() == nil … { … sysX() } else { … callX() }".
func untracedCalls(fn *ast.FuncDecl) map[*ast.Ident]bool {
	calls := func(in ast.Node, kind string) map[string]*ast.Ident {
		found := map[string]*ast.Ident{}
		ast.Inspect(in, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if f, ok := call.Fun.(*ast.Ident); ok && strings.HasPrefix(f.Name, kind) {
					found[strings.TrimSuffix(f.Name[len(kind):], "Nonblock")] = f
				}
			}
			return true
		})
		return found
	}
	ok := map[*ast.Ident]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		branch, is := n.(*ast.IfStmt)
		if !is || branch.Else == nil || !strings.Contains(" && "+source(branch.Cond)+" && ", " && tracing.Load() == nil && ") {
			return true
		}
		traced := calls(branch.Else, "call")
		for x, f := range calls(branch.Body, "sys") {
			ok[f] = traced[x] != nil
		}
		return true
	})
	return ok
}

func source(n ast.Node) string {
	var b strings.Builder
	printer.Fprint(&b, token.NewFileSet(), n)
	return b.String()
}

func isSysX(name string) bool {
	rest, ok := strings.CutPrefix(name, "sys")
	return ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z'
}
