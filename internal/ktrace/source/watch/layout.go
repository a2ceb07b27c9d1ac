//go:build linux

package watch

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/running"
)

// layout is where the watched members of struct eventfd_ctx lie.
type layout struct {
	size  uint32 // of the whole, as it is allocated
	count uint32
	lock  uint32 // of the wait queue's head: the word written by taking the lock
	from  string // where this is known from
}

// reviewed layouts, for kernels without BTF: 64 bits, without PREEMPT_RT and
// without lock debugging. An allocation of another size than this shows that
// the running kernel is none of them.
var reviewed = []struct {
	since, until string
	layout
}{
	{"4.19", "5.2", layout{size: 48, count: 32, lock: 8}}, // ends in padding
	{"5.2", "", layout{size: 48, count: 32, lock: 8}},     // ends in id
}

var foundLayout struct {
	once sync.Once
	layout
	err error
}

// thisLayout is found once: the type information takes more than a thousand
// reads, which every observation of this process would see. Nothing of it is a
// variable that is computed at start, which every program with the library would
// carry.
func thisLayout() (layout, error) {
	f := &foundLayout
	f.once.Do(func() { f.layout, f.err = findLayout() })
	return f.layout, f.err
}

// findLayout takes the layout from the kernel's own type information, or from
// the table if there is none.
func findLayout() (layout, error) {
	data, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	if err == nil {
		l, err := layoutFromBTF(data)
		if err == nil {
			return l, nil
		}
		return layout{}, fmt.Errorf("/sys/kernel/btf/vmlinux: %w", err)
	}
	return tableLayout(running.Release(), bits.UintSize)
}

func tableLayout(release string, word int) (layout, error) {
	v, err := ktrace.ParseVersion(release)
	if err != nil {
		return layout{}, err
	}
	if word != 64 {
		return layout{}, errors.New("this kernel has no type information (CONFIG_DEBUG_INFO_BTF), and there is no reviewed layout of struct eventfd_ctx for 32 bits")
	}
	for _, r := range reviewed {
		since, _ := ktrace.ParseVersion(r.since)
		until, uerr := ktrace.ParseVersion(r.until)
		if v.Compare(since) >= 0 && (uerr != nil || v.Compare(until) < 0) {
			l := r.layout
			l.from = "the reviewed table for " + r.since + " and later"
			return l, nil
		}
	}
	return layout{}, fmt.Errorf("this kernel has no type information (CONFIG_DEBUG_INFO_BTF), and %s is older than the reviewed layouts of struct eventfd_ctx", v)
}
