//go:build linux

package scenario

import (
	"unsafe"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var signalfds = []*Scenario{
	{
		Name: "signalfd", System: 17, Title: "a thread sleeps in ppoll on a signalfd, a signal that it has blocked is sent to it",
		Source: "signalfd", Branches: []string{"thread"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: runSignalfd,
	},
}

func runSignalfd(t *T) error {
	const sig = unix.SIGUSR1
	mask, err := efd.NewSigSet(sig)
	if err != nil {
		return err
	}
	fd, err := t.Open("signalfd", func() (int, error) {
		var set unix.Sigset_t
		set.Val[0] = 1 << (sig - 1)
		return unix.Signalfd(-1, &set, unix.SFD_CLOEXEC)
	}, "signalfd4(-1, %s, 8, SFD_CLOEXEC)", mask)
	if err != nil {
		return err
	}
	err = t.Wait(func() error {
		return efd.WithSigMask(mask, func() error {
			if err := t.Ppoll(fd, efd.POLLIN); err != nil {
				return err
			}
			// Taken out here, or it would be delivered once it is not blocked.
			var info unix.SignalfdSiginfo
			n, err := unix.Read(fd, unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info)))
			return expect(err, n == int(unsafe.Sizeof(info)) && info.Signo == uint32(sig), "read gave %d bytes, signal %d", n, info.Signo)
		})
	}, ppollCalls...)
	if err != nil {
		return err
	}
	return t.Act(func() error { return t.signal(sig) })
}
