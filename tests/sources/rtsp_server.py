"""A real RTSP server (GStreamer's) for the tests, run by Debian's own Python: VIDEO PORT [USER PASSWORD].

Needs the packages gir1.2-gst-rtsp-server-1.0, python3-gi and gstreamer1.0-plugins-good. Serves the H.264 in an MP4 file
at /live, in real time and once; prints its port when it listens.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


def main(video: str, port: str, *credentials: str) -> None:
    Gst.init(None)
    if Gst.ElementFactory.find("qtdemux") is None:
        sys.exit("gstreamer1.0-plugins-good is missing")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f'( filesrc location="{video}" ! qtdemux ! rtph264pay name=pay0 config-interval=-1 )')
    if credentials:
        _ask_for(credentials, server, factory)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _ask_for(credentials: tuple[str, ...], server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory) -> None:
    """Digest authentication, as cameras do."""
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest(*credentials, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("access", "construct"):
        permissions.add_permission_for_role("viewer", f"media.factory.{right}", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main(*sys.argv[1:])
