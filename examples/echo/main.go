//go:build linux

// Echo is a server with one event loop for all connections: each is registered
// once, edge-triggered, and read and written until the kernel has no more. At
// SIGTERM or SIGINT it echoes the rest, says so to the peers by a FIN, and ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// grace is how long peers have to close after the server's FIN.
const grace = 5 * time.Second

func main() {
	listen := flag.String("listen", "127.0.0.1:7007", "the `address`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := serve(ctx, *listen); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer l.Close()
	p, err := efd.NewEpoll()
	if err != nil {
		return err
	}
	defer p.Close()
	s := &server{epoll: p, clients: map[uint64]*client{}, buf: make([]byte, 64<<10)}
	accepted := make(chan error, 1)
	go func() { accepted <- s.accept(l) }()
	fmt.Println("listening on", l.Addr())

	err = s.loop(ctx)
	if !errors.Is(err, context.Canceled) {
		return err
	}
	l.Close()
	<-accepted // from here on there are no new clients
	rest, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := s.finish(rest); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	fmt.Println("stopped,", s.closeAll(), "clients left")
	return nil
}

type server struct {
	epoll *efd.Epoll
	buf   []byte // of the loop

	mu      sync.Mutex
	clients map[uint64]*client
	last    uint64
}

// client is a connection. All but conn is the loop's.
type client struct {
	id      uint64 // the data of its events: no number that another connection gets later
	conn    net.Conn
	raw     syscall.RawConn
	pending []byte // read, and not written yet
	ending  bool   // to be ended by a FIN once there is nothing to echo
	shut    bool   // the FIN was sent
}

func (s *server) accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		if err := s.add(conn); err != nil {
			log.Print(err)
			conn.Close()
		}
	}
}

func (s *server) add(conn net.Conn) error {
	c, err := efd.ConnOf(conn)
	if err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.last++
	id := s.last
	s.clients[id] = &client{id: id, conn: conn, raw: raw}
	s.mu.Unlock()
	// Known before its first event. EPOLLOUT is an edge too: it comes when a
	// full send buffer has room, and costs nothing until then.
	if err := s.epoll.AddConn(c, efd.EPOLLIN|efd.EPOLLOUT|efd.EPOLLRDHUP|efd.EPOLLET, id); err != nil {
		s.mu.Lock()
		delete(s.clients, id)
		s.mu.Unlock()
		return err
	}
	return nil
}

// loop serves until ctx is done or, if there are none to come, no client is
// left.
func (s *server) loop(ctx context.Context) error {
	events := make([]efd.EpollEvent, 256)
	for {
		n, err := s.epoll.WaitContext(ctx, events)
		if err != nil {
			return err
		}
		for _, ev := range events[:n] {
			s.mu.Lock()
			c := s.clients[ev.Data()]
			s.mu.Unlock()
			if c != nil { // else it was closed by an earlier event
				s.handle(c)
			}
		}
	}
}

// finish echoes the rest to each client, and waits until all have closed.
func (s *server) finish(ctx context.Context) error {
	for _, c := range s.all() {
		c.ending = true
		s.handle(c)
	}
	events := make([]efd.EpollEvent, 256)
	for len(s.clients) > 0 {
		n, err := s.epoll.WaitContext(ctx, events)
		if err != nil {
			return err
		}
		for _, ev := range events[:n] {
			if c := s.clients[ev.Data()]; c != nil {
				s.handle(c)
			}
		}
	}
	return nil
}

func (s *server) all() (list []*client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		list = append(list, c)
	}
	return list
}

// handle echoes until the socket has no more to read, or no more room. An edge
// is over only with EAGAIN.
func (s *server) handle(c *client) {
	for {
		if len(c.pending) > 0 {
			n, err := c.do(c.raw.Write, func(fd int) (int, error) { return unix.Write(fd, c.pending) })
			if err == unix.EAGAIN {
				return // an edge of EPOLLOUT goes on here
			}
			if err != nil {
				s.close(c)
				return
			}
			c.pending = c.pending[n:]
			continue
		}
		n, err := c.do(c.raw.Read, func(fd int) (int, error) { return unix.Read(fd, s.buf) })
		switch {
		case err == unix.EAGAIN && c.ending && !c.shut:
			c.shut = true
			if t, ok := c.conn.(*net.TCPConn); !ok || t.CloseWrite() != nil {
				s.close(c)
			}
			return
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			s.close(c)
			return
		case !c.shut:
			c.pending = append(c.pending[:0], s.buf[:n]...)
		}
	}
}

// do makes one call on the descriptor, which is held for it. It returns true to
// the RawConn in any case, so that it does not wait.
func (c *client) do(raw func(func(uintptr) bool) error, call func(fd int) (int, error)) (n int, err error) {
	held := raw(func(fd uintptr) bool {
		for {
			if n, err = call(int(fd)); err != unix.EINTR {
				return true
			}
		}
	})
	if held != nil {
		return 0, held
	}
	return n, err
}

// close takes the registration out with the last descriptor of the connection.
func (s *server) close(c *client) {
	s.mu.Lock()
	delete(s.clients, c.id)
	s.mu.Unlock()
	c.conn.Close()
}

func (s *server) closeAll() (n int) {
	for _, c := range s.all() {
		s.close(c)
		n++
	}
	return n
}

func init() { log.SetOutput(os.Stderr); log.SetFlags(0); log.SetPrefix("echo: ") }
