module github.com/efd-go/efd/internal/matrix

go 1.26.0

require (
	github.com/efd-go/efd v0.0.0
	github.com/google/go-cmp v0.7.0
	golang.org/x/sys v0.25.0
)

replace github.com/efd-go/efd => ../..
