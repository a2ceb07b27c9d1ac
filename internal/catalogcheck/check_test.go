//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// kernel is a source tree in small, written for these tests: it has the
// shapes that a kernel's source has.
var kernel = map[string]string{
	"fs/eventfd.c": `
/* write calls nothing_here() */
static ssize_t eventfd_write(struct file *file)
{
	const char *s = "not_called(";
	if (waitqueue_active(&ctx->wqh))
		wake_up_locked_poll(&ctx->wqh, EPOLLIN);
	if (file->f_flags & O_NONBLOCK) { /* a brace } in a comment */
		add_wait_queue(&ctx->wqh, &wait);
	}
	return res; // and_not_this()
}

static const struct file_operations eventfd_fops = {
	.write		= eventfd_write,
};

SYSCALL_DEFINE2(eventfd2, unsigned int, count, int, flags)
{
	return do_eventfd(count, flags);
}
`,
	"fs/read_write.c": `
ssize_t vfs_write(struct file *file)
	__must_hold(&file->lock)
{
	return file->f_op->write(file, buf, count, pos);
}
`,
	"include/linux/wait.h": `
#define wake_up_locked_poll(x, m)		\
	__wake_up_locked_key((x), TASK_NORMAL, poll_to_key(m))
#define next_macro(x) other(x)
`,
	"arch/x86/entry/entry_64.S": `
SYM_CODE_START(entry_SYSCALL_64)
	/* call nothing */
	call	do_syscall_64
SYM_CODE_END(entry_SYSCALL_64)
`,
	"arch/x86/entry/syscall_64.c": `
long x64_sys_call(const struct pt_regs *regs, unsigned int nr)
{
	switch (nr) {
	#include <asm/syscalls_64.h>
	default: return __x64_sys_ni_syscall(regs);
	}
}
`,
	"net/sock.c": `
static bool report(struct sock *sk)
	__releases(&((sk)->lock.slock))
{
	sk->told(sk);
}
`,
	"arch/x86/entry/syscalls/syscall_64.tbl": "290	common	eventfd2	sys_eventfd2\n",
}

// data is a catalogue for that tree.
var data = map[string]string{
	"changes.txt":    "change gone\n  It went.\nsince 6.0\n",
	"builds.txt":     "",
	"proved.txt":     "",
	"left-out.txt":   "eventfd_write add_wait_queue an example\n",
	"functions.txt":  "x a\n",
	"calls.txt":      "",
	"frames.txt":     "file fs/eventfd.c include/linux/wait.h arch/x86/entry/entry_64.S\nentry eventfd_write next_* entry_SYSCALL_*\nfile - made by a macro\nentry y\n",
	"parts/none.txt": "part none\n",
	"paths/write.txt": `path write
title t
intro i
root entry_SYSCALL_64 x64_sys_call vfs_write report
branch b x
file arch/x86/entry/entry_64.S
entry_SYSCALL_64 -> do_syscall_64
file arch/x86/entry/syscall_64.c
do_syscall_64 -> x64_sys_call -gone
x64_sys_call -> __x64_sys_eventfd2
file fs/eventfd.c
__x64_sys_eventfd2 -> do_eventfd
file fs/read_write.c
vfs_write => eventfd_write via file->f_op->write set eventfd_fops in fs/eventfd.c
file fs/eventfd.c
eventfd_write -> wake_up_locked_poll macro
eventfd_write -> gone_function -gone
file net/sock.c
report -> told -gone
file include/linux/wait.h
wake_up_locked_poll -> __wake_up_locked_key
`,
}

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checkWith checks the tree with one replacement in one file of tree or
// catalogue.
func checkWith(t *testing.T, file, old, new string, flags ...func(*checker)) (string, error) {
	t.Helper()
	files := map[string]map[string]string{"tree": {}, "data": {}}
	for set, from := range map[string]map[string]string{"tree": kernel, "data": data} {
		for n, s := range from {
			if n == file {
				if !strings.Contains(s, old) {
					t.Fatalf("%s holds no %q", file, old)
				}
				s = strings.Replace(s, old, new, 1)
			}
			files[set][n] = s
		}
	}
	var out bytes.Buffer
	c := &checker{out: &out, data: write(t, files["data"])}
	for _, f := range flags {
		f(c)
	}
	tree := write(t, files["tree"])
	err := c.load()
	if err == nil {
		var s source
		if s, err = open("6.18", tree); err == nil {
			err = c.check([]source{s})
		}
	}
	return out.String(), err
}

func TestSoundCatalogueIsProved(t *testing.T) {
	out, err := checkWith(t, "", "", "")
	if err != nil || !strings.Contains(out, "6 of 6 edges proved") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFindings(t *testing.T) {
	for _, tc := range []struct{ name, file, old, new, want string }{
		{"misspelt callee", "paths/write.txt", "wake_up_locked_poll -> __wake_up_locked_key", "wake_up_locked_poll -> __wake_up_locked_kay", "does not call __wake_up_locked_kay"},
		{"callee in a comment", "paths/write.txt", "-> wake_up_locked_poll macro", "-> nothing_here\neventfd_write -> wake_up_locked_poll macro", "does not call nothing_here"},
		{"callee in a string", "paths/write.txt", "-> wake_up_locked_poll macro", "-> not_called\neventfd_write -> wake_up_locked_poll macro", "does not call not_called"},
		{"callee in a line comment", "paths/write.txt", "-> wake_up_locked_poll macro", "-> and_not_this\neventfd_write -> wake_up_locked_poll macro", "does not call and_not_this"},
		{"callee of the next macro", "paths/write.txt", "wake_up_locked_poll -> __wake_up_locked_key", "wake_up_locked_poll -> other", "does not call other"},
		{"wrong file", "paths/write.txt", "file include/linux/wait.h", "file include/linux/poll.h", "no file include/linux/poll.h"},
		{"wrong caller", "paths/write.txt", "set eventfd_fops in fs/eventfd.c", "set timerfd_fops in fs/eventfd.c", "timerfd_fops, which sets file->f_op->write, is not defined"},
		{"wrong pointer", "paths/write.txt", "via file->f_op->write", "via file->f_op->writev", "does not call eventfd_write"},
		{"system call that is in no table", "arch/x86/entry/syscalls/syscall_64.tbl", "sys_eventfd2", "sys_eventfd3", "does not call __x64_sys_eventfd2"},
		{"call that is said to be gone", "paths/write.txt", "-> __x64_sys_eventfd2", "-> __x64_sys_eventfd2 -gone", "is there"},
		{"call of a pointer's name", "net/sock.c", "sk->told(sk)", "told(sk)", "is there"},
		{"left out without a reason", "left-out.txt", "eventfd_write add_wait_queue", "vfs_write add_wait_queue", "eventfd_write calls add_wait_queue"},
		{"line that moved", "proved.txt", "", "tree 6.18 a tree\neventfd_write wake_up_locked_poll fs/eventfd.c\n  6\n", "is on line 7"},
		{"function that is nowhere", "frames.txt", "next_*", "nowhere next_*", "frames.txt:2: nowhere is defined in none of fs/eventfd.c"},
		{"function that is only called", "frames.txt", "next_*", "nothing_here wake_up_locked_poll next_* waitqueue_active", "waitqueue_active is defined in none"},
		{"call removed from the source", "fs/eventfd.c", "wake_up_locked_poll(&ctx->wqh, EPOLLIN)", "wake(&ctx->wqh)", "does not call wake_up_locked_poll"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := checkWith(t, tc.file, tc.old, tc.new)
			if err == nil || !strings.Contains(out, tc.want) {
				t.Errorf("error %v, output\n%swant %q in it", err, out, tc.want)
			}
		})
	}
}

// TestWrite: what is written is read back, and the check then holds it
// against the tree.
func TestWrite(t *testing.T) {
	var dir string
	if out, err := checkWith(t, "", "", "", func(c *checker) { c.write = true; dir = c.data }); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := &checker{out: new(bytes.Buffer), data: dir}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	trees := c.catalog.Trees()
	if len(trees) != 1 || trees[0].Version.String() != "6.18" {
		t.Fatalf("trees are %v, want 6.18", trees)
	}
	present, _ := c.catalog.Claims(trees[0].Version)
	for _, cl := range present {
		if c.catalog.Line(trees[0], cl.ID) == 0 {
			t.Errorf("no line for %s -> %s", cl.Caller, cl.Callee)
		}
	}
}

func TestNewestSources(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip(err) // Debian's order of versions is asked of dpkg
	}
	list := "Package: linux-source-6.1\nVersion: 6.1.187-1\n\nPackage: linux-source\nVersion: 9.9-1\n\n" +
		"Package: linux-source-6.1\nVersion: 6.1.192-2\n\nPackage: linux-source-5.10\nVersion: 5.10.262-1\n"
	got := newestSources([]byte(list))
	if len(got) != 2 || got[0] != (pkg{"linux-source-5.10", "5.10.262-1"}) || got[1].upstream() != "6.1.192" {
		t.Errorf("newest are %v", got)
	}
}
