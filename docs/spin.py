# A program that eats a processor: it polls a pipe whose writer has gone, and
# looks for POLLIN alone. README.md shows what explain says of it.
import os, select

r, w = os.pipe()
p = select.poll()
p.register(r, select.POLLIN)
os.close(w)
for _ in range(1000):
    for fd, events in p.poll():
        if events & select.POLLIN:
            os.read(fd, 4096)
