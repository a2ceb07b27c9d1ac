//go:build linux

package watch

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// image builds type information with struct eventfd_ctx as a kernel has it.
func image(order byteOrder, rt bool) []byte {
	str := []byte{0}
	name := func(s string) uint32 {
		if s == "" {
			return 0
		}
		at := uint32(len(str))
		str = append(append(str, s...), 0)
		return at
	}
	var types []byte
	put := func(v ...uint32) {
		for _, x := range v {
			types = order.AppendUint32(types, x)
		}
	}
	const st, un = 4 << 24, 5 << 24
	put(name("u64"), 1<<24, 8, 64)                                             // 1
	put(name("int"), 1<<24, 4, 32)                                             // 2
	put(name("raw_spinlock"), st|1, 4, name("raw_lock"), 2, 0)                 // 3
	put(0, un|1, 4, name("rlock"), 3, 0)                                       // 4
	put(name("rt_mutex_base"), st|2, 8, name("w"), 2, 0, name("owner"), 2, 32) // 5
	if rt {
		put(name("spinlock"), st|1, 8, name("lock"), 5, 0) // 6
	} else {
		put(name("spinlock"), st|1, 4, 0, 4, 0)
	}
	put(name("spinlock_t"), 8<<24, 6)                                               // 7
	put(name("wait_queue_head"), st|2, 24, name("lock"), 7, 0, name("head"), 1, 64) // 8
	put(name("wait_queue_head_t"), 8<<24, 8)                                        // 9
	put(name("eventfd_ctx"), st|3, 48, name("kref"), 2, 0, name("wqh"), 9, 64, name("count"), 1, 256)
	var out []byte
	out = order.AppendUint16(out, btfMagic)
	out = append(out, 1, 0)
	for _, v := range []int{24, 0, len(types), len(types), len(str)} {
		out = order.AppendUint32(out, uint32(v))
	}
	return append(append(out, types...), str...)
}

func TestLayoutFromBTF(t *testing.T) {
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		l, err := layoutFromBTF(image(order, false))
		if want := (layout{48, 32, 8, "BTF"}); err != nil || l != want {
			t.Errorf("%v: %+v, %v; want %+v", order, l, err, want)
		}
		l, err = layoutFromBTF(image(order, true))
		if want := (layout{48, 32, 12, "BTF"}); err != nil || l != want {
			t.Errorf("%v, PREEMPT_RT: %+v, %v; want %+v", order, l, err, want)
		}
	}
}

func TestLayoutOfThisKernel(t *testing.T) {
	data, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	testenv.Require(t, "btf", err)
	l, err := layoutFromBTF(data)
	if err != nil {
		t.Fatal(err)
	}
	if l.size < l.count+8 || l.lock%4 != 0 || l.count%4 != 0 {
		t.Errorf("layout %+v", l)
	}
}

func TestTableLayout(t *testing.T) {
	for release, ok := range map[string]bool{"4.19.1": true, "5.4.0-200-generic": true, "6.18.44": true, "4.18": false, "nonsense": false} {
		l, err := tableLayout(release, 64)
		if (err == nil) != ok || ok && (l.count != 32 || l.lock != 8 || l.from == "") {
			t.Errorf("%s: %+v, %v", release, l, err)
		}
	}
	if l, err := tableLayout("6.18", 32); err == nil {
		t.Errorf("32 bits: %+v", l)
	}
}

func FuzzBTF(f *testing.F) {
	f.Add(image(binary.LittleEndian, false))
	f.Add(image(binary.BigEndian, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		layoutFromBTF(data)
	})
}
