//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// explainOf runs the sub-command on standard input.
func explainOf(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(&env{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs}, append([]string{"explain"}, args...))
	return status, out.String(), errs.String()
}

const twoThreads = "7 eventfd2(0, 0) = 3\n8 read(3,  <unfinished ...>\n7 write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n8 <... read resumed>\"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n7 close(4) = 0\nhello\n"

func TestExplainStatus(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		stderr string
	}{
		{nil, exitOK, ""},
		{[]string{"-kernel", "5.4"}, exitOK, ""},
		{[]string{"-kernel", "new"}, exitUsage, "-kernel"},
		{[]string{"-format", "svg"}, exitUsage, "trace-event"},
		{[]string{"-pid", "-3"}, exitUsage, "-pid"},
		{[]string{"-pid", "x"}, exitUsage, "want a whole number"},
		{[]string{"-fd", "3.5"}, exitUsage, "want a whole number"},
		{[]string{"-json", "-format", "text"}, exitUsage, "exclude each other"},
		{[]string{"-json", "-format", "html"}, exitUsage, "exclude each other"},
		{[]string{"-json", "-format", "jsonl"}, exitOK, ""},
		{[]string{"-kernel", "6.1.x"}, exitUsage, "MAJOR.MINOR"},
		{[]string{"-kernel", "v6.1"}, exitUsage, "MAJOR.MINOR"},
		{[]string{"-kernel", "6.1.0-13-amd64"}, exitOK, ""},
		{[]string{"-nothing"}, exitUsage, "-nothing"},
		{[]string{"/nonexistent/log"}, exitCannot, "/nonexistent/log"},
		{[]string{"-o", "/nonexistent/out"}, exitCannot, "/nonexistent/out"},
		{[]string{t.TempDir()}, exitCannot, "directory"},
	} {
		status, _, stderr := explainOf(t, twoThreads, c.args...)
		if status != c.status || !strings.Contains(stderr, c.stderr) {
			t.Errorf("explain %v: status %d, want %d; stderr %q, want %q", c.args, status, c.status, stderr, c.stderr)
		}
	}
}

func TestExplainFilters(t *testing.T) {
	_, out, _ := explainOf(t, twoThreads, "-pid", "8")
	if strings.Contains(out, "7 write") || !strings.Contains(out, "8 read(3,  <unfinished ...>\n") {
		t.Errorf("-pid 8 lets through\n%s", out)
	}
	_, out, _ = explainOf(t, twoThreads, "-fd", "3")
	if strings.Contains(out, "close(4)") || strings.Contains(out, "hello") || !strings.Contains(out, "7 write") {
		t.Errorf("-fd 3 lets through\n%s", out)
	}
}

// The shape of the JSON is a contract.
func TestExplainJSON(t *testing.T) {
	status, out, _ := explainOf(t, twoThreads+"\xff\r\n", "-json")
	if status != exitOK {
		t.Fatalf("status %d", status)
	}
	want := []string{
		`{"line":1,"raw":"7 eventfd2(0, 0) = 3","type":"call","pid":7,"syscall":"eventfd2","args":["0","0"],"ret":3,"path":["eventfd2"]`,
		`{"line":2,"raw":"8 read(3,  <unfinished ...>","type":"unfinished","pid":8,"syscall":"read","args":["3"],"path":["eventfd_read"]`,
		`{"line":3,"raw":"7 write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8","type":"call","pid":7,"syscall":"write","args":["3","\"\\1\\0\\0\\0\\0\\0\\0\\0\"","8"],"ret":8,"path":["eventfd_write"]`,
		`{"line":4,"raw":"8 <... read resumed>\"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8","type":"resumed","pid":8,"syscall":"read","args":["3","\"\\1\\0\\0\\0\\0\\0\\0\\0\"","8"],"ret":8,"first_line":2,"path":["eventfd_read"]`,
		`{"line":5,"raw":"7 close(4) = 0","type":"call","pid":7,"syscall":"close","args":["4"],"ret":0,"path":[]}`,
		`{"line":6,"raw":"hello","type":"other"}`,
		`{"line":7,"raw":"` + "\ufffd" + `\r","raw_base64":"/w0=","type":"other"}`,
	}
	got := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), out)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) || !json.Valid([]byte(got[i])) {
			t.Errorf("got %s\nwant %s", got[i], want[i])
		}
	}
}

// A file of strace -ff has its thread in its name, and -o takes the output.
func TestExplainFiles(t *testing.T) {
	dir := t.TempDir()
	log, out := filepath.Join(dir, "log.4711"), filepath.Join(dir, "out.html")
	if err := os.WriteFile(log, []byte("eventfd2(0, 0) = 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, stdout, _ := explainOf(t, "", "-json", log)
	if !strings.Contains(stdout, `"pid":4711`) {
		t.Errorf("no pid of the file's name in %s", stdout)
	}
	status, stdout, stderr := explainOf(t, "", "-format", "html", "-o", out, log)
	page, err := os.ReadFile(out)
	if status != exitOK || stdout != "" || err != nil || !bytes.Contains(page, []byte("eventfd2")) {
		t.Errorf("status %d, stdout %q, stderr %q, %v", status, stdout, stderr, err)
	}
}

// The trees come where they are asked for: never by default, once, or below each
// call.
func TestExplainPaths(t *testing.T) {
	const log = "7 eventfd2(0, 0) = 3\n7 eventfd2(0, 0) = 4\n"
	count := func(args ...string) int {
		_, out, _ := explainOf(t, log, append([]string{"-kernel", "6.18"}, args...)...)
		return strings.Count(out, "eventfd2 on Linux 6.18")
	}
	for want, args := range [][]string{nil, {"-paths", "once"}, {"-paths", "all"}} {
		if got := count(args...); got != want {
			t.Errorf("explain %v: %d trees, want %d", args, got, want)
		}
	}
	if status, _, stderr := explainOf(t, log, "-paths", "some"); status != exitUsage || !strings.Contains(stderr, "none, once and all") {
		t.Errorf("-paths some: status %d, %s", status, stderr)
	}
}

func TestColumns(t *testing.T) {
	for in, want := range map[string]int{"40": 60, "100": 100, "1000": 160, "": 0, "x": 0} {
		t.Setenv("COLUMNS", in)
		if got := columns(&bytes.Buffer{}); got != want {
			t.Errorf("COLUMNS=%s: %d, want %d", in, got, want)
		}
	}
	for in, want := range map[string]bool{"C": false, "de_DE.ISO-8859-1": false, "C.UTF-8": true, "en_US.utf8": true, "": true} {
		t.Setenv("LC_ALL", in)
		t.Setenv("LC_CTYPE", "")
		t.Setenv("LANG", "")
		if got := utf8Locale(); got != want {
			t.Errorf("LC_ALL=%s: %v, want %v", in, got, want)
		}
	}
}
