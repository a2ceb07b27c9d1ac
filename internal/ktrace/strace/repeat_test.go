//go:build linux

package strace

import (
	"bytes"
	"encoding/binary"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A call that is found again is as parsing gives it, with and without a duration.
func TestRepeats(t *testing.T) {
	texts := [][]byte{
		nil, []byte("read"), []byte("read("), []byte("read()"), []byte("read() = "), []byte("read() ="), []byte("read() = 0"), []byte("read(3, ) = 0"),
		[]byte("read(3, \"a <0.000001>\", 8) = 8"), []byte("read(1 < 2) = 3"), []byte("read(3) = 3<"), []byte("read(3) = 3< EAGAIN"), []byte("read(3) = 3</a b"),
		[]byte("read(3) = 3 (a < b)"), []byte("read(3) = -1 EAGAIN (Resource temporarily unavailable) (INJECTED)"), []byte("read(3) = ?"), []byte("read(3) = ? <0.5>"),
		[]byte("read(3 <unfinished ...>) = ?"), []byte("read(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8"), []byte("restart_syscall(<... resuming interrupted poll ...>) = 0"),
		bytes.Repeat([]byte("a"), 2*maxRepeat),
	}
	seen := map[string]bool{}
	for _, log := range logs(t) {
		in, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		var rec Record
		for line := range bytes.Lines(in) {
			if text := rec.prefix(trimEnd(line)); !seen[string(text)] {
				seen[string(text)] = true
				texts = append(texts, text)
			}
		}
	}
	found, r := 0, NewReader(nil, 0)
	for _, text := range texts {
		for _, behind := range []string{"", "", "", longer, " <1.000000050>", " <1>", " <0.000001> <0.000002>"} {
			s := append(bytes.Clone(text), behind...)
			got, want := Call{Duration: -1}, Call{Duration: -1}
			is, parsed := r.parseCall(&got, s), r.parseText(&want, s)
			if got.kept != nil {
				found++
			}
			fd, isFD := got.FD()
			wantFD, wantIsFD := want.FD()
			v, isValue := got.Counter(binary.BigEndian)
			wantV, wantIsValue := want.Counter(binary.BigEndian)
			if is != parsed || isFD != wantIsFD || isValue != wantIsValue || v != wantV {
				t.Fatalf("%q again is a call: %v, not %v; its descriptor %v, not %v; its value %v %d, not %v %d", s, is, parsed, isFD, wantIsFD, isValue, v, wantIsValue, wantV)
			}
			got.kept = nil
			if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(fd, wantFD) {
				t.Fatalf("%q again (-parsed +found):\n%s%s", s, cmp.Diff(want, got, cmpopts.IgnoreUnexported(Call{})), cmp.Diff(wantFD, fd))
			}
		}
	}
	if found < len(texts) {
		t.Errorf("%d calls were found again, of %d texts", found, len(texts))
	}
}

// A call in the place of another does not change records that have it.
func TestRepeatReplaced(t *testing.T) {
	r := NewReader(nil, 0)
	first := []byte("read(3, \"first\", 8) = 5")
	var held Call
	for range 3 {
		held.reset()
		r.parseCall(&held, first)
	}
	if held.kept == nil {
		t.Fatal("the call was not found again")
	}
	at, other := hashOf(first)%maxRepeats, []byte("write(4, \"other\", 8) = 5")
	r.repeats.kept[at] = &repeat{text: other}
	r.parseText(&r.repeats.kept[at].call, other)
	if got := string(held.Args[1]); got != "\"first\"" {
		t.Errorf("the second argument is %s once another call is in its place", got)
	}
	held.reset()
	if r.parseCall(&held, first); string(held.Args[1]) != "\"first\"" {
		t.Errorf("the second argument is %s when it comes again", held.Args[1])
	}
}

// If lines are cut at a width, one that is shorter is read as ever.
func TestPlainOfAnotherWidth(t *testing.T) {
	var r Reader
	r.wrap.width = 80
	short, wide := bytes.Repeat([]byte("a"), 79), bytes.Repeat([]byte("a"), 80)
	if !r.plain(short) || r.plain(wide) {
		t.Errorf("of 79 bytes: %v, of 80: %v; want true, false", r.plain(short), r.plain(wide))
	}
}
