//go:build linux

package bpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel,bpfeb -tags linux -cc clang -strip llvm-strip waitq src/waitq.c -- -O2 -g -Wall -mcpu=v2
