//go:build linux

package order

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		of        string
		got, want any
	}{
		{"Unique(b a b a a c)", Unique([]string{"b", "a", "b", "a", "a", "c"}), []string{"a", "b", "c"}},
		{"Unique(a)", Unique([]string{"a"}), []string{"a"}},
		{"Unique()", Unique(nil), []string(nil)},
		{"Names", Names(map[string]bool{"c": true, "a": false, "b": true}), []string{"a", "b", "c"}},
		{"Names of nothing", Names[int](nil), []string{}},
		{"Numbers", Numbers(map[int]string{3: "", -1: "", 20: ""}), []int{-1, 3, 20}},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.of, d)
		}
	}
}
