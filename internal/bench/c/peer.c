/* The C side of the table: reads "NAME COUNT SIZE" lines, runs NAME, prints the
   nanoseconds that COUNT operations took. A second thread sleeps all the while,
   as in every Go program: descriptor look-up costs more with one. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void must(int ok, const char *what) {
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int make_eventfd(unsigned count, int flags) {
	int fd = eventfd(count, EFD_CLOEXEC | flags);
	must(fd >= 0, "eventfd");
	return fd;
}

static void *sleeper(void *arg) {
	for (;;)
		pause();
	return arg;
}

static void pair(int fd, long n) {
	uint64_t v = 1;
	while (n-- > 0) {
		must(write(fd, &v, 8) == 8, "write");
		must(read(fd, &v, 8) == 8, "read");
	}
}

static const struct timespec *limit(int timed) {
	static struct timespec ts;
	ts = (struct timespec){timed ? 1000 : 0, 0};
	return &ts;
}

static void ready_poll(struct pollfd *fds, int size, long n, int timed) {
	while (n-- > 0) {
		struct timespec ts = *limit(timed);
		must(syscall(SYS_ppoll, fds, size, &ts, NULL, 8) == 1, "ppoll");
	}
}

static void ready_select(int fd, long n, int timed) {
	fd_set r;
	FD_ZERO(&r);
	while (n-- > 0) {
		struct timespec ts = *limit(timed);
		FD_SET(fd, &r);
		must(syscall(SYS_pselect6, fd + 1, &r, NULL, NULL, &ts, NULL) == 1, "pselect6");
	}
}

static void ready_epoll(int epfd, long n, int timed) {
	struct epoll_event ev[8];
	while (n-- > 0)
		must(epoll_pwait(epfd, ev, 8, timed ? 1000000 : 0, NULL) == 1, "epoll_pwait");
}

struct side {
	const char *how;
	int in, out, epfd;
	long n;
};

static void wait_in(struct side *s, uint64_t *v) {
	if (!strcmp(s->how, "ppoll")) {
		struct pollfd p = {s->in, POLLIN, 0};
		must(ppoll(&p, 1, NULL, NULL) == 1, "ppoll");
	} else if (!strcmp(s->how, "pselect6")) {
		fd_set r;
		FD_ZERO(&r);
		FD_SET(s->in, &r);
		must(pselect(s->in + 1, &r, NULL, NULL, NULL, NULL) == 1, "pselect");
	} else if (!strcmp(s->how, "epoll_wait")) {
		struct epoll_event ev;
		must(epoll_wait(s->epfd, &ev, 1, -1) == 1, "epoll_wait");
	}
	must(read(s->in, v, 8) == 8, "read");
}

static void pin_to_one_cpu(void) {
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	must(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
}

static void *answer(void *arg) {
	struct side *s = arg;
	uint64_t v = 1;
	pin_to_one_cpu();
	for (long i = 0; i < s->n; i++) {
		wait_in(s, &v);
		must(write(s->out, &v, 8) == 8, "write");
	}
	return NULL;
}

static void *ask(void *arg) {
	struct side *s = arg;
	uint64_t v = 1;
	pin_to_one_cpu();
	for (long i = 0; i < s->n; i++) {
		must(write(s->out, &v, 8) == 8, "write");
		wait_in(s, &v);
	}
	return NULL;
}

static int epoll_of(int fd) {
	struct epoll_event ev = {.events = EPOLLIN};
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	must(epfd >= 0 && epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) == 0, "epoll");
	return epfd;
}

static int64_t ping_pong(const char *how, long n) {
	int a = make_eventfd(0, 0), b = make_eventfd(0, 0);
	int ea = epoll_of(a), eb = epoll_of(b);
	struct side s1 = {how, a, b, ea, n}, s2 = {how, b, a, eb, n};
	pthread_t t1, t2;
	pthread_create(&t2, NULL, answer, &s2);
	int64_t start = now();
	pthread_create(&t1, NULL, ask, &s1);
	pthread_join(t1, NULL);
	int64_t took = now() - start;
	pthread_join(t2, NULL);
	close(a), close(b), close(ea), close(eb);
	return took;
}

int main(void) {
	pthread_t t;
	struct rlimit rl;
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	must(pthread_create(&t, NULL, sleeper, NULL) == 0, "pthread_create");
	char line[128], name[64];
	long n;
	int size;
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "%63s %ld %d", name, &n, &size) != 3)
			return 2;
		int64_t start, took;
		if (!strncmp(name, "pingpong-", 9)) {
			took = ping_pong(name + 9, n);
		} else {
			int timed = strstr(name, "-timed") != NULL;
			struct pollfd *fds = calloc(size, sizeof *fds);
			for (int i = 0; i < size; i++)
				fds[i] = (struct pollfd){make_eventfd(i == size / 2 && strcmp(name, "pair"), EFD_NONBLOCK), POLLIN, 0};
			int epfd = epoll_of(fds[0].fd);
			start = now();
			if (!strncmp(name, "pair", 4))
				pair(fds[0].fd, n);
			else if (!strncmp(name, "poll", 4))
				ready_poll(fds, size, n, timed);
			else if (!strncmp(name, "select", 6))
				ready_select(fds[0].fd, n, timed);
			else if (!strncmp(name, "epoll", 5))
				ready_epoll(epfd, n, timed);
			else
				return 2;
			took = now() - start;
			for (int i = 0; i < size; i++)
				close(fds[i].fd);
			close(epfd);
			free(fds);
		}
		printf("%lld\n", (long long)took);
		fflush(stdout);
	}
	return 0;
}
