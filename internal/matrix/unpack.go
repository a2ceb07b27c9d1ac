//go:build linux

package main

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// wanted are the modules that the guests load if the kernel has not built
// them in, mostly in the order in which they load: the port that carries the results,
// and the devices of the scenarios.
var wanted = []string{
	"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_console",
	"irqbypass", "ccp", "kvm", "kvm-amd", "tap", "tun", "vhost_iotlb", "vhost", "vhost_net", "uinput", "evdev",
}

// unpack takes the image and the wanted modules out of a package: dir/vmlinuz
// and dir/modules/NAME.ko.
func unpack(ctx context.Context, deb, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "modules"), 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := unpackTar(ctx, tar.NewReader(out), dir); err != nil {
		cancel()
		cmd.Wait()
		return err
	}
	io.Copy(io.Discard, out)
	return cmd.Wait()
}

func unpackTar(ctx context.Context, r *tar.Reader, dir string) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		base := path.Base(h.Name)
		// boot/vmlinuz-ABI up to 7.1, usr/lib/modules/ABI/vmlinuz from 7.2 on.
		if base == "vmlinuz" || strings.HasPrefix(base, "vmlinuz-") {
			err = writeFile(filepath.Join(dir, "vmlinuz"), r)
		} else if name, ok := strings.CutSuffix(base, ".ko"); ok && slices.Contains(wanted, name) {
			err = writeFile(filepath.Join(dir, "modules", base), r)
		} else if name, ok := strings.CutSuffix(base, ".ko.xz"); ok && slices.Contains(wanted, name) {
			err = unxz(ctx, filepath.Join(dir, "modules", name+".ko"), r)
		}
		if err != nil {
			return err
		}
	}
}

func writeFile(name string, r io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

func unxz(ctx context.Context, name string, r io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "xz", "-dc")
	cmd.Stdin, cmd.Stdout = r, f
	return errors.Join(cmd.Run(), f.Close())
}
