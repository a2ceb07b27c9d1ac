//go:build linux

package efd_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// A net.Conn is given as it is, and one over another as that.
func TestConnOf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	check(t, err)
	defer client.Close()
	over := tls.Client(tls.Client(client, &tls.Config{}), &tls.Config{})
	p, set := newEpoll(t), newPollSet(t, efd.POLLIN)
	for name, c := range map[string]struct {
		of   any
		want syscall.Conn
	}{"connection": {client, client.(syscall.Conn)}, "listener": {l, l.(syscall.Conn)}, "TLS": {over, client.(syscall.Conn)}} {
		conn, err := efd.ConnOf(c.of)
		if err != nil || conn != c.want {
			t.Fatalf("%s: %v, %v", name, conn, err)
		}
		check(t, p.AddConn(conn, efd.EPOLLIN, 1))
		check(t, p.DeleteConn(conn))
		check(t, set.Add(conn, efd.POLLIN))
		check(t, set.Remove(conn))
	}
	pipe, _ := net.Pipe()
	for text, c := range map[string]any{
		"efd: the Conn is nil (EINVAL)": nil,
		"efd: ConnOf: *net.pipe has no descriptor: want a method SyscallConn, or NetConn (EINVAL)": pipe,
		"efd: ConnOf: int has no descriptor: want a method SyscallConn, or NetConn (EINVAL)":       3,
	} {
		if conn, err := efd.ConnOf(c); conn != nil || !errors.Is(err, unix.EINVAL) || fmt.Sprint(err) != text {
			t.Errorf("ConnOf(%v) = %v, %v; want %q", c, conn, err, text)
		}
	}
	for _, c := range []any{(*tls.Conn)(nil), (*net.TCPConn)(nil), (*efd.EventFD)(nil)} {
		if _, err := efd.ConnOf(c); !errors.Is(err, unix.EINVAL) {
			t.Errorf("ConnOf of a nil %T: %v, want EINVAL", c, err)
		}
	}
}
