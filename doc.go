// Package efd has typed handles over the kernel's eventfd2, ppoll, pselect6 and
// epoll calls on Linux, and shows the path that the running kernel takes in
// each of them.
//
// # Handles
//
// [New] makes an [EventFD], the kernel's counter that threads, processes and
// the kernel itself signal each other with:
//
//	e, err := efd.New(0, 0)
//	err = e.Write(1)                 // add
//	n, err := e.Read()               // take, or EAGAIN
//	n, err = e.ReadContext(ctx)      // wait for it in Go's poller, without a thread
//
// [Poll] and [Select] wait for descriptors by number, with a time limit to the
// nanosecond and a signal mask that the kernel swaps in for the wait. [PollSet]
// holds its members, so that none of them is mistaken for a file that has its
// number later. [Epoll] has all of epoll(7), 64 bits of data for each
// descriptor included, and waits on a thread or in Go's poller.
//
// # Which wait
//
// A goroutine that waits holds a thread, or lies in the runtime netpoller:
//
//   - one eventfd, without a thread: [EventFD.ReadContext]
//   - many descriptors, without a thread: [Epoll.WaitContext]; on a thread, with
//     a signal mask or a timeout to the nanosecond: [Epoll.Wait]
//   - a few descriptors, on a thread, again and again: [PollSet]
//   - a few numbers, on a thread, once: [Poll], or [Select] for code that has
//     fd_sets
//
// A net.Conn is given to PollSet and Epoll by [ConnOf]. SIGTERM ends a wait that
// takes a context, by [os/signal.NotifyContext]. The waits on a thread can be
// asserted of in a test with package efdtest.
//
// # Closing
//
// A handle may be closed while others use it. Close returns immediately, the
// waits of others end in [os.ErrClosed], and the last user closes the
// descriptor. No method uses an fd that is no longer the handle's.
//
// # Errors
//
// The kernel's errors are of type *[os.SyscallError], so that errors.Is(err,
// unix.EAGAIN) holds. Invalid arguments are refused before the call if they can
// be recognised, by an error that names the argument and the rule, and still
// wraps the errno. So errors are compared by [errors.Is] and not by ==:
// docs/x-sys-unix.md, "Coming from x/sys/unix", has this and the other
// differences. A signal ends a wait only if it was given a mask, in
// *[InterruptedError].
//
// # Calls
//
// One method makes one system call, unless its documentation says otherwise.
// [AddTracer] reports each of them as strace prints it, and [Call.Path] returns
// the kernel's documented path of it. [Observe] shows the running kernel's. See
// pages eventfd(2), poll(2), select(2), epoll(7) and signal(7) of the manual.
//
// # Other systems
//
// The package is for Linux. Elsewhere a program that imports it is refused:
// "build constraints exclude all Go files". One that builds elsewhere too has
// the import, and the types made from it, in a file for Linux,
//
//	// wake_linux.go
//	package loop
//
//	import "github.com/efd-go/efd"
//
//	type waker = efd.EventFD
//
//	func newWaker() (*waker, error) { return efd.New(0, 0) }
//
// and the same names in a file for all others:
//
//	// wake_other.go
//	//go:build !linux
//
//	package loop
//
//	import "errors"
//
//	type waker struct{}
//
//	func newWaker() (*waker, error) { return nil, errors.ErrUnsupported }
//	func (*waker) Signal() error    { return errors.ErrUnsupported }
//	func (*waker) Close() error     { return nil }
package efd

// Every other file of the module is for Linux; this one names a package that
// has no file elsewhere.
import _ "github.com/efd-go/efd/internal/linuxonly"
