//go:build linux

// Package examples runs the programs below it.
package examples

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

func build(t *testing.T, name string) string {
	t.Helper()
	_, err := exec.LookPath("go")
	testenv.Require(t, "go", err)
	bin := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", bin, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// program is one that runs, and its lines.
type program struct {
	cmd   *exec.Cmd
	lines chan string
	errs  bytes.Buffer
}

func start(t *testing.T, bin string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(bin, args...), lines: make(chan string, 1000)}
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	testenv.Start(t, p.cmd)
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p
}

// line is the rest of the next line that begins so.
func (p *program) line(t *testing.T, prefix string) string {
	t.Helper()
	type line struct {
		text string
		ok   bool
	}
	found := make(chan line, 1)
	go func() {
		for text := range p.lines {
			if rest, ok := strings.CutPrefix(text, prefix); ok {
				found <- line{rest, true}
				return
			}
		}
		found <- line{}
	}()
	l := testenv.Receive(t, found, "the line "+prefix)
	if !l.ok {
		t.Fatalf("the program ended without the line %q: %v, %s", prefix, p.cmd.Wait(), p.errs.String())
	}
	return l.text
}

// ends waits for the end of the program, which is a success.
func (p *program) ends(t *testing.T) {
	t.Helper()
	for range p.lines {
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%v, %s", err, p.errs.String())
	}
}

// Each client has its bytes back, also those that it sent before SIGTERM, and
// then the end.
func TestEcho(t *testing.T) {
	p := start(t, build(t, "echo"), "-listen", "127.0.0.1:0")
	addr := p.line(t, "listening on ")
	data := make([]byte, 1<<20) // more than a socket takes: the server has to stop half way
	rand.Read(data)
	var clients sync.WaitGroup
	echoed := make(chan struct{}, 16)
	for i := range cap(echoed) {
		clients.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				echoed <- struct{}{}
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(testenv.Limit()))
			want := data[:len(data)>>(i%8)]
			go conn.Write(want)
			got := make([]byte, len(want))
			_, err = io.ReadFull(conn, got)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("client %d: echo differs, %v", i, err)
			}
			echoed <- struct{}{}
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Errorf("client %d: %d bytes after the echo, %v; want the end", i, len(rest), err)
			}
		})
	}
	for range cap(echoed) {
		testenv.Receive(t, echoed, "an echo")
	}
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	testenv.Within(t, "the clients' ends", clients.Wait)
	if left := p.line(t, "stopped, "); left != "0 clients left" {
		t.Errorf("stopped with %s", left)
	}
	p.ends(t)
}

func TestSupervisor(t *testing.T) {
	p := start(t, build(t, "supervisor"))
	for i, want := range []string{"1", "2", "3"} {
		if got := p.line(t, "child: job "); got != want {
			t.Errorf("job %d is %s", i, got)
		}
	}
	p.line(t, "supervisor: 3 jobs done")
	p.ends(t)
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	p := start(t, build(t, "watch"), "-dir", dir, "-every", "10ms")
	tid := p.line(t, "watching, thread ")
	p.line(t, "clock: ")
	if err := os.WriteFile(filepath.Join(dir, "made"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.line(t, "directory: made, mask 0x100")
	var n int
	for _, c := range tid {
		n = n*10 + int(c-'0')
	}
	if err := unix.Tgkill(p.cmd.Process.Pid, n, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	p.line(t, "signal: SIGUSR1")
	p.ends(t)
}
