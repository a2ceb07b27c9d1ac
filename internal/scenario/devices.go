//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/scenario/kvm"
	"github.com/efd-go/efd/internal/scenario/uinput"
	"github.com/efd-go/efd/internal/scenario/vhost"
	"golang.org/x/sys/unix"
)

// The kernel's devices that signal an eventfd, or wait for one themselves.
var devices = []*Scenario{
	{
		Name: "kvm_ioeventfd", System: 6, Title: "a thread sleeps in ppoll on an eventfd, a guest writes to the port that signals it",
		Source: "kvm_ioeventfd", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "eventfd_signal", "ppoll", "poll"},
		need: missing("KVM", kvm.Available),
		run: func(t *T) error {
			e, err := t.EventFD(0, 0)
			if err != nil {
				return err
			}
			g, err := t.guest(e)
			if err != nil {
				return err
			}
			if err := t.Wait(func() error { return pollIn(e) }, ppollCalls...); err != nil {
				return err
			}
			return t.Act(func() error { return t.runGuest(g) })
		},
	},
	{
		Name: "kvm_ioeventfd_vhost", System: 6, Title: "a guest writes to two ports: one signals the eventfd that vhost waits on, the other that of a thread in ppoll",
		Source: "kvm_ioeventfd", Through: []string{"vhost"}, Worker: true, Without: []string{"kthread"}, // a device owns its worker unless asked otherwise
		Paths: []string{"eventfd2", "eventfd_signal", "vhost"},
		need:  missing("KVM and vhost-net", func() error { return errors.Join(kvm.Available(), vhost.Available()) }),
		run: func(t *T) error {
			e, err := t.EventFD(0, 0)
			if err != nil {
				return err
			}
			kick, call, n, err := t.vhost()
			if err != nil {
				return err
			}
			g, err := t.guest(kick, e)
			if err != nil {
				return err
			}
			t.object(kick)
			if err := t.Wait(func() error { return pollIn(e) }, ppollCalls...); err != nil {
				return err
			}
			if err := t.Act(func() error { return t.runGuest(g) }); err != nil {
				return err
			}
			return t.sent(n, call)
		},
	},
	{
		Name: "kvm_irqfd", System: 7, Title: "a write to an eventfd raises an interrupt line of a virtual machine",
		Source: "eventfd_write", Through: []string{"irqfd"}, Worker: true, Paths: []string{"eventfd2", "kvm_irqfd"},
		need: missing("KVM", kvm.Available),
		run: func(t *T) error {
			e, err := t.EventFD(0, 0)
			if err != nil {
				return err
			}
			const line = 5
			var c *kvm.Chip
			err = t.Do(func() error {
				if c, err = kvm.NewChip(); err != nil {
					return err
				}
				t.Cleanup(func() { c.Close() })
				return c.Raise(e.FD(), line)
			})
			if err != nil {
				return err
			}
			return t.actAlone(func() error { return e.Write(1) }, func() (bool, error) { return c.Raised(line) })
		},
	},
	{
		Name: "vhost", System: 8, Title: "a write to the kick eventfd wakes vhost's worker, which signals the call eventfd of a thread in ppoll",
		Source: "eventfd_write", Through: []string{"vhost"}, Worker: true, Without: []string{"kthread"}, // a device owns its worker unless asked otherwise
		Paths: []string{"eventfd2", "vhost", "eventfd_signal"},
		need:  missing("vhost-net", vhost.Available),
		run: func(t *T) error {
			kick, call, n, err := t.vhost()
			if err != nil {
				return err
			}
			t.object(kick)
			if err := t.Wait(func() error { return pollIn(call) }, ppollCalls...); err != nil {
				return err
			}
			if err := t.Act(func() error { return kick.Write(1) }); err != nil {
				return err
			}
			return t.sent(n, call)
		},
	},
	{
		Name: "input", System: 15, Title: "a thread sleeps in ppoll on a keyboard, a key is pressed",
		Source: "input", Branches: []string{"uinput"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"input", "ppoll", "poll"},
		need: missing("uinput", uinput.Available),
		run: func(t *T) error {
			k, fd, err := t.keyboard()
			if err != nil {
				return err
			}
			err = t.Wait(func() error {
				fds := []efd.PollFD{{FD: int32(fd), Events: efd.POLLIN}}
				n, err := efd.Poll(fds, efd.Forever, nil)
				return expect(err, n == 1 && fds[0].Revents == efd.POLLIN, "ppoll gave %d and %v, want 1 and POLLIN", n, fds[0].Revents)
			}, ppollCalls...)
			if err != nil {
				return err
			}
			return t.Act(func() error {
				_, err := t.Sys(func() (int, error) { return 2 * 24, k.Press() }, "write(%d, [EV_KEY KEY_A 1, EV_SYN], 48)", k.FD())
				return err
			})
		},
	},
}

// missing makes the need of a scenario from its device's error.
func missing(device string, available func() error) func() error {
	return func() error {
		if err := available(); err != nil {
			return Skip("%s: %v", device, err)
		}
		return nil
	}
}

// pollIn waits in ppoll until an eventfd is readable.
func pollIn(e *efd.EventFD) error {
	fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
	n, err := efd.Poll(fds, efd.Forever, nil)
	return expect(err, n == 1 && fds[0].Revents == efd.POLLIN, "ppoll gave %d and %v, want 1 and POLLIN", n, fds[0].Revents)
}

// guest makes a virtual machine whose program signals the eventfds in turn.
func (t *T) guest(eventfds ...*efd.EventFD) (g *kvm.Guest, err error) {
	var ports []uint16
	for i := range eventfds {
		ports = append(ports, uint16(0x10+i))
	}
	err = t.Do(func() error {
		if g, err = kvm.NewGuest(ports...); err != nil {
			return err
		}
		t.Cleanup(func() { g.Close() })
		for i, e := range eventfds {
			if err := g.Signal(ports[i], e.FD()); err != nil {
				return err
			}
		}
		return nil
	})
	return g, err
}

// runGuest runs the guest to its halt.
func (t *T) runGuest(g *kvm.Guest) error {
	_, err := t.Sys(func() (int, error) { return 0, g.Run() }, "ioctl(%d, KVM_RUN, 0)", g.VCPU())
	return err
}

// vhost makes a vhost-net device with one packet in its queue, its kick
// eventfd and its call eventfd.
func (t *T) vhost() (kick, call *efd.EventFD, n *vhost.Net, err error) {
	if kick, err = t.EventFD(0, 0); err != nil {
		return
	}
	if call, err = t.EventFD(0, 0); err != nil {
		return
	}
	err = t.Do(func() error {
		if n, err = vhost.New(kick.FD(), call.FD()); err != nil {
			return err
		}
		t.Cleanup(func() { n.Close() })
		n.Queue()
		return nil
	})
	return
}

// sent waits until vhost has sent its packet and said so.
func (t *T) sent(n *vhost.Net, call *efd.EventFD) error {
	fds := []efd.PollFD{{FD: int32(call.FD()), Events: efd.POLLIN}}
	ready, err := efd.Poll(fds, t.left(), nil)
	return expect(err, ready == 1 && n.Sent() == 1, "vhost sent %d packets and signalled its call eventfd %d times, want 1", n.Sent(), ready)
}

// keyboard makes a keyboard and opens the device that its presses come out of.
func (t *T) keyboard() (k *uinput.Keyboard, fd int, err error) {
	err = t.Do(func() error {
		if k, err = uinput.New(); err != nil {
			return err
		}
		t.Cleanup(func() { k.Close() })
		fd, err = t.Sys(func() (int, error) {
			return unix.Open(k.Path(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		}, "openat(AT_FDCWD, %q, O_RDONLY|O_NONBLOCK|O_CLOEXEC)", k.Path())
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		t.res.Object = fmt.Sprintf("%s %d", k.Path(), fd)
		t.FD(fd, t.res.Object)
		return nil
	})
	return k, fd, err
}

// actAlone wakes a task of the kernel's own, on the waker's thread, and waits
// until the effect shows.
func (t *T) actAlone(wake func() error, done func() (bool, error)) error {
	return t.Do(func() error {
		t.act(true)
		t.begin(t.scenario.Own())
		err := wake()
		t.act(false)
		for err == nil {
			var ok bool
			if ok, err = done(); ok {
				break
			}
			if t.ctx.Err() != nil {
				return fmt.Errorf("it has no effect: %w", t.ctx.Err())
			}
			time.Sleep(time.Millisecond)
		}
		t.end()
		return err
	})
}
