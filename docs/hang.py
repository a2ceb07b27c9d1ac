# Waits for ever: the child ends without the write that would wake its parent.
import os

done = os.eventfd(0)
if os.fork() == 0:
    os._exit(0)  # without os.eventfd_write(done, 1)
print("waiting for the child", flush=True)
os.eventfd_read(done)
