//go:build linux

package tracefs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/rights"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func open(t *testing.T) *FS {
	t.Helper()
	fs, err := Open()
	if err != nil {
		ae, ok := errors.AsType[*ktrace.AccessError](err)
		if !ok || ae.Change == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is no sentence with a remedy: %v", err)
		}
	}
	testenv.Require(t, "tracefs", err)
	t.Cleanup(func() { fs.Close() })
	return fs
}

func TestEvent(t *testing.T) {
	fs := open(t)
	f, err := fs.Event("sched:sched_waking")
	if err != nil {
		t.Fatal(err)
	}
	if f.ID <= 0 || f.Name != "sched_waking" {
		t.Errorf("name %q, id %d", f.Name, f.ID)
	}
	fields, err := f.Need("common_pid", "comm", "pid")
	if err != nil {
		t.Fatal(err)
	}
	if fields[1].Size != 16 || fields[2].Size != 4 || !fields[2].Signed {
		t.Errorf("fields %+v", fields)
	}
	if _, err := f.Need("no_such_field"); err == nil || !strings.Contains(err.Error(), "no_such_field") {
		t.Errorf("Need of a field that does not exist: %v", err)
	}
	_, err = fs.Event("sched:no_such_event")
	if _, ok := errors.AsType[*ktrace.AccessError](err); !ok || !strings.Contains(err.Error(), "sched:no_such_event") {
		t.Errorf("Event of a tracepoint that does not exist: %v", err)
	}
}

// Nobody else may see the mount: it is in no mount table, not even in this
// process's.
func TestDetached(t *testing.T) {
	mounts := func() []byte {
		b, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := mounts()
	fs := open(t)
	if _, err := fs.Event("sched:sched_switch"); err != nil {
		t.Fatal(err)
	}
	if after := mounts(); !bytes.Equal(before, after) {
		t.Errorf("the mount table changed:\n%s", after)
	}
}

func TestMountPoints(t *testing.T) {
	table := `36 35 0:34 / /sys/kernel/tracing rw,nosuid shared:12 - tracefs tracefs rw
37 35 0:35 / /sys/kernel/debug rw - debugfs tracefs rw
38 35 0:34 / /mnt/with\040space\134 rw - tracefs nodev rw
39 35 0:34 /instances/a /srv rw - tracefs nodev rw
broken line
`
	want := []string{"/sys/kernel/tracing", `/mnt/with space\`}
	if d := cmp.Diff(want, mountPoints([]byte(table))); d != "" {
		t.Errorf("mountPoints (-want +got):\n%s", d)
	}
}

const format = `name: sched_waking
ID: 375
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:char comm[16];	offset:8;	size:16;	signed:0;
	field:const void * ptr;	offset:24;	size:8;	signed:0;

print fmt: "comm=%s pid=%d", REC->comm, REC->pid
`

func TestParseFormat(t *testing.T) {
	f, err := ParseFormat([]byte(format))
	if err != nil {
		t.Fatal(err)
	}
	if f.ID != 375 || f.Fields["comm"] != (Field{8, 16, false}) || f.Fields["common_pid"] != (Field{4, 4, true}) || f.Fields["ptr"] != (Field{24, 8, false}) {
		t.Errorf("%+v", f)
	}
	minusTwo := int32(-2)
	raw := binary.NativeEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(minusTwo))
	raw = append(raw, "name\x00rest........"...)
	if got := f.Fields["common_pid"].Int(raw); got != -2 {
		t.Errorf("common_pid = %d", got)
	}
	if got := f.Fields["comm"].Bytes(raw); string(got) != "name" {
		t.Errorf("comm = %q", got)
	}
	if got := f.Fields["ptr"].Int(raw); got != 0 {
		t.Errorf("a field past the end = %d", got)
	}
	for _, bad := range []string{"", "name: x\nID: 1\n", "name: x\nID: y\n\tfield:int a;\toffset:0;\tsize:4;\tsigned:1;\n", strings.Replace(format, "offset:8", "offset:-8", 1), strings.Replace(format, "size:16", "size:99999", 1)} {
		if f, err := ParseFormat([]byte(bad)); err == nil {
			t.Errorf("ParseFormat(%.30q) = %+v, want an error", bad, f)
		}
	}
}

func FuzzParseFormat(f *testing.F) {
	f.Add([]byte(format), []byte("0123456789"))
	f.Fuzz(func(t *testing.T, text, raw []byte) {
		fm, err := ParseFormat(text)
		if err != nil {
			return
		}
		for _, fd := range fm.Fields {
			fd.Int(raw)
			fd.Bytes(raw)
		}
	})
}

// TestNoDescriptor: who has no descriptor left is told that, and not to become
// root.
func TestNoDescriptor(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	next := f.Fd()
	f.Close()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(next), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	fs, err := Open()
	if rerr := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); rerr != nil {
		t.Fatal(rerr)
	}
	if err == nil {
		fs.Close()
	}
	if a, ok := errors.AsType[*ktrace.AccessError](err); !ok || !strings.Contains(a.Change, "ulimit -n") || a.Root {
		t.Errorf("%v", err)
	}
}

// TestAdvice: what a process has already is no remedy.
func TestAdvice(t *testing.T) {
	if !rights.Of().Has(unix.CAP_SYS_ADMIN) {
		testenv.Require(t, "CAP_SYS_ADMIN", errors.New("it is not among the effective capabilities"))
	}
	err := accessError("/sys/kernel/tracing", unix.EACCES, unix.EACCES)
	if a, ok := errors.AsType[*ktrace.AccessError](err); !ok || strings.Contains(a.Change, "(CAP_SYS_ADMIN") || !strings.Contains(a.Change, "CAP_DAC_READ_SEARCH") {
		t.Errorf("%v", err)
	}
}

// TestAdviceByMount: the change for a user is one that the mounts there allow.
func TestAdviceByMount(t *testing.T) {
	if p := rights.Of(); p.UserNamespace {
		t.Skip("in a user namespace the advice is to leave it")
	}
	for at, want := range map[string]string{
		"":                          "mount -t tracefs -o mode=750,gid=GROUP tracefs /sys/kernel/tracing",
		"/sys/kernel/debug/tracing": "mount -o remount,mode=750,gid=GROUP /sys/kernel/debug/tracing",
	} {
		ae, ok := errors.AsType[*ktrace.AccessError](accessError(at, unix.EPERM, unix.EPERM))
		if !ok || !strings.Contains(ae.Change, want) {
			t.Errorf("mounted at %q: %q, want %q", at, ae.Change, want)
		}
	}
}
