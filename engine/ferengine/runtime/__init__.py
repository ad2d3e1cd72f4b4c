"""The processes of the engine: shared memory and sockets between thin workers around the plain stages.

    camera -> capture -> frame ring -> track -> face ring -> classify -> scores -> supervisor -> consumers
                                        |  ^
                                       detect

``supervisor`` (a thread of the caller's process) starts, watches and replaces the workers and joins their records
and scores; ``worker`` is the main program of each worker process; ``capture``, ``detection``, ``tracking``,
``classification`` and ``output`` are what a worker can hold.
"""
