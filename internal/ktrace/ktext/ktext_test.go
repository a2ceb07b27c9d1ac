//go:build linux

package ktext

import (
	"errors"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/testenv"
)

var _ ktrace.TextProof = (*Text)(nil)

func open(t *testing.T) *Text {
	t.Helper()
	syms, err := ksym.Load()
	testenv.Require(t, "kallsyms", err)
	text, err := Open(syms)
	if err != nil {
		if ae, ok := errors.AsType[*ktrace.AccessError](err); !ok || strings.Contains(err.Error(), "\n") || ae.Tier != "text" {
			t.Errorf("error is no sentence: %v", err)
		}
	}
	testenv.Require(t, "text", err)
	t.Cleanup(func() {
		if err := text.Close(); err != nil {
			t.Error(err)
		}
	})
	return text
}

// eventfd_write reaches __wake_up_common through __wake_up_locked_key in every
// build: by a call, and then by a call or a jump.
func TestRunningKernel(t *testing.T) {
	text := open(t)
	b, err := text.Branches("eventfd_write")
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		t.Fatal("eventfd_write calls nothing")
	}
	for _, e := range [][2]string{{"eventfd_write", "__wake_up_locked_key"}, {"__wake_up_locked_key", "__wake_up_common"}} {
		call, called := text.Calls(e[0], e[1])
		jump, jumped := text.TailCall(e[0], e[1])
		if !called && !jumped {
			t.Errorf("%s neither calls nor jumps to %s: %+v", e[0], e[1], b)
		}
		t.Log(call, jump)
	}
	for _, e := range [][2]string{{"eventfd_write", "ep_poll_callback"}, {"eventfd_write", "eventfd_write"}, {"no_such_function", "schedule"}} {
		if ground, ok := text.TailCall(e[0], e[1]); ok {
			t.Errorf("%s jumps to %s: %s", e[0], e[1], ground)
		}
	}
	if ground, ok := text.TailCall("__wake_up_locked_key", "__wake_up_common"); ok && !strings.Contains(ground, "jumps to __wake_up_common") {
		t.Errorf("ground %q", ground)
	}
}

func TestOpenHidden(t *testing.T) {
	if text, err := Open(nil); err == nil {
		text.Close()
		t.Error("Open without symbols works")
	}
}

func FuzzDecode(f *testing.F) {
	if decode == nil {
		f.Skip("no disassembler for this architecture")
	}
	f.Add([]byte{0xe8, 1, 2, 3, 4, 0xe9, 1, 2, 3, 4, 0x0f, 0x84, 0, 0, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, code []byte) {
		decode(code, 0x1000, func(at, target uint64, jump bool) {
			if at < 0x1000 || at >= 0x1000+uint64(len(code)) {
				t.Errorf("branch at %#x of %d bytes", at, len(code))
			}
		})
	})
}
