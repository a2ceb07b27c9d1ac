//go:build linux

package strace

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
)

// logs are the real logs of testdata.
func logs(t testing.TB) []string {
	t.Helper()
	testenv.Tree(t, "../../../testdata/strace")
	files, err := filepath.Glob("../../../testdata/strace/*.txt")
	if more, _ := filepath.Glob("../../../testdata/strace/programs/*.txt"); len(more) >= 8 {
		files = append(files, more...)
	}
	if err != nil || len(files) < 40 {
		t.Fatalf("%d logs in testdata/strace, err %v", len(files), err)
	}
	return files
}

// ours are the calls that have to be understood.
var ours = map[string]bool{}

func init() {
	for _, n := range strings.Fields("eventfd eventfd2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2") {
		ours[n] = true
	}
}

// roundTrip calls fn for each record of a log, and requires that the records'
// bytes are the log's.
func roundTrip(t testing.TB, log []byte, fn func(*Record)) {
	t.Helper()
	r := NewReader(bytes.NewReader(log), 0)
	var out []byte
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec.Raw...)
		fn(rec)
	}
	if d := cmp.Diff(string(log), string(out)); d != "" {
		t.Errorf("the records' bytes are not the log's (-log +records):\n%s", d)
	}
}

// counts reads a whole log and counts its lines, the lines of our calls and
// those understood whole.
func counts(t testing.TB, in []byte) (lines, whole, calls int) {
	t.Helper()
	roundTrip(t, in, func(rec *Record) {
		lines++
		if (rec.Type == CallLine || rec.Type == Resumed) && ours[rec.Call.Name] {
			calls++
			if rec.Call.Whole {
				whole++
			} else {
				t.Logf("line %d not whole: %.200s", rec.Line, rec.Raw)
			}
		}
	})
	return lines, whole, calls
}

func TestRealLogs(t *testing.T) {
	all, understood := 0, 0
	for _, f := range logs(t) {
		in, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(f), func(t *testing.T) {
			lines, whole, calls := counts(t, in)
			want := bytes.Count(in, []byte("\n"))
			if !bytes.HasSuffix(in, []byte("\n")) {
				want++ // a log that is cut in a line
			}
			if lines != want {
				t.Errorf("%d records for %d lines", lines, want)
			}
			all, understood = all+calls, understood+whole
		})
	}
	if all == 0 || float64(understood) < 0.999*float64(all) {
		t.Errorf("%d of %d calls are understood whole, want 99.9 %%", understood, all)
	}
}

// A log may end anywhere, in the middle of a line and of a call.
func TestCutAnywhere(t *testing.T) {
	for _, name := range []string{"v6.1-f.txt", "v7.2-fyy.txt", "v7.2-fcoloralways.txt"} {
		in, err := os.ReadFile("../../../testdata/strace/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < 4000; n += 7 {
			counts(t, in[:n])
			counts(t, in[n:5000])
		}
	}
}

// Windows line ends change nothing but the line ends.
func TestCRLF(t *testing.T) {
	in, err := os.ReadFile("../../../testdata/strace/v6.1-ftttT.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, whole, calls := counts(t, in)
	_, whole2, calls2 := counts(t, bytes.ReplaceAll(in, []byte("\n"), []byte("\r\n")))
	if whole != whole2 || calls != calls2 || calls == 0 {
		t.Errorf("with \\r\\n %d of %d calls are whole, without %d of %d", whole2, calls2, whole, calls)
	}
}
