//go:build linux

// Package aged is an LRU list.
package aged

// Node is the place of a thing in a List. It belongs into the thing, as a
// field, so that a list allocates nothing.
type Node[T any] struct {
	Of           T
	older, newer *Node[T]
}

// Newer returns the node that was used next, nil after the newest.
func (n *Node[T]) Newer() *Node[T] { return n.newer }

// List has the oldest first. The zero List is empty.
type List[T any] struct {
	oldest, newest *Node[T]
}

// Oldest returns the node that was used longest ago, nil in an empty list.
func (l *List[T]) Oldest() *Node[T] { return l.oldest }

// Newest returns the node that was used last, nil in an empty list.
func (l *List[T]) Newest() *Node[T] { return l.newest }

// Add appends a node that is in no list after the newest.
func (l *List[T]) Add(n *Node[T]) {
	n.older, n.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = n
	} else {
		l.oldest = n
	}
	l.newest = n
}

// Remove takes a node of this list out of it.
func (l *List[T]) Remove(n *Node[T]) {
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		l.oldest = n.newer
	}
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		l.newest = n.older
	}
	n.older, n.newer = nil, nil
}

// Use makes a node of this list the newest.
func (l *List[T]) Use(n *Node[T]) {
	if n != l.newest {
		l.Remove(n)
		l.Add(n)
	}
}
