//go:build linux

package strace

import (
	"fmt"
	"strings"
	"testing"
)

// describe puts a record in words, so that a form is one line of a table.
func describe(rec *Record) string {
	var b strings.Builder
	b.WriteString(rec.Type.String())
	if rec.PID != 0 {
		fmt.Fprintf(&b, " pid=%d", rec.PID)
	}
	if rec.Comm != nil {
		fmt.Fprintf(&b, " comm=%q", rec.Comm)
	}
	if rec.Clock != NoClock {
		fmt.Fprintf(&b, " time=%d/%d", rec.Clock, rec.Time)
	}
	if rec.Delta >= 0 && rec.Clock != Relative {
		fmt.Fprintf(&b, " delta=%d", rec.Delta)
	}
	if rec.Number >= 0 {
		fmt.Fprintf(&b, " nr=%d", rec.Number)
	}
	if rec.IP != nil {
		fmt.Fprintf(&b, " ip=%s", rec.IP)
	}
	switch c := &rec.Call; rec.Type {
	case CallLine, Unfinished, Resumed:
		var args []string
		for _, a := range c.Args {
			args = append(args, string(a))
		}
		fmt.Fprintf(&b, " %s(%s)", c.Name, strings.Join(args, "; "))
		switch {
		case c.HasValue:
			fmt.Fprintf(&b, " = %d", c.Value)
		case c.NoValue:
			b.WriteString(" = ?")
		}
		if c.Errno != "" {
			b.WriteString(" " + c.Errno)
		}
		if c.Note != nil {
			fmt.Fprintf(&b, " note=%s", c.Note)
		}
		if c.Duration >= 0 {
			fmt.Fprintf(&b, " took=%d", c.Duration)
		}
		for flag, on := range map[string]bool{" injected": c.Injected, " killed": c.Killed, " detached": c.Detached} {
			if on {
				b.WriteString(flag)
			}
		}
		if c.First > 0 {
			fmt.Fprintf(&b, " first=%d", c.First)
		}
		if c.Restarts != "" {
			b.WriteString(" restarts=" + c.Restarts)
		}
		if !c.Whole && rec.Type != Unfinished {
			b.WriteString(" part")
		}
	case Signal, Exit, Stop, Stack, Diagnostic:
		fmt.Fprintf(&b, " %q", rec.Text)
	}
	return b.String()
}

func read(t *testing.T, log string) []string {
	t.Helper()
	r := NewReader(strings.NewReader(log), 0)
	var out []string
	for {
		rec, err := r.Next()
		if err != nil {
			return out
		}
		out = append(out, describe(rec))
	}
}

// One line each of the forms that strace has, by version and option.
func TestForms(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`write(3, "\1\0\0\0\0\0\0\0", 8) = 8`, `call write(3; "\1\0\0\0\0\0\0\0"; 8) = 8`},
		{`3358  close(3)                          = 0`, `call pid=3358 close(3) = 0`},
		{`[pid    75] close(3)       = 0`, `call pid=75 close(3) = 0`},
		{`[pid 11145<a> b 7] x>] close(3) = 0`, `call pid=11145 comm="a> b 7] x" close(3) = 0`},
		{`11145<formsp> eventfd2(0, 0) = 3`, `call pid=11145 comm="formsp" eventfd2(0; 0) = 3`},
		{`11145<my prog> 2> eventfd2(0, 0) = 3`, `call pid=11145 comm="my prog> 2" eventfd2(0; 0) = 3`},
		{`03:53:43 close(3) = 0`, `call time=1/14023000000000 close(3) = 0`},
		{`03:53:43.891240 close(3) = 0`, `call time=1/14023891240000 close(3) = 0`},
		{`77 03:54:24.710137975 close(3) = 0`, `call pid=77 time=1/14064710137975 close(3) = 0`},
		{`1795319624.570982 close(3) = 0`, `call time=2/1795319624570982000 close(3) = 0`},
		{`8382       0.000335 close(3) = 0`, `call pid=8382 time=3/335000 close(3) = 0`},
		{`     0.000335 close(3) = 0`, `call time=3/335000 close(3) = 0`},
		{`03:53:43 (+     0.000335) close(3) = 0`, `call time=1/14023000000000 delta=335000 close(3) = 0`},
		{`9724  [ 290] [00007f35b42f4e07] close(3) = 0`, `call pid=9724 nr=290 ip=00007f35b42f4e07 close(3) = 0`},
		{`[f7f1e589] close(3) = 0`, `call ip=f7f1e589 close(3) = 0`},
		{`9724  [  60] [????????????????] +++ exited with 0 +++`, `exit pid=9724 nr=60 ip=???????????????? "exited with 0"`},
		{"\x1b[33mclose\x1b[0m(\x1b[35m3\x1b[0m\x1b[0m)\x1b[0m \x1b[0m=\x1b[0m \x1b[32m0\x1b[0m", `call close(3) = 0`},

		{`30788 syscall_0x1b9(0x5, 0x7ffec9186a60, 0x4, 0x7ffec9186c50, 0, 0x8) = 0`, `call pid=30788 epoll_pwait2(0x5; 0x7ffec9186a60; 0x4; 0x7ffec9186c50; 0; 0x8) = 0`},
		{`syscall_441(0x5, 0, 0, 0, 0, 0) = -1 (errno 38)`, `call epoll_pwait2(0x5; 0; 0; 0; 0; 0) = -1 note=errno 38`},
		{`syscall_0x1bc(0, 0, 0, 0, 0, 0) = -1 ENOMSG`, `call syscall_0x1bc(0; 0; 0; 0; 0; 0) = -1 ENOMSG`},
		{`exit_group(7)                     = ?`, `call exit_group(7) = ?`},
		{`poll([{fd=3, events=POLLIN}], 1, 5) = 0 (Timeout)`, `call poll([{fd=3, events=POLLIN}]; 1; 5) = 0 note=Timeout`},
		{`read(3, 0x7ff, 8) = -1 EAGAIN (Resource temporarily unavailable) <0.000008>`, `call read(3; 0x7ff; 8) = -1 EAGAIN note=Resource temporarily unavailable took=8000`},
		{`poll([], 0, 5) = -1 EINTR (Interrupted system call) (INJECTED)`, `call poll([]; 0; 5) = -1 EINTR note=Interrupted system call injected`},
		{`write(4, "x", 1) = 8 (INJECTED) <0.000000123>`, `call write(4; "x"; 1) = 8 took=123 injected`},
		{`ppoll(NULL, 0, NULL, NULL, 8) = ? ERESTARTNOHAND (To be restarted if no handler)`, `call ppoll(NULL; 0; NULL; NULL; 8) = ? ERESTARTNOHAND note=To be restarted if no handler`},
		{`ppoll([{fd=4, events=POLLIN}], 1, NULL, NULL, 8) = 1 ([{fd=4, revents=POLLIN}], left {tv_sec=0, tv_nsec=0})`,
			`call ppoll([{fd=4, events=POLLIN}]; 1; NULL; NULL; 8) = 1 note=[{fd=4, revents=POLLIN}], left {tv_sec=0, tv_nsec=0}`},
		{`write(9, "xxx\"\n\\\1<>)=xxx) = 3"..., 100) = 100`, `call write(9; "xxx\"\n\\\1<>)=xxx) = 3"...; 100) = 100`},
		{`read(7<TCP:[127.0.0.1:80->127.0.0.1:5555]>, "a", 1) = 1`, `call read(7<TCP:[127.0.0.1:80->127.0.0.1:5555]>; "a"; 1) = 1`},
		{`eventfd2(0, 0) = 3<{eventfd-count=0, eventfd-id=1, eventfd-semaphore=0}>`, `call eventfd2(0; 0) = 3`},
		{`ioctl(0</dev/pts/1<char 136:1>>, TCGETS, {c_iflag=ICRNL, ...}) = 0`, `call ioctl(0</dev/pts/1<char 136:1>>; TCGETS; {c_iflag=ICRNL, ...}) = 0`},
		{`mmap(NULL, 2097152, PROT_READ, MAP_PRIVATE|MAP_HUGETLB|21<<MAP_HUGE_SHIFT, -1, 0) = 0x7f085a30f000`,
			`call mmap(NULL; 2097152; PROT_READ; MAP_PRIVATE|MAP_HUGETLB|21<<MAP_HUGE_SHIFT; -1; 0) = 139673849622528`},
		{`wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 7`, `call wait4(-1; [{WIFEXITED(s) && WEXITSTATUS(s) == 0}]; 0; NULL) = 7`},
		{`select(7, [4 5], NULL, [6], NULL) = 2 (in [4]], except [6], left {tv_sec=0, tv_usec=3})`, `call select(7; [4 5]; NULL; [6]; NULL) = 2 note=in [4]], except [6], left {tv_sec=0, tv_usec=3}`},
		{`fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)`, `call fcntl(3; F_GETFL) = 2 note=flags O_RDWR`},
		{`getpid() = 7 /* 5 in strace's PID NS */`, `call getpid() = 7`},
		{`epoll_wait(5, {{EPOLLIN, {u32=3, u64=3}}}, 4, -1) = 1`, `call epoll_wait(5; {{EPOLLIN, {u32=3, u64=3}}}; 4; -1) = 1`},
		{`restart_syscall(<... resuming interrupted poll ...>) = 0`, `call restart_syscall(<... resuming interrupted poll ...>) = 0 restarts=poll`},
		{`14314 read(7,  <unfinished ...>)        = ?`, `call pid=14314 read(7) = ? killed`},
		{`read(4 <detached ...>`, `unfinished read(4) detached`},
		{`mq_open("a) = 7`, `call mq_open("a) = 7) = 7 part`},

		{`3358  --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---`, `signal pid=3358 "SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL}"`},
		{`--- SIGALRM (Alarm clock) @ 0 (0) ---`, `signal "SIGALRM (Alarm clock) @ 0 (0)"`},
		{`3682  --- stopped by SIGSTOP ---`, `stop pid=3682 "stopped by SIGSTOP"`},
		{`+++ killed by SIGSEGV (core dumped) +++`, `exit "killed by SIGSEGV (core dumped)"`},
		{`6756  +++ superseded by execve in pid 6755 +++`, `exit pid=6756 "superseded by execve in pid 6755"`},
		{`strace: Process 29599 attached`, `diagnostic pid=29599 "Process 29599 attached"`},
		{`strace: Process 7 attached with 2 threads`, `diagnostic pid=7 "Process 7 attached with 2 threads"`},
		{`Process 7 attached`, `diagnostic pid=7 "Process 7 attached"`},
		{`[ Process PID=7 runs in 32 bit mode. ]`, `diagnostic "[ Process PID=7 runs in 32 bit mode. ]"`},
		{` > /usr/lib/libc.so.6(__write+0x10) [0xf8350]`, `stack "/usr/lib/libc.so.6(__write+0x10) [0xf8350]"`},
		{` > too many stack frames`, `stack "too many stack frames"`},
		{` | 00000  68 65 6c 6c 6f                                    hello            |`, `other`},
		{`% time     seconds  usecs/call     calls    errors syscall`, `other`},
		{`  0.00    0.000000           0        10         2 read`, `other`},
		{`100.00    0.000000           0        89        24 total`, `other`},
		{`hello world (from the program)`, `other`},
		{``, `other`},
	} {
		got := read(t, c.in+"\n")
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

// Halves that belong together, near and far, and lines broken on stderr.
func TestJoining(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"comma on the first half, 6.1", "7 epoll_wait(5,  <unfinished ...>\n8 close(1) = 0\n7 <... epoll_wait resumed>[{events=EPOLLIN, data=0x7}], 4, -1) = 1\n",
			`unfinished pid=7 epoll_wait(5) | call pid=8 close(1) = 0 | resumed pid=7 epoll_wait(5; [{events=EPOLLIN, data=0x7}]; 4; -1) = 1 first=1`},
		{"comma on the second half, 7.2", "7 epoll_wait(5 <unfinished ...>\n7 <... epoll_wait resumed>, [], 4, 0) = 0\n",
			`unfinished pid=7 epoll_wait(5) | resumed pid=7 epoll_wait(5; []; 4; 0) = 0 first=1`},
		{"a call that this strace has no name for", "7 syscall_0x1b9(0x5, 0x7f0, 0x4, 0, 0, 0x8 <unfinished ...>\n7 <... syscall_0x1b9 resumed>) = 1\n",
			`unfinished pid=7 epoll_pwait2(0x5; 0x7f0; 0x4; 0; 0; 0x8) | resumed pid=7 epoll_pwait2(0x5; 0x7f0; 0x4; 0; 0; 0x8) = 1 first=1`},
		{"nothing left", "7 ppoll(NULL, 0, NULL, NULL, 8 <unfinished ...>\n7 <... ppoll resumed>)              = 0 (Timeout)\n",
			`unfinished pid=7 ppoll(NULL; 0; NULL; NULL; 8) | resumed pid=7 ppoll(NULL; 0; NULL; NULL; 8) = 0 note=Timeout first=1`},
		{"old blank", "7 read(3,  <unfinished ...>\n7 <... read resumed> \"a\", 1) = 1\n",
			`unfinished pid=7 read(3) | resumed pid=7 read(3; "a"; 1) = 1 first=1`},
		{"killed while blocked", "7 read(7,  <unfinished ...>\n7 <... read resumed> <unfinished ...>) = ?\n7 +++ killed by SIGKILL +++\n",
			`unfinished pid=7 read(7) | resumed pid=7 read(7) = ? killed first=1 | exit pid=7 "killed by SIGKILL"`},
		{"cut twice", "7 restart_syscall(<... resuming interrupted poll ...> <unfinished ...>\n7 <... restart_syscall resumed>) = 1\n",
			`unfinished pid=7 restart_syscall(<... resuming interrupted poll ...>) | resumed pid=7 restart_syscall(<... resuming interrupted poll ...>) = 1 first=1 restarts=poll`},
		{"no pid at first", "read(3,  <unfinished ...>\n[pid 9] close(1) = 0\n[pid 8] <... read resumed>\"a\", 1) = 1\nclose(2) = 0\n",
			`unfinished read(3) | call pid=9 close(1) = 0 | resumed pid=8 read(3; "a"; 1) = 1 first=1 | call pid=8 close(2) = 0`},
		{"second half alone", "7 <... read resumed>\"a\", 1) = 1\n", `resumed pid=7 read("a"; 1) = 1 part`},
		{"another call's half", "7 read(3,  <unfinished ...>\n7 <... write resumed>) = 1\n", `unfinished pid=7 read(3) | resumed pid=7 write() = 1 part`},
		{"attached in the middle", "clone(child_stack=NULL, flags=SIGCHLDstrace: Process 30644 attached\n, child_tidptr=0x7f) = 30644\n",
			`unfinished clone(child_stack=NULL; flags=SIGCHLD) | resumed clone(child_stack=NULL; flags=SIGCHLD; child_tidptr=0x7f) = 30644 first=1`},
		{"attached, then unfinished", "clone3({flags=CLONE_VM}strace: Process 6 attached\n <unfinished ...>\n[pid 6] close(1) = 0\n[pid 5] <... clone3 resumed>, 88) = 6\n",
			`unfinished clone3({flags=CLONE_VM}) | unfinished clone3({flags=CLONE_VM}) first=1 | call pid=6 close(1) = 0 | resumed pid=5 clone3({flags=CLONE_VM}; 88) = 6 first=1`},
		{"attached, the rest looks like anything", "[pid 8] rt_sigprocmask(SIG_BLOCK, [CHLD], strace: Process 9 attached\n[], 8) = 0\n",
			`unfinished pid=8 rt_sigprocmask(SIG_BLOCK; [CHLD]) | resumed pid=8 rt_sigprocmask(SIG_BLOCK; [CHLD]; []; 8) = 0 first=1`},
		{"the program's own output in the middle", "write(1, \"hello world\\n\", 12hello world\n)                     = 12\n",
			`unfinished write(1; "hello world\n"; 12hello world) | resumed write(1; "hello world\n"; 12hello world) = 12 first=1`},
		{"end of a half under -z", "7 ppoll(NULL, 0, NULL, NULL, 8 <unfinished ...>\n)            = 0 (Timeout)\n",
			`unfinished pid=7 ppoll(NULL; 0; NULL; NULL; 8) | resumed pid=7 ppoll(NULL; 0; NULL; NULL; 8) = 0 note=Timeout first=1`},
		{"exec by another thread", "8 execve(\"a\", [\"a\"], 0x7 /* 3 vars */ <pid changed to 7 ...>\n7 +++ superseded by execve in pid 8 +++\n", ""},
		{"output between the pieces", "write(1, \"a\\nb\\n\", 4a\nb\n) = 4\n",
			`unfinished write(1; "a\nb\n"; 4a) | other | resumed write(1; "a\nb\n"; 4a) = 4 first=1`},
		{"brackets out of place", ")\n, 8) = 7\n <unfinished ...>\n", `other | other | other`},
	} {
		got := strings.Join(read(t, c.in), " | ")
		if c.want != "" && got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// brokenLogs start the fuzzer.
var brokenLogs = []string{
	"pselect6([,{\n",
	"clone(flags=SIGCHLDstrace: Process 30644 attached\n, child_tidptr=0x7f) = 30644\n",
	"write(1, \"\"..., 12hello world\n)                     = 12\n",
	"8 execve(\"a\", [\"a\"], 0x7 /* 3 vars */ <pid changed to 7 ...>\n7 <... execve resumed>) = 0\n",
	"7 read(7,  <unfinished ...>\n7 <... read resumed> <unfinished ...>) = ?\n7 +++ killed by SIGKILL +++\n",
	"poll([{fd=3, events=POLLIN}], 1, 5) = 0 (Timeout)\r\n",
	"read(3<", "read(3</a\\", "1 <", "[pid ", "1<a", "read(\"\\", "= ", "a() = 3<", "\x1b[3", "1 a( <unfinished ...>\n1 <... a resumed>",
	"03:53:43.", "1795319624. a()", "[pid 1<a>] ", ") = 0\n",
	"{\"log\":\"poll([{fd=3, events=POLLIN}], 1, -1) = 1\\n\",\"s\":\"\"}\n{\"log\":\" ([{fd=3, revents=POLLIN}])\\n\",\"s\":\"\"}\n" +
		"{\"log\":\"poll([{fd=3, events=POLLIN}], 1, -1) = 1\\n\",\"s\":\"\"}\n{\"log\":\" ([{fd=3, revents=POLLIN}])\\n\",\"s\":\"\"}\n" +
		"{\"log\":\"\\n\",\"s\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n(8)\n",
}

func TestParseFD(t *testing.T) {
	for in, want := range map[string]int{"3": 3, "-1": -1, "fd=7": 7, "4<pipe:[9]>": 4, "5 /* x */": 5, "0x3": 3, "0xffffffff": -1, "0xffffffffffffffff": -1,
		"4294967296": 0, "4294967295": -1, "4294967301": 5, "18446744073709551615": -1} {
		if fd, ok := ParseFD([]byte(in)); !ok || fd.N != want {
			t.Errorf("%q: %d, %v", in, fd.N, ok)
		}
	}
	for _, in := range []string{"", "x", "0x", "0xg", "0x7ffec9186a60", "99999999999999999999", "3x"} {
		if fd, ok := ParseFD([]byte(in)); ok {
			t.Errorf("%q is %d", in, fd.N)
		}
	}
}
