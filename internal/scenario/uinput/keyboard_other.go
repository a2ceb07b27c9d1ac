//go:build linux && !amd64 && !arm64

package uinput

import "errors"

var errArch = errors.New("the layout of input events is known for amd64 and arm64 only")

// Available returns an error that names the missing requirement of a keyboard.
func Available() error { return errArch }

// Keyboard is a keyboard with one key.
type Keyboard struct{}

// New fails on this architecture.
func New() (*Keyboard, error) { return nil, errArch }

// Path is empty.
func (*Keyboard) Path() string { return "" }

// FD is -1.
func (*Keyboard) FD() int { return -1 }

// Press fails.
func (*Keyboard) Press() error { return errArch }

// Close does nothing.
func (*Keyboard) Close() error { return nil }
