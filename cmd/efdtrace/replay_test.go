//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// plainRecording is the golden recording without its compression, with each
// change made to it.
func plainRecording(t *testing.T, changes ...string) []byte {
	t.Helper()
	f, err := os.Open(goldenRecording)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.NewReplacer(changes...).Replace(string(b)))
}

func replayForms() []string {
	return slices.DeleteFunc(slices.Clone(formats), func(f string) bool { return f == "recording" })
}

// TestReplayStatus: a finding is one in every form, and from everywhere.
func TestReplayStatus(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		content []byte
		want    int
	}{
		"right": {plainRecording(t), exitOK},
		"wrong": {plainRecording(t, `"name":"pollwake"`, `"name":"other_wake"`), exitFinding},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, form := range replayForms() {
			var first string
			for _, from := range []string{"file", "fifo", "pipe", "redirected"} {
				cmd := efdtrace(t, "", "replay", "-format", form, file)
				var out, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &stderr
				switch from {
				case "fifo":
					pipe := filepath.Join(dir, name+form)
					if err := unix.Mkfifo(pipe, 0o600); err != nil {
						t.Fatal(err)
					}
					go os.WriteFile(pipe, c.content, 0)
					cmd.Args[len(cmd.Args)-1] = pipe
				case "pipe":
					cmd.Stdin = bytes.NewReader(c.content)
					cmd.Args[len(cmd.Args)-1] = "-"
				case "redirected":
					f, err := os.Open(file)
					if err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					cmd.Stdin = f
					cmd.Args[len(cmd.Args)-1] = "/dev/stdin"
				}
				testenv.Start(t, cmd)
				if got := within(t, cmd, 30*time.Second, "a replay"); got != c.want {
					t.Errorf("%s, %s, %s: status %d, want %d: %s", name, form, from, got, c.want, stderr.String())
				}
				if form == "text" {
					if first == "" {
						first = out.String()
					}
					if out.String() != first || first == "" {
						t.Errorf("%s, %s: %d bytes, and %d from a file", name, from, out.Len(), len(first))
					}
				}
			}
		}
	}
}

// TestReplayOfNoRecording: what is no recording is not read to its end.
func TestReplayOfNoRecording(t *testing.T) {
	for _, name := range []string{os.DevNull, "/dev/zero", "/dev/urandom", t.TempDir()} {
		cmd := efdtrace(t, "", "replay", name)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		testenv.Start(t, cmd)
		if got := within(t, cmd, 20*time.Second, "no recording"); got != exitCannot || !strings.Contains(stderr.String(), name) {
			t.Errorf("%s: status %d: %s", name, got, stderr.String())
		}
	}
	status, _, stderr := invoke(t, "replay", "-")
	if status != exitCannot || !strings.Contains(stderr, "standard input: no recording: empty") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// TestReplayLeavesNothing: what a recording from a pipe is kept in has no name.
func TestReplayLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "replay", "-")
	cmd.Env = append(os.Environ(), "EFDTRACE_TEST_PROGRAM=efdtrace ", "TMPDIR="+dir)
	cmd.Stdin = bytes.NewReader(plainRecording(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}
