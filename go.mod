module github.com/efd-go/efd

go 1.26.0

require golang.org/x/sys v0.25.0

require (
	github.com/cilium/ebpf v0.16.0
	github.com/google/go-cmp v0.7.0
)

require golang.org/x/exp v0.0.0-20230224173230-c95f2b4c22f2 // indirect
