//go:build linux

package waiters

import "github.com/efd-go/efd"

// pollEvents names the events of an entry of poll or select. The kernel adds
// POLLERR and POLLHUP to what the program asks for.
func pollEvents(mask uint32) string {
	return efd.PollEvents(mask &^ uint32(efd.POLLERR|efd.POLLHUP)).String()
}

// epollEvents names the events of an epoll's item, likewise.
func epollEvents(mask uint32) string {
	return efd.EpollEvents(mask &^ uint32(efd.EPOLLERR|efd.EPOLLHUP)).String()
}
