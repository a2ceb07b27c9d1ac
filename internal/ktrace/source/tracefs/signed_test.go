//go:build linux

package tracefs

import "testing"

// TestSigned: a signed field is one in every size.
func TestSigned(t *testing.T) {
	raw := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for _, size := range []int{1, 2, 4, 8} {
		if got := (Field{Size: size, Signed: true}).Int(raw); got != -1 {
			t.Errorf("%d bytes, signed: %d, want -1", size, got)
		}
		if size < 8 {
			if got, want := (Field{Size: size}).Int(raw), int64(1)<<(8*size)-1; got != want {
				t.Errorf("%d bytes, unsigned: %d, want %d", size, got, want)
			}
		}
	}
}
