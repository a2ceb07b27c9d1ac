package efd

import (
	"strconv"
	"strings"
)

// maskName is one bit, or several, of a mask.
type maskName struct {
	bits uint32
	name string
}

// maskString is mask by names, and the rest of it in hex. 0 is "0".
func maskString(names []maskName, mask uint32) string {
	if mask == 0 {
		return "0"
	}
	var b strings.Builder
	for _, n := range names {
		if mask&n.bits == n.bits {
			mask &^= n.bits
			if b.Len() > 0 {
				b.WriteByte('|')
			}
			b.WriteString(n.name)
		}
	}
	if mask != 0 {
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteString("0x" + strconv.FormatUint(uint64(mask), 16))
	}
	return b.String()
}

var pollNames = []maskName{
	{uint32(POLLIN), "POLLIN"}, {uint32(POLLPRI), "POLLPRI"}, {uint32(POLLOUT), "POLLOUT"},
	{uint32(POLLRDNORM), "POLLRDNORM"}, {uint32(POLLWRNORM), "POLLWRNORM"},
	{uint32(POLLRDBAND), "POLLRDBAND"}, {uint32(POLLWRBAND), "POLLWRBAND"},
	{uint32(POLLERR), "POLLERR"}, {uint32(POLLHUP), "POLLHUP"}, {uint32(POLLNVAL), "POLLNVAL"},
	{uint32(POLLMSG), "POLLMSG"}, {uint32(POLLRDHUP), "POLLRDHUP"},
}

var epollNames = []maskName{
	{uint32(EPOLLIN), "EPOLLIN"}, {uint32(EPOLLPRI), "EPOLLPRI"}, {uint32(EPOLLOUT), "EPOLLOUT"},
	{uint32(EPOLLRDNORM), "EPOLLRDNORM"}, {uint32(EPOLLRDBAND), "EPOLLRDBAND"},
	{uint32(EPOLLWRNORM), "EPOLLWRNORM"}, {uint32(EPOLLWRBAND), "EPOLLWRBAND"},
	{uint32(EPOLLMSG), "EPOLLMSG"}, {uint32(EPOLLERR), "EPOLLERR"}, {uint32(EPOLLHUP), "EPOLLHUP"},
	{uint32(EPOLLRDHUP), "EPOLLRDHUP"}, {uint32(EPOLLEXCLUSIVE), "EPOLLEXCLUSIVE"},
	{uint32(EPOLLWAKEUP), "EPOLLWAKEUP"}, {uint32(EPOLLONESHOT), "EPOLLONESHOT"}, {uint32(EPOLLET), "EPOLLET"},
}
