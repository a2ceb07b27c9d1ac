//go:build linux

package uapi

import "testing"

// The forms are those of logs of strace 6.1.
func TestHalves(t *testing.T) {
	for _, c := range [][3]string{
		{`ppoll([{fd=3, events=POLLIN}], 1, NULL, NULL, 8) = 1 ([{fd=3, revents=POLLIN}])`, `ppoll([{fd=3, events=POLLIN}], 1, NULL, NULL, 8 <unfinished ...>`, `<... ppoll resumed>) = 1 ([{fd=3, revents=POLLIN}])`},
		{`read(3, "\1\0\0\0\0\0\0\0", 8) = 8`, `read(3,  <unfinished ...>`, `<... read resumed>"\1\0\0\0\0\0\0\0", 8) = 8`},
		{`epoll_wait(5, [{events=EPOLLIN, data={u32=3, u64=3}}], 1, -1) = 1`, `epoll_wait(5,  <unfinished ...>`, `<... epoll_wait resumed>[{events=EPOLLIN, data={u32=3, u64=3}}], 1, -1) = 1`},
		{`write(3, "\1\0\0\0\0\0\0\0", 8) = 8`, `write(3, "\1\0\0\0\0\0\0\0", 8 <unfinished ...>`, `<... write resumed>) = 8`},
		{`no call`, `no call`, ``},
	} {
		if first, second := Halves(c[0]); first != c[1] || second != c[2] {
			t.Errorf("%s:\n%s\n%s", c[0], first, second)
		}
	}
}
