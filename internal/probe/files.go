//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

func (*machine) root() error {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Errorf("user ID %d", uid)
	}
	b, err := os.ReadFile("/etc/passwd")
	if err == nil && !strings.Contains("\n"+string(b), "\nnobody:") {
		err = errors.New("/etc/passwd has no user nobody")
	}
	return err
}

// kallsyms: the kernel shows the addresses of its functions.
func (m *machine) kallsyms() error {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) == 3 && f[2] == "do_sys_poll" {
			if strings.Trim(f[0], "0") == "" {
				return errors.New("/proc/kallsyms shows no addresses")
			}
			m.function, err = strconv.ParseUint(f[0], 16, 64)
			return err
		}
	}
	return errors.New("/proc/kallsyms has no do_sys_poll")
}

func (*machine) btf() error {
	_, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	return err
}

// text: the kernel's memory can be read, on an architecture whose machine code
// the project reads.
func (m *machine) text() error {
	if runtime.GOARCH != "amd64" {
		return errors.New("the project reads no machine code of " + runtime.GOARCH)
	}
	if b, err := os.ReadFile("/sys/kernel/security/lockdown"); err == nil && strings.Contains(string(b), "[confidentiality]") {
		return errors.New("lockdown: confidentiality")
	}
	kcore := readKcore()
	if kcore == nil {
		return nil
	}
	if err := m.readByBPF(); err != nil {
		return errors.Join(kcore, err)
	}
	return nil
}

func readKcore() error {
	f, err := os.Open("/proc/kcore")
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 4)
	if _, err := f.Read(head); err != nil {
		return err
	}
	if string(head) != "\x7fELF" {
		return fmt.Errorf("/proc/kcore begins with %q", head)
	}
	return nil
}
