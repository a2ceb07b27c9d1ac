//go:build linux && !amd64 && !arm64

package ktext

var decode func(code []byte, base uint64, fn func(at, target uint64, jump bool))
