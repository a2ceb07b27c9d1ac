//go:build linux

package efdtest

import (
	"bytes"
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/clock"
)

// mono is the clock of calls and wakes, CLOCK_MONOTONIC.
func mono() time.Duration { return clock.Monotonic() }

// goroutine returns the running goroutine's ID, and whether it is in a bubble of
// package synctest. The first line of its stack has both:
//
//	goroutine 35 [running, synctest bubble 34]:
func goroutine() (id int, bubble bool) {
	var buf [96]byte
	line, _, _ := bytes.Cut(buf[:runtime.Stack(buf[:], false)], []byte("\n"))
	text, _ := bytes.CutPrefix(line, []byte("goroutine "))
	number, rest, _ := bytes.Cut(text, []byte(" "))
	id, _ = strconv.Atoi(string(number))
	return id, bytes.Contains(rest, []byte("synctest"))
}

// parked is a goroutine in a dump.
type parked struct {
	state string // "IO wait", "select", "syscall", …
	stack string
}

// dump returns the state and the stack of a goroutine, "" once it has ended.
func dump(id int) parked {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= 16<<20 {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	head := fmt.Sprintf("goroutine %d ", id)
	for part := range strings.SplitSeq(string(buf), "\n\n") {
		if rest, ok := strings.CutPrefix(part, head); ok {
			line, stack, _ := strings.Cut(rest, "\n")
			_, state, _ := strings.Cut(line, "[")
			state, _, _ = strings.Cut(state, "]")
			state, _, _ = strings.Cut(state, ",")
			return parked{state, stack}
		}
	}
	return parked{}
}

// maxFrames bounds the lines of a stack in a failure.
const maxFrames = 8

// frames are the functions of a stack that are not Go's own, with their places.
func (p parked) frames() (out []string) {
	lines := strings.Split(p.stack, "\n")
	for i := 0; i+1 < len(lines) && len(out) < maxFrames; i += 2 {
		name := lines[i]
		if !strings.HasPrefix(name, module) && inLibrary(name) {
			continue
		}
		if at := strings.LastIndexByte(name, '('); at > 0 && !strings.HasPrefix(name, "created by ") {
			name = name[:at]
		}
		file, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " ")
		out = append(out, short(name)+"  "+short(file))
	}
	return out
}

// at is the innermost place in a stack that is neither Go's nor efd's.
func (p parked) at() string {
	lines := strings.Split(p.stack, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		if inLibrary(lines[i]) {
			continue
		}
		file, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " ")
		return short(file)
	}
	return ""
}

// module is the path of the library.
const module = "github.com/efd-go/efd"

// inLibrary reports whether a function is of Go's lower layers or of efd.
func inLibrary(function string) bool {
	function = strings.TrimPrefix(function, "created by ")
	if rest, ok := strings.CutPrefix(function, module); ok {
		return rest != "" && (rest[0] == '.' || strings.HasPrefix(rest, "/internal/") || strings.HasPrefix(rest, "/efdtest."))
	}
	for _, prefix := range []string{"runtime.", "syscall.", "internal/", "os.", "testing.", "sync.", "golang.org/x/sys/unix."} {
		if strings.HasPrefix(function, prefix) {
			return true
		}
	}
	return false
}

// short is a file and line without its directories.
func short(file string) string { return file[strings.LastIndexByte(file, '/')+1:] }

// place is a line of the test, and the package that it is in.
type place struct{ pkg, at string }

// testPlace finds the caller that is not of this package.
func testPlace() place {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, module+"/efdtest.") || strings.HasSuffix(f.File, "_test.go") {
			pkg := f.Function
			if i := strings.LastIndexByte(pkg, '/'); i >= 0 {
				name, _, _ := strings.Cut(pkg[i:], ".")
				pkg = pkg[:i] + name
			} else {
				pkg, _, _ = strings.Cut(pkg, ".")
			}
			return place{strings.TrimSuffix(pkg, "_test"), fmt.Sprintf("%s:%d", short(f.File), f.Line)}
		}
		if !more {
			return place{}
		}
	}
}

// isTesting reports whether t is of package testing itself.
func isTesting(t testing.TB) bool {
	switch t.(type) {
	case *testing.T, *testing.B, *testing.F:
		return true
	}
	return false
}

// keepsArtifacts reports whether go test runs with -artifacts.
func keepsArtifacts() bool {
	f := flag.Lookup("test.artifacts")
	return f != nil && f.Value.String() == "true"
}
