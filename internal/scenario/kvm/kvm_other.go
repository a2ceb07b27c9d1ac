//go:build linux && !amd64

package kvm

import "errors"

var errArch = errors.New("the guest's program is one for x86-64")

// Available returns an error that names the missing requirement of a guest.
func Available() error { return errArch }

// Guest is a virtual machine whose only program writes to ports.
type Guest struct{}

// NewGuest fails: there are no ports on this architecture.
func NewGuest(ports ...uint16) (*Guest, error) { return nil, errArch }

// Signal fails.
func (*Guest) Signal(port uint16, eventfd int) error { return errArch }

// VCPU is -1.
func (*Guest) VCPU() int { return -1 }

// Run fails.
func (*Guest) Run() error { return errArch }

// Close does nothing.
func (*Guest) Close() error { return nil }

// Chip is a virtual machine without a CPU.
type Chip struct{}

// NewChip fails: the controller is one of x86.
func NewChip() (*Chip, error) { return nil, errArch }

// Raise fails.
func (*Chip) Raise(eventfd, line int) error { return errArch }

// Raised fails.
func (*Chip) Raised(line int) (bool, error) { return false, errArch }

// Close does nothing.
func (*Chip) Close() error { return nil }
