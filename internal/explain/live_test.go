//go:build linux

package explain

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

func TestMain(m *testing.M) {
	if name := os.Getenv("EFD_MISTAKE"); name != "" {
		name, mended := strings.CutSuffix(name, " mended")
		for _, each := range mistakes {
			if each.name == name {
				runtime.LockOSThread()
				each.do(mended)
				os.Exit(0)
			}
		}
		fmt.Fprintln(os.Stderr, "no such mistake:", name)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// record runs a program that makes a mistake under strace and returns the log.
func record(t *testing.T, m *mistake, mended bool, options ...string) string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(strace, append(append([]string{"-f", "-o", log}, options...), os.Args[0])...)
	name := m.name
	if mended {
		name += " mended"
	}
	cmd.Env = append(os.Environ(), "EFD_MISTAKE="+name, "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1") // no SIGURG ends a wait
	var said strings.Builder
	cmd.Stderr = &said
	testenv.Start(t, cmd)
	err = cmd.Wait()
	if b := said.String(); strings.Contains(b, "PTRACE") || strings.Contains(b, "ptrace") {
		t.Skipf("strace cannot trace here: %s", strings.TrimSpace(b))
	} else if strings.Contains(b, "panic:") {
		t.Fatalf("%s: %s", name, b)
	}
	if err != nil && !m.hangs {
		t.Fatalf("%s: %v: %s", name, err, said.String())
	}
	in, err := os.ReadFile(log)
	if err != nil {
		t.Fatalf("%v; strace said %q", err, said.String())
	}
	return string(in)
}

// Each code is given to a program that makes the mistake on the running
// kernel, and not to the program that is mended.
func TestMistakesLive(t *testing.T) {
	options := [][]string{{"-tt", "-T"}, nil, {"-ttt"}, {"-r", "-yy"}, {"-y", "-T"}}
	have := map[string]bool{}
	for i := range mistakes {
		m := &mistakes[i]
		have[m.code] = true
		t.Run(m.name, func(t *testing.T) {
			o := options[i%len(options)]
			log := record(t, m, false, o...)
			got := codesOf(t, log, m.kernel)
			if !slices.Contains(got, m.code) {
				t.Errorf("strace %q: %q, want %s\n%s", o, got, m.code, tail(log))
			}
			for _, c := range got {
				if c != m.code && c != "waits-for" && !slices.Contains(also[m.code], c) {
					t.Errorf("strace %q: %s is false\n%s", o, c, tail(log))
				}
			}
			kernel := ""
			if m.code == "kernel-bug" {
				kernel = "6.14.9"
			}
			log = record(t, m, true, o...)
			for _, c := range codesOf(t, log, kernel) {
				if c != "waits-for" || m.code == "waits-for" {
					t.Errorf("the mended program, strace %q: %s\n%s", o, c, tail(log))
				}
			}
		})
	}
	for _, code := range Codes() {
		if !have[code] {
			t.Errorf("no program makes the mistake %s", code)
		}
	}
}

// also are codes that a program shows with its own.
var also = map[string][]string{
	"ghost-registration": {"registration-left", "closed-by-other"},
	"spin-unread":        {"never-read"},
}

// codesOf are the codes of a log's warnings, each once, the most serious first.
func codesOf(t *testing.T, log, kernel string) (codes []string) {
	t.Helper()
	for _, w := range diagnosed(t, log, kernel) {
		if !slices.Contains(codes, w.Code) {
			codes = append(codes, w.Code)
		}
	}
	return codes
}

// tail is the end of a log.
func tail(log string) string {
	lines := strings.SplitAfter(log, "\n")
	return strings.Join(lines[max(len(lines)-60, 0):], "")
}
