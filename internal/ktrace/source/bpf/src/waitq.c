// SPDX-License-Identifier: MIT OR GPL-2.0
//
// The wait queues of all open files, as a task_file iterator: for each
// descriptor a record of its file, the entries of its wait queues, and the
// items that an epoll has ready. No lock is held; a list that changed under
// the walk is marked.

typedef unsigned char __u8;
typedef unsigned short __u16, __be16;
typedef unsigned int __u32, __be32, __wsum;
typedef unsigned long long __u64;
typedef int __s32;
typedef long long __s64;

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define MOST 64 // entries of a list

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next, *prev;
};

typedef struct wait_queue_head {
	struct list_head head;
} wait_queue_head_t;

typedef struct wait_queue_entry {
	unsigned int flags;
	void *private;
	void *func;
	struct list_head entry;
} wait_queue_entry_t;

typedef struct {
	int counter;
} atomic_t;
typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;
struct kref {
	refcount_t refcount;
};

struct sighand_struct {
	wait_queue_head_t signalfd_wqh;
};

struct task_struct {
	int pid, tgid;
	struct sighand_struct *sighand;
};

struct file_operations {
	void *poll;
	void *read_iter;
	void *write;
};

struct inode {
	void *i_private;
};

struct file {
	const struct file_operations *f_op;
	void *private_data;
	struct inode *f_inode;
	unsigned int f_flags;
};

struct eventfd_ctx {
	struct kref kref;
	wait_queue_head_t wqh;
	__u64 count;
	unsigned int flags;
	int id;
};

struct epoll_filefd {
	struct file *file;
	int fd;
} __attribute__((packed));

struct epoll_event {
	__u32 events;
	__u64 data;
} __attribute__((packed));

struct eventpoll {
	wait_queue_head_t wq, poll_wait;
	struct list_head rdllist;
	struct file *file;
};

struct epitem {
	struct list_head rdllink;
	struct epoll_filefd ffd;
	struct eventpoll *ep;
	struct epoll_event event;
};

struct eppoll_entry {
	struct epitem *base;
	wait_queue_entry_t wait;
};

struct poll_wqueues {
	struct task_struct *polling_task;
	int triggered;
};

struct poll_table_entry {
	unsigned long key;
	wait_queue_entry_t wait;
};

struct pipe_inode_info {
	wait_queue_head_t rd_wait, wr_wait;
	unsigned int head, tail, max_usage, readers, writers;
};

struct pipe_inode_info___5_4 {
	wait_queue_head_t wait;
	unsigned int nrbufs, readers, writers;
};

struct sk_buff_head {
	__u32 qlen;
};

struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
};

struct socket_wq {
	wait_queue_head_t wait;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	struct socket_wq *sk_wq;
	unsigned short sk_type;
};

struct unix_sock {
	struct sock *peer;
};

struct socket {
	struct sock *sk;
};

struct timerfd_ctx {
	wait_queue_head_t wqh;
	__u64 ticks;
};

struct fsnotify_group {
	wait_queue_head_t notification_waitq;
	unsigned int q_len;
};

struct pid {
	wait_queue_head_t wait_pidfd;
};

struct tty_struct {
	wait_queue_head_t read_wait, write_wait;
};

struct tty_file_private {
	struct tty_struct *tty;
};

struct io_ring_ctx {
	wait_queue_head_t cq_wait, poll_wq;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

// Addresses of functions, 0 for one that this kernel does not have.
const volatile __u64 poll_eventfd, poll_epoll, poll_pipe, poll_socket, poll_timerfd, poll_signalfd, poll_inotify, poll_pidfd, poll_tty, poll_io_uring;
const volatile __u64 fn_pollwake, fn_ep_poll_callback, fn_task[6];

enum kind { none, eventfd, epoll, pipe, socket, timerfd, signalfd, inotify, pidfd, tty, io_uring };
enum type { a_file = 1, an_entry, an_end, an_item };

// record is what is written, in the order of the fields.
struct record {
	__u32 type, kind; // of an entry: which of the file's queues
	__u64 file, at;   // the address of the file, and of the entry
	__u64 func, a;    // of a file: its poll operation, and its state
	__u64 b, c;
	__s32 pid, tid, fd;
	__u32 flags, events, n;
};

static __always_inline void put(struct seq_file *seq, struct record *r)
{
	bpf_seq_write(seq, r, sizeof(*r));
}

static __always_inline void thread(struct record *r, struct task_struct *t)
{
	r->tid = BPF_CORE_READ(t, pid);
	r->pid = BPF_CORE_READ(t, tgid);
}

// decode adds what the function of an entry says about its waiter.
static __always_inline void decode(struct record *r, wait_queue_entry_t *w, void *private)
{
	if (r->func == fn_pollwake) {
		struct poll_table_entry *p = (void *)w - bpf_core_field_offset(struct poll_table_entry, wait);
		struct poll_wqueues *q = private;
		thread(r, BPF_CORE_READ(q, polling_task));
		r->events = BPF_CORE_READ(p, key);
		r->n = BPF_CORE_READ(q, triggered);
		return;
	}
	if (r->func == fn_ep_poll_callback) {
		struct eppoll_entry *p = (void *)w - bpf_core_field_offset(struct eppoll_entry, wait);
		struct epitem *item = BPF_CORE_READ(p, base);
		r->a = (__u64)BPF_CORE_READ(item, ep, file);
		r->fd = BPF_CORE_READ(item, ffd.fd);
		r->events = BPF_CORE_READ(item, event.events);
		r->b = BPF_CORE_READ(item, event.data);
		return;
	}
	__u64 other = 1; // without a branch for each, which the verifier would follow
#pragma unroll
	for (int i = 0; i < 6; i++) {
		__u64 x = r->func ^ fn_task[i];
		other &= (x | -x) >> 63;
	}
	if (!other)
		thread(r, private);
}

static __noinline int queue(struct seq_file *seq, __u64 file, struct list_head *head, __u32 which)
{
	struct record r;
	struct list_head *cur = BPF_CORE_READ(head, next), *next, *back;
	__u32 n = 0, torn = 0, more = 0;

	for (int i = 0; i < MOST; i++) {
		if (cur == head || !cur)
			break;
		wait_queue_entry_t *w = (void *)cur - bpf_core_field_offset(wait_queue_entry_t, entry);
		void *private = BPF_CORE_READ(w, private);
		__builtin_memset(&r, 0, sizeof(r));
		r.type = an_entry;
		r.kind = which;
		r.file = file;
		r.at = (__u64)w;
		r.func = (__u64)BPF_CORE_READ(w, func);
		r.flags = BPF_CORE_READ(w, flags);
		r.fd = -1;
		decode(&r, w, private);
		next = BPF_CORE_READ(cur, next);
		back = BPF_CORE_READ(next, prev);
		if (back != cur || BPF_CORE_READ(cur, prev, next) != cur || BPF_CORE_READ(w, private) != private) {
			torn = 1; // it is not an entry any more
			break;
		}
		put(seq, &r);
		n++;
		cur = next;
	}
	if (cur != head && !torn)
		torn = n < MOST, more = n == MOST;
	__builtin_memset(&r, 0, sizeof(r));
	r.type = an_end;
	r.kind = which;
	r.file = file;
	r.n = n;
	r.flags = torn;
	r.events = more;
	put(seq, &r);
	return 0;
}

static __noinline int ready(struct seq_file *seq, __u64 file, struct list_head *head)
{
	struct record r;
	struct list_head *cur = BPF_CORE_READ(head, next), *next;

	for (int i = 0; i < MOST; i++) {
		if (cur == head || !cur)
			break;
		struct epitem *item = (void *)cur - bpf_core_field_offset(struct epitem, rdllink);
		__builtin_memset(&r, 0, sizeof(r));
		r.type = an_item;
		r.file = file;
		r.at = (__u64)item;
		r.fd = BPF_CORE_READ(item, ffd.fd);
		r.events = BPF_CORE_READ(item, event.events);
		r.b = BPF_CORE_READ(item, event.data);
		next = BPF_CORE_READ(cur, next);
		if (BPF_CORE_READ(next, prev) != cur || BPF_CORE_READ(cur, prev, next) != cur)
			break;
		put(seq, &r);
		cur = next;
	}
	return 0;
}

SEC("iter/task_file")
int waiters(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct file *f = ctx->file;
	struct record r;

	if (!task || !f)
		return 0;
	__builtin_memset(&r, 0, sizeof(r));
	__u64 poll = (__u64)BPF_CORE_READ(f, f_op, poll);
	void *p = BPF_CORE_READ(f, private_data);
	struct list_head *first = 0, *second = 0, *items = 0;

	if (!poll)
		return 0;
	if (poll == poll_eventfd) {
		struct eventfd_ctx *e = p;
		r.kind = eventfd;
		r.a = BPF_CORE_READ(e, count);
		r.b = BPF_CORE_READ(e, kref.refcount.refs.counter);
		r.flags = BPF_CORE_READ(e, flags);
		r.events = -1;
		if (bpf_core_field_exists(e->id))
			r.events = BPF_CORE_READ(e, id);
		first = &e->wqh.head;
	} else if (poll == poll_epoll) {
		struct eventpoll *e = p;
		r.kind = epoll;
		first = &e->wq.head;
		second = &e->poll_wait.head;
		items = &e->rdllist;
	} else if (poll == poll_pipe) {
		r.kind = pipe;
		if (bpf_core_field_exists(((struct pipe_inode_info *)0)->rd_wait)) {
			struct pipe_inode_info *i = p;
			r.a = BPF_CORE_READ(i, head) - BPF_CORE_READ(i, tail);
			r.b = BPF_CORE_READ(i, readers);
			r.c = BPF_CORE_READ(i, writers);
			r.n = BPF_CORE_READ(i, max_usage);
			first = &i->rd_wait.head;
			second = &i->wr_wait.head;
		}
	} else if (poll == poll_socket) {
		struct socket *s = p;
		struct sock *sk = BPF_CORE_READ(s, sk);
		r.kind = socket;
		r.a = BPF_CORE_READ(sk, sk_receive_queue.qlen);
		r.b = (__u64)sk;
		r.events = BPF_CORE_READ(sk, __sk_common.skc_family);
		r.n = BPF_CORE_READ(sk, __sk_common.skc_state);
		r.flags = BPF_CORE_READ(sk, sk_type);
		if (r.events == 1 && bpf_core_type_exists(struct unix_sock))
			r.c = (__u64)BPF_CORE_READ((struct unix_sock *)sk, peer);
		struct socket_wq *wq = BPF_CORE_READ(sk, sk_wq);
		first = &wq->wait.head;
	} else if (poll == poll_timerfd) {
		struct timerfd_ctx *t = p;
		r.kind = timerfd;
		r.a = BPF_CORE_READ(t, ticks);
		first = &t->wqh.head;
	} else if (poll == poll_signalfd) {
		r.kind = signalfd;
		struct sighand_struct *h = BPF_CORE_READ(task, sighand);
		first = &h->signalfd_wqh.head;
	} else if (poll == poll_inotify) {
		struct fsnotify_group *g = p;
		r.kind = inotify;
		r.a = BPF_CORE_READ(g, q_len);
		first = &g->notification_waitq.head;
	} else if (poll == poll_pidfd) {
		struct pid *pid = p ? p : BPF_CORE_READ(f, f_inode, i_private);
		r.kind = pidfd;
		first = &pid->wait_pidfd.head;
	} else if (poll == poll_tty) {
		struct tty_struct *t = BPF_CORE_READ((struct tty_file_private *)p, tty);
		r.kind = tty;
		first = &t->read_wait.head;
		second = &t->write_wait.head;
	} else if (poll == poll_io_uring) {
		struct io_ring_ctx *c = p;
		r.kind = io_uring;
		first = &c->cq_wait.head;
		if (bpf_core_field_exists(c->poll_wq))
			second = &c->poll_wq.head;
	}
	if (r.kind == pipe)
		r.flags = BPF_CORE_READ(f, f_flags);
	r.type = a_file;
	r.file = (__u64)f;
	r.at = (__u64)p;
	r.func = poll;
	r.pid = task->tgid;
	r.tid = task->pid;
	r.fd = ctx->fd;
	put(seq, &r);
	if (items)
		ready(seq, r.file, items);
	if (first)
		queue(seq, r.file, first, 0);
	if (second)
		queue(seq, r.file, second, 1);
	return 0;
}
