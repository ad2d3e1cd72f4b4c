"""The web service: live view, API and metrics, as a server on a thread of its own or an application to mount.

``create_app`` makes the ASGI application, ``Server`` runs it. Both need the packages of the extra ``serve``; import them by
module.
"""
