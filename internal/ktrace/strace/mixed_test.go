//go:build linux

package strace

import (
	"io"
	"strings"
	"testing"
)

// typesOf are the types of a log's records, and how many lines are mixed.
func typesOf(t *testing.T, log string) (types string, mixed int) {
	t.Helper()
	r := NewReader(strings.NewReader(log), 0)
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return strings.TrimSpace(types), r.Unread().Mixed
		}
		if err != nil {
			t.Fatal(err)
		}
		types += rec.Type.String() + " "
	}
}

// TestMixed: from a line on that has two calls, with one result at most, no
// result is known to be that of the call before it.
func TestMixed(t *testing.T) {
	const made = "23117 eventfd2(0,0) = 3\n"
	const after = "23117 poll(274903089720,1,4294967295,8,0,274903090880) = 23120\n23117 write(3,0x800628,8) = 1\n = 8\n23117 exit_group(0)\n"
	for name, line := range map[string]string{
		"after the arguments": "23117 poll(274894697016,1,4294967295,8,0,274894698176)23117 read(3,0x1003230,8) = 8\n",
		"in the arguments":    "23117 eventfd2(0,23117 read(3,0x1003230,8) = 8\n",
		"in a number":         "23117 eventfd2(023117 read(3,0x1003230,8) = 8\n",
		"another process":     "23117 wait4(-1,274886297168,0,0)23120 read(3,0x1003230,8) = 8\n",
		"in a structure":      "23117 clock_nanosleep(CLOCK_REALTIME,0,{tv_sec = 23117 read(3,0x1003230,8) = 8\n",
		"three of them":       "23117 poll(1,1,-1,8,0,2)23117 poll(2,1,-1,8,0,2)23117 poll(3,1,-1,8,0,2) = 0\n",
	} {
		if types, mixed := typesOf(t, made+line+after); types != "call other other other other other" || mixed != 5 {
			t.Errorf("%s: %s, %d mixed", name, types, mixed)
		}
	}
	for name, line := range map[string]string{
		"two records in one line":  "23117 read(3, \"x\", 1) = 1 23117 read(3, \"y\", 1) = 1\n",
		"a string with a call":     "23117 write(1, \")23117 read(3,4,5)\", 17) = 17\n",
		"a path with a call":       "23117 read(3</tmp/)23117 read(3)>, \"x\", 1) = 1\n",
		"a macro":                  "23117 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"1.2.3.4\")}, 16) = 0\n",
		"two halves":               "23117 read(3, <unfinished ...>\n23120 write(4, \"x\", 1) = 1\n",
		"a message of strace's":    "23117 clone(child_stack=NULL, flags=CLONE_VMstrace: Process 23118 attached\n",
		"output with a call in it": "23117 write(1, \"see\", 3see 23117 read(3)\n",
	} {
		if _, mixed := typesOf(t, made+line+after); mixed != 0 {
			t.Errorf("%s: %d mixed", name, mixed)
		}
	}
	r := NewReader(strings.NewReader("23117 read(3,0x800658,8) = -1 errno=11 (Resource temporarily unavailable)\n23117 socket(1,2,3) = -1 errno=97 (Address family)\n"), 0)
	for _, want := range []string{"EAGAIN", "errno=97"} {
		rec, err := r.Next()
		if err != nil || !rec.Call.Whole || rec.Call.Errno != want {
			t.Errorf("%s: whole %v, %q, %v", want, rec.Call.Whole, rec.Call.Errno, err)
		}
	}
}
