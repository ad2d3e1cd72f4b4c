"""Transport between the processes: sockets, shared rings and child processes. Knows bytes and descriptors, no payload."""
