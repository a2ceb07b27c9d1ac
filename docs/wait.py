# Two threads and an eventfd: one waits in epoll_wait, the other writes twice.
import os, select, threading, time

e = os.eventfd(0)


def wait():
    with select.epoll() as p:
        p.register(e, select.EPOLLIN)
        for _ in range(2):
            p.poll()
            os.eventfd_read(e)


t = threading.Thread(target=wait)
t.start()
for _ in range(2):
    time.sleep(0.02)
    os.eventfd_write(e, 1)
t.join()
