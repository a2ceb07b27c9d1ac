//go:build linux

package main

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

//go:embed c/peer.c
var peerSource []byte

// cPeer is the C program, started once and asked for one run after the other.
type cPeer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startC(dir string) (*cPeer, error) {
	src, bin := filepath.Join(dir, "peer.c"), filepath.Join(dir, "peer")
	if err := os.WriteFile(src, peerSource, 0o600); err != nil {
		return nil, err
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if out, err := exec.Command(cc, "-O2", "-Wall", "-pthread", "-o", bin, src).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %v\n%s", cc, err, out)
	}
	p := &cPeer{cmd: exec.Command(bin)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.cmd.Start()
}

func (p *cPeer) stop() {
	p.in.Close()
	p.cmd.Wait()
}

// run does n operations of name on size descriptors.
func (p *cPeer) run(name string, n, size int) (time.Duration, error) {
	fmt.Fprintf(p.in, "%s %d %d\n", name, n, size)
	var ns int64
	if _, err := fmt.Fscanln(p.out, &ns); err != nil {
		return 0, fmt.Errorf("the C program, %s: %w", name, err)
	}
	return time.Duration(ns), nil
}
