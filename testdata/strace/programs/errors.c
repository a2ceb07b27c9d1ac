// Makes each call on eventfd, poll, select and epoll fail in each way that an
// ordinary program can bring about. The log beside it is
//   cc -o errors errors.c && strace -f -o errors-f.txt -e trace=SET ./errors
// with SET the calls that explain knows.
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define KERNEL ((void *)0xffff800000000000)
#define NOWHERE ((void *)8)
#define ADD EPOLL_CTL_ADD
#define MOD EPOLL_CTL_MOD
#define DEL EPOLL_CTL_DEL

static long call(long nr, long a, long b, long c, long d, long e, long f) { return syscall(nr, a, b, c, d, e, f); }
#define C(nr, ...) C_(SYS_##nr, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define C_(nr, a, b, c, d, e, f, ...) call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static void on_alarm(int s) { (void)s; }

static void in20ms(void)
{
	struct itimerval t = {.it_value = {0, 20000}};
	setitimer(ITIMER_REAL, &t, 0);
}

static fd_set *SET(int fd)
{
	static fd_set r;
	FD_ZERO(&r);
	FD_SET(fd, &r);
	return &r;
}

int main(void)
{
	uint64_t one = 1, max = UINT64_MAX, full = UINT64_MAX - 1, v[2] = {1, 0};
	struct sigaction sa = {.sa_handler = on_alarm};
	sigaction(SIGALRM, &sa, 0);

	// eventfd2
	C(eventfd2, 0, 0x10);
	int e = eventfd(0, EFD_NONBLOCK), b = eventfd(0, 0);
	int file = open("/proc/self/exe", O_RDONLY);
	struct rlimit was, low = {6, 0};
	getrlimit(RLIMIT_NOFILE, &was);
	low.rlim_max = was.rlim_max;
	setrlimit(RLIMIT_NOFILE, &low);
	C(eventfd2, 0, 0);
	C(epoll_create1, 0);
	setrlimit(RLIMIT_NOFILE, &was);
	C(epoll_create1, 0x10);
	C(epoll_create, 0);
	C(epoll_create, -1);

	// read and write of an eventfd
	C(read, e, &one, 8);
	C(read, e, &one, 4);
	C(read, 77, &one, 8);
	C(write, e, &one, 4);
	C(write, e, v, 16);
	C(write, e, &max, 8);
	C(write, e, NOWHERE, 8);
	C(write, e, KERNEL, 8);
	C(write, e, &full, 8);
	C(write, e, &one, 8);
	C(read, e, KERNEL, 8);
	C(read, e, NOWHERE, 8);
	in20ms();
	C(read, b, &one, 8);
	C(write, b, &full, 8);
	in20ms();
	C(write, b, &one, 8);
	C(read, b, &one, 8);

	// poll and ppoll
	struct pollfd p = {.fd = e, .events = POLLIN};
	struct timespec look = {0, 0}, bad = {0, 1000000000}, past = {-1, 0}, second = {1, 0};
	sigset_t none;
	sigemptyset(&none);
	struct pollfd *ro = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ro->fd = e, ro->events = POLLIN;
	mprotect(ro, 4096, PROT_READ);
	C(poll, 0, 1 << 30, 0);
	C(poll, NOWHERE, 1, 0);
	C(poll, 0, 2, 0);
	C(poll, ro, 1, 0);
	C(poll, 0, 0, 1);
	p.fd = -1;
	C(poll, &p, 1, 1);
	p.fd = 77;
	C(poll, &p, 1, 1);
	p.fd = e;
	in20ms();
	C(poll, &p, 1, -1);
	C(ppoll, &p, 1, &bad, 0, 8);
	C(ppoll, &p, 1, &past, 0, 8);
	C(ppoll, &p, 1, NOWHERE, 0, 8);
	C(ppoll, &p, 1, &look, &none, 4);
	C(ppoll, &p, 1, &look, NOWHERE, 8);
	C(ppoll, 0, 1 << 30, 0, 0, 8);
	C(ppoll, NOWHERE, 1, &look, 0, 8);
	C(ppoll, ro, 1, &look, &none, 8);
	in20ms();
	C(ppoll, &p, 1, 0, &none, 8);

	// select and pselect6
	struct timeval now = {0, 0}, badtv = {-1, 0};
	struct { void *mask; size_t size; } pair = {&none, 4}, nomask = {NOWHERE, 8}, ok = {&none, 8};
	fd_set *ros = (fd_set *)mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FD_SET(e, ros);
	mprotect(ros, 4096, PROT_READ);
	C(select, -1, 0, 0, 0, &now);
	C(select, 64, SET(33), 0, 0, &now);
	C(select, e + 1, SET(e), 0, 0, &badtv);
	C(select, e + 1, SET(e), 0, 0, NOWHERE);
	C(select, e + 1, NOWHERE, 0, 0, &now);
	C(select, e + 1, ros, 0, 0, &now);
	in20ms();
	C(select, e + 1, SET(e), 0, 0, 0);
	C(pselect6, -1, 0, 0, 0, &look, 0);
	C(pselect6, 64, SET(33), 0, 0, &look, 0);
	C(pselect6, e + 1, SET(e), 0, 0, &bad, 0);
	C(pselect6, e + 1, SET(e), 0, 0, NOWHERE, 0);
	C(pselect6, e + 1, SET(e), 0, 0, &look, &pair);
	C(pselect6, e + 1, SET(e), 0, 0, &look, &nomask);
	C(pselect6, e + 1, SET(e), 0, 0, &look, NOWHERE);
	C(pselect6, e + 1, NOWHERE, 0, 0, &look, 0);
	C(pselect6, e + 1, ros, 0, 0, &look, 0);
	in20ms();
	C(pselect6, e + 1, SET(e), 0, 0, 0, &ok);

	// epoll_ctl
	int ep = epoll_create1(0), other = epoll_create1(0);
	struct epoll_event in = {.events = EPOLLIN}, only = {.events = EPOLLIN | EPOLLEXCLUSIVE}, pri = {.events = EPOLLPRI | EPOLLEXCLUSIVE};
	C(epoll_ctl, ep, DEL, 77, 0);
	C(epoll_ctl, ep, ADD, 77, &in);
	C(epoll_ctl, 77, MOD, e, &in);
	C(epoll_ctl, ep, ADD, e, NOWHERE);
	C(epoll_ctl, ep, ADD, file, &in);
	C(epoll_ctl, ep, DEL, file, &in);
	C(epoll_ctl, ep, ADD, ep, &in);
	C(epoll_ctl, e, ADD, b, &in);
	C(epoll_ctl, ep, 9, e, &in);
	C(epoll_ctl, ep, ADD, other, &only);
	C(epoll_ctl, ep, ADD, e, &pri);
	C(epoll_ctl, ep, MOD, e, &in);
	C(epoll_ctl, ep, DEL, e, 0);
	C(epoll_ctl, ep, ADD, e, &in);
	C(epoll_ctl, ep, ADD, e, &in);
	C(epoll_ctl, ep, MOD, e, &only);
	C(epoll_ctl, ep, ADD, b, &only);
	C(epoll_ctl, ep, MOD, b, &in);
	C(epoll_ctl, ep, ADD, other, &in);
	C(epoll_ctl, other, ADD, ep, &in);
	C(epoll_ctl, ep, DEL, other, 0);

	// epoll_wait and its kin
	struct epoll_event got[2];
	C(epoll_wait, 77, got, 2, 0);
	C(epoll_wait, e, got, 2, 0);
	C(epoll_wait, ep, got, 0, 0);
	C(epoll_wait, ep, got, 1 << 30, 0);
	C(epoll_wait, ep, KERNEL, 2, 0);
	C(epoll_wait, ep, got, 2, 0);
	C(write, e, &one, 8);
	C(epoll_wait, ep, NOWHERE, 2, 0);
	C(read, e, &one, 8);
	in20ms();
	C(epoll_wait, ep, got, 2, -1);
	C(epoll_pwait, ep, got, 2, 0, &none, 4);
	C(epoll_pwait, ep, got, 2, 0, NOWHERE, 8);
	C(epoll_pwait, 77, got, 2, 0, &none, 8);
	C(epoll_pwait, ep, got, 0, 0, &none, 8);
	in20ms();
	C(epoll_pwait, ep, got, 2, -1, &none, 8);
	C(epoll_pwait2, ep, got, 2, &bad, 0, 8);
	C(epoll_pwait2, ep, got, 2, NOWHERE, 0, 8);
	C(epoll_pwait2, ep, got, 2, &look, &none, 4);
	C(epoll_pwait2, 77, got, 2, &second, 0, 8);

	// too many wake-up paths: eleven of five links
	int chain[4], at = b;
	C(epoll_ctl, ep, DEL, b, 0);
	for (int i = 0; i < 4; i++) {
		chain[i] = epoll_create1(0);
		C(epoll_ctl, chain[i], ADD, at, &in);
		at = chain[i];
	}
	for (int i = 0; i < 11; i++)
		if (C(epoll_ctl, epoll_create1(0), ADD, at, &in) < 0)
			break;

	// other files
	int pair2[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair2);
	C(epoll_ctl, ep, ADD, pair2[0], &in);
	p.fd = pair2[0];
	C(poll, &p, 1, 0);
	p.fd = 0;
	C(poll, &p, 1, 0);
	C(close, 77);
	return 0;
}
