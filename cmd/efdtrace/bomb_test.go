//go:build linux

package main

import (
	"bufio"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/adversary/input"
	"github.com/efd-go/efd/internal/testenv"
)

// maxMemory is the most that the command may take, in kB.
const maxMemory = 256 << 10

// bombFile writes a bomb, recordings compressed.
func bombFile(t *testing.T, b input.Bomb) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bomb")
	if !b.Log {
		name += ".gz"
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	if b.Log {
		b.Write(w)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		return name
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	w.Reset(z)
	b.Write(w)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestBombs: a file that asks for all the memory, or for ever, gets neither.
func TestBombs(t *testing.T) {
	if testing.Short() || testenv.Slow() || raceEnabled {
		t.Skip("long")
	}
	// make adversary has all of them.
	few := []string{"deep stacks", "frames", "notes", "log of closed ranges", "symbols"}
	for _, b := range input.Bombs() {
		if !slices.Contains(few, b.Name) {
			continue
		}
		file := bombFile(t, b)
		command, forms := "replay", []string{"text", "trace-event"}
		if b.Log {
			command, forms = "explain", []string{"text", "html"}
		}
		for _, form := range forms {
			cmd := exec.Command(os.Args[0], command, "-format", form, "-o", os.DevNull, file)
			cmd.Env = append(os.Environ(), "EFDTRACE_TEST_PROGRAM=efdtrace ")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			status := within(t, cmd, 90*time.Second, "bomb "+b.Name)
			usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
			if status < 0 || status == exitUsage || usage.Maxrss > maxMemory {
				t.Errorf("%s, %s: status %d, %d kB", b.Name, form, status, usage.Maxrss)
			}
			t.Logf("%-26s %-5s status %d, %4d MB, %v", b.Name, form, status, usage.Maxrss>>10, time.Since(start).Round(10*time.Millisecond))
		}
		os.Remove(file)
	}
}
