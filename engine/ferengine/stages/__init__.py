"""What runs in a worker process: capture, detect, track, classify and render, and the messages between them.

    source -> capture -> frame ring -> track -> face ring -> classify -> scores -> engine -> render
                                       |  ^
                                      detect

``base`` has the life cycle that all stages share, ``worker`` is the main program of each worker process, ``messages``
holds the control messages and ``records`` what travels with frames and faces.
"""
