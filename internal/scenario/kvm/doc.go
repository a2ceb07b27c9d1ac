//go:build linux

// Package kvm drives the two eventfds of KVM: ioeventfd, which a guest's write
// to a port signals, and irqfd, which raises an interrupt in a guest when it
// is written to. Its guests are a few instructions of real mode.
package kvm
