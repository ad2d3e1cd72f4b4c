"""Nothing of an address that could be a credential is ever shown."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferengine.errors import UsageError
from ferengine.sources import SourceSpec, parse_source
from ferengine.sources.url import hide_credentials, redact_url

SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=4, max_size=12)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://10.0.0.7/stream", "rtsp://10.0.0.7/..."),
        ("RTSP://me:pw@Cam-1.local:8554/live/KEY", "rtsp://Cam-1.local:8554/..."),
        ("http://cam/video.cgi?user=me&password=pw", "http://cam/..."),
        ("rtsp://me:pw@[fe80::1]:554/x", "rtsp://[fe80::1]:554/..."),
        ("rtsp://cam", "rtsp://cam/..."),
        ("rtsp://me:p/w@cam/x", "rtsp://.../..."),
        ("rtsp://me:p@w/x@cam/y", "rtsp://.../..."),
        ("rtsp://me:12/34@cam/x", "rtsp://.../..."),
    ],
)
def test_only_scheme_host_and_port_are_shown(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert hide_credentials(f"door={url}") == f"door={shown}"


@settings(max_examples=60, deadline=None)
@given(user=SECRET, password=SECRET, encode=st.booleans())
def test_no_credentials_show_in_any_form(user: str, password: str, encode: bool) -> None:
    user, password = (f"~{quote(text, safe='') if encode else text}~" for text in (user, password))
    for url in (f"rtsp://{user}:{password}@cam:554/live", f"http://cam/x?user={user}&password={password}"):
        shown = [redact_url(url), hide_credentials(f"--source={url}")]
        try:
            spec = parse_source(url)
            shown += [repr(spec), spec.name, spec.where]
        except UsageError as error:
            shown.append(str(error))
        assert not any(secret in text for text in shown for secret in (user, password, "~"))


@pytest.mark.parametrize(
    "url",
    ["rtsp://", "rtsp:///live", "rtsp://me:p/w@cam/x", "rtsp://cam:port/x", "rtsp://me:p w@cam/x", "rtsp://cam:554:3/x"],
)
def test_addresses_that_make_no_sense(url: str) -> None:
    with pytest.raises(UsageError, match=r"the URL rtsp://\.\.\.") as caught:
        SourceSpec("stream", url, "door")
    assert "p/w" not in str(caught.value)


def test_other_schemes_are_named() -> None:
    with pytest.raises(UsageError, match="not ftp://") as caught:
        parse_source("ftp://me:secret@host/x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a/b=http://u:PW@h",
        " http://u:PW@h",
        "http:/u:PW@h",
        "http:u:PW@h",
        "rtsp//u:PW@h/x",
        "u:PW@10.0.0.7/live",
        "door=u:PW@h",
        "door= rtsp://u:PW@h",
        "http:///u:PW@h",
        "u:PW@h=rtsp://h/x",
        "rtsp:/cam/live?user=me&password=PW",
        "door=rtsp;//cam/user=PW",
        "HTTP:\\\\cam\\PW",
        "10.0.0.7/live?user=me&pwd=PW",
        "cam/snapshot.cgi?usr=me&token=PW",
    ],
)
def test_mistyped_addresses_hide_their_password(text: str) -> None:
    assert "PW" not in hide_credentials(text)
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert "PW" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "talk.mp4",
        "door=talk.mp4",
        "a@b.mp4",
        "12:30.mp4",
        "shots/*.jpg",
        "demo:crossing",
        "http:x.mp4",
        "http/a.mp4",
        "/srv/udp/1.ts",
        "a?b.mp4",
        "key=1.mp4",
    ],
)
def test_ordinary_texts_are_shown(text: str) -> None:
    assert hide_credentials(text) == text


def test_a_name_that_holds_a_password_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        parse_source("demo", name="me:PW@10.0.0.7/live")
    assert "PW" not in str(caught.value)
