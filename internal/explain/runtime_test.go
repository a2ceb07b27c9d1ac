//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestGoRuntime: what looks like Go's poller is called so in a Go program alone.
func TestGoRuntime(t *testing.T) {
	const words = "the Go runtime's own"
	const pattern = "9 epoll_create1(EPOLL_CLOEXEC) = 4\n9 eventfd2(0, EFD_CLOEXEC|EFD_NONBLOCK) = 6\n" +
		"9 epoll_ctl(4, EPOLL_CTL_ADD, 6, {events=EPOLLIN, data={u32=10630488, u64=10630488}}) = 0\n"
	for _, proof := range []string{
		"9 mmap(0xc000000000, 67108864, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0xc000000000\n",
		"9 clone(child_stack=0xc000052000, flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM) = 10\n",
		"9 sigaltstack({ss_sp=0xc000004000, ss_flags=0, ss_size=32768}, NULL) = 0\n",
		"9 --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL, si_pid=9, si_uid=0} ---\n",
		"9 tgkill(9, 10, SIGURG) = 0\n",
		"9 rt_sigaction(SIGURG, {sa_handler=0x480e40, sa_mask=~[], sa_flags=SA_RESTORER|SA_ONSTACK|SA_RESTART|SA_SIGINFO, sa_restorer=0x480f80}, NULL, 8) = 0\n",
		"9 openat(AT_FDCWD, \"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size\", O_RDONLY) = 3\n9 read(3, \"2097152\\n\", 20) = 8\n9 close(3) = 0\n",
	} {
		for _, log := range []string{proof + pattern, pattern + proof} {
			if got := text(t, log, Options{FD: -1}); !strings.Contains(got, words) {
				t.Errorf("nothing says %q:\n%s", words, got)
			}
		}
	}
	java := strings.NewReplacer("EFD_CLOEXEC|EFD_NONBLOCK", "0", "u32=10630488, u64=10630488", "u32=6, u64=140535624892422")
	for name, log := range map[string]string{
		"no proof":              pattern,
		"Java":                  java.Replace(pattern),
		"Java, beside Go":       "9 tgkill(9, 10, SIGURG) = 0\n" + java.Replace(pattern),
		"Java reads that too":   "9 openat(AT_FDCWD, \"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size\", O_RDONLY) = 3\n9 read(3, \"2097152\\n\", 4096) = 8\n9 close(3) = 0\n" + pattern,
		"of another process":    "8 tgkill(9, 10, SIGURG) = 0\n8 fork() = 9\n" + pattern,
		"another program since": "9 tgkill(9, 10, SIGURG) = 0\n9 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n" + pattern,
		"another stack":         "9 clone(child_stack=0xc00005200000, flags=CLONE_VM) = 10\n" + pattern,
	} {
		got := text(t, log, Options{FD: -1, Paths: on618})
		if strings.Contains(got, "Go runtime") {
			t.Errorf("%s:\n%s", name, got)
		}
		if !strings.Contains(got, "ep_insert") {
			t.Errorf("%s: no path in\n%s", name, got)
		}
	}
}
