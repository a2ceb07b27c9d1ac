//go:build linux

// Package uinput makes a keyboard that a program plays: its presses come out
// of a character device of the kernel's input layer, whose poll is that of a
// driver.
package uinput
