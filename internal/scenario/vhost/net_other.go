//go:build linux && !amd64 && !arm64

package vhost

import "errors"

var errArch = errors.New("the requests of vhost are known for amd64 and arm64 only")

// Available returns an error that names the missing requirement of a vhost-net
// device.
func Available() error { return errArch }

// Net is a vhost-net device with a transmit queue.
type Net struct{}

// New fails on this architecture.
func New(kick, call int) (*Net, error) { return nil, errArch }

// Queue does nothing.
func (*Net) Queue() {}

// Sent is 0.
func (*Net) Sent() int { return 0 }

// Close does nothing.
func (*Net) Close() error { return nil }
