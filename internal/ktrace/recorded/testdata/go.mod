// A module of its own, and without packages: what is here stays out of the zip
// in which everybody who imports efd gets it.
module github.com/efd-go/efd/internal/ktrace/recorded/testdata

go 1.26.0
