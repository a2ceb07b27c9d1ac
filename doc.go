// Package efd has typed handles over the kernel's eventfd2, ppoll, pselect6
// and epoll calls on Linux, and shows the path that the running kernel takes
// behind each of them.
package efd
