"""The page in a real browser: video plays, boxes go with it, cameras come and go, on a phone and with the keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ferengine import Zone
from service_help import Running, serving, until
from video_help import write_video

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 90_000
"""Milliseconds: the machine may be busy."""

DRAWN = "() => typeof ferengine !== 'undefined' && ferengine.tiles.get('door')?.drawn"
"""What a page has drawn; one that has just been opened, or opened again, has no script yet."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    made = browser.new_page(viewport={"width": 1280, "height": 800})
    made.set_default_timeout(PATIENCE)
    said: list[str] = []
    made.on("pageerror", lambda error: said.append(str(error)))
    made.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    yield made
    made.close()
    unexpected = [line for line in said if not any(word in line for word in ("400", "401", "WebSocket"))]  # tests of refusals
    assert unexpected == []


def test_video_plays_and_boxes_are_those_of_the_shown_frame(page: Any, running: Running) -> None:
    page.goto(running.url)
    page.wait_for_function(f"() => ({DRAWN})()?.time > 1")
    found = page.evaluate(
        """() => { const tile = ferengine.tiles.get('door'), video = tile.player.video;
        const sent = tile.player.frames.find((frame) => frame.result.frame === tile.drawn.frame);
        return [tile.synchronised, sent.time === tile.drawn.time, video.videoWidth, video.videoHeight, video.paused]; }"""
    )
    assert found == [True, True, 320, 240, False]
    first = page.evaluate(DRAWN)["frame"]
    page.wait_for_function(f"() => ({DRAWN})().frame > {first} + 5")
    page.wait_for_function("() => /^\\d in the frame: #\\d/.test(document.querySelector('.overlay').ariaLabel)")
    page.wait_for_function("() => document.querySelector('.timeline').ariaLabel.includes('mostly')")
    painted = page.evaluate(
        """() => { const canvas = document.querySelector('.overlay');
        return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value); }"""
    )
    assert painted


def test_a_hidden_camera_is_not_encoded(page: Any, running: Running) -> None:
    page.goto(running.url)
    page.wait_for_function(f"() => ({DRAWN})()")
    page.goto("about:blank")
    until(lambda: running.context.live.viewers == 0)


def test_cameras_are_added_paused_and_removed_with_the_keyboard(page: Any, running: Running) -> None:
    page.goto(running.url)
    page.wait_for_selector(".tile")
    page.keyboard.press("n")
    page.keyboard.type("demo:moon")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.getElementById('add-error').textContent.includes(\"no scenario 'moon'\")")
    page.fill("#add-source", "demo:turn")
    page.fill("#add-name", "attic <b>")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.tile').length === 2")
    page.wait_for_function("() => !document.querySelector('dialog[open]')")
    page.locator(".tile").nth(1).focus()
    page.keyboard.press("p")
    page.wait_for_function("() => ferengine.tiles.get('attic <b>').state.paused")
    assert "Resume: attic <b>" in page.locator(".tile").nth(1).locator(".pause").get_attribute("aria-label")
    page.locator(".tile").nth(1).focus()
    page.keyboard.press("p")
    page.wait_for_function("() => ferengine.tiles.get('attic <b>').state.state === 'running'")
    page.locator(".tile").nth(1).focus()
    page.keyboard.press("Delete")
    page.wait_for_selector("#remove-dialog[open]")
    page.keyboard.press("Tab")
    page.click("#remove-dialog button.danger")
    page.wait_for_function("() => document.querySelectorAll('.tile').length === 1")
    assert running.engine.cameras == ("door",)


def test_what_has_ended_is_opened_again(page: Any, running: Running, tmp_path: Path) -> None:
    running.engine.add_source(str(write_video(tmp_path / "brief.mp4", 3)))
    page.goto(running.url)
    page.wait_for_function("() => ferengine.tiles.get('brief')?.state.state === 'ended'")
    (tmp_path / "brief.mp4").unlink()
    page.get_by_role("button", name="Open again: brief").click()
    page.wait_for_function("() => document.getElementById('banner').textContent.startsWith('brief: there is no file')")
    running.engine.remove_source("brief")
    page.wait_for_function("() => !ferengine.tiles.has('brief')")


def test_a_phone_sees_it_all(page: Any, running: Running) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(running.url)
    page.wait_for_function(f"() => ({DRAWN})()")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, a.icon')].filter((each) => each.offsetWidth && !each.closest('dialog'))
        .filter((each) => Math.min(each.offsetWidth, each.offsetHeight) < 40 || !(each.ariaLabel || each.textContent.trim()))
        .map((each) => each.outerHTML)"""
    )
    assert small == []


def test_dark_and_light(page: Any, running: Running) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(running.url)
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.keyboard.press("t")
    assert page.evaluate(ground) != dark
    page.reload()
    assert page.evaluate("() => document.documentElement.dataset.theme") == "light"


def test_a_zone_drawn_with_the_mouse_ignores_its_faces(page: Any, running: Running) -> None:
    page.goto(running.url)
    page.wait_for_function(f"() => ({DRAWN})()?.faces")
    page.locator(".tile").focus()
    page.keyboard.press("z")
    page.click(".zone-draw")
    box = page.locator(".zones").bounding_box()
    for x, y in ((0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.01)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.wait_for_selector(".zone-editor li")
    page.select_option(".zone-editor .kind", "ignore")
    page.click("text=Save zones")
    page.wait_for_function("() => document.querySelector('.zone-editor').hidden")
    [zone] = running.engine.sources["door"].zones
    assert (zone.name, zone.kind, len(zone.points)) == ("zone 1", "ignore", 4)
    assert zone.points[0] == pytest.approx((0.01, 0.01), abs=0.01)
    page.wait_for_function("() => document.querySelector('.zones').ariaLabel === 'Zones: zone 1 (ignored)'")
    page.wait_for_function(f"() => ({DRAWN})().faces === 0")
    page.wait_for_function("() => document.querySelector('.overlay').ariaLabel === 'No face in the frame'")
    assert running.engine.health().cameras["door"].ignored


def test_zones_are_edited_and_deleted_with_the_keyboard(page: Any, running: Running) -> None:
    square = Zone(name="hall", points=[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)])
    running.engine.set_zones("door", [square])
    page.goto(running.url)
    page.wait_for_selector(".zones polygon")
    page.locator(".tile").focus()
    page.keyboard.press("z")
    page.locator(".zones circle").nth(2).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    assert page.input_value(".zone-editor .points") == "[0.2, 0.2], [0.8, 0.2], [0.79, 0.75], [0.2, 0.8]"
    page.keyboard.press("Delete")
    assert page.input_value(".zone-editor .points") == "[0.2, 0.2], [0.8, 0.2], [0.2, 0.8]"
    page.fill(".zone-editor .points", "0 0, 1 1, 1 0, 0 1")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.zone-editor .error').textContent.includes('cross itself')")
    page.fill(".zone-editor .points", "0 0, 1 0, 1 1")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.zone-editor').hidden")
    assert running.engine.sources["door"].zones == (Zone(name="hall", points=[(0, 0), (1, 0), (1, 1)]),)
    page.keyboard.press("Enter")  # the focus is on the button that opens the editor
    page.locator(".zone-remove").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")  # given up
    assert page.locator(".zones polygon").count() == 1
    page.keyboard.press("Enter")
    page.click(".zone-remove")
    page.click("text=Save zones")
    page.wait_for_function("() => document.querySelector('.zones').ariaLabel === 'No zones'")
    assert running.engine.sources["door"].zones == ()


def test_a_browser_without_mp4_gets_images(page: Any, running: Running) -> None:
    page.add_init_script("delete window.MediaSource")
    page.goto(running.url)
    page.wait_for_function("() => document.querySelector('.tile img')?.naturalWidth === 320")
    page.wait_for_function(f"() => ({DRAWN})()")
    page.goto("about:blank")


def test_a_token_is_asked_for_and_refused(page: Any, running: Running) -> None:
    with serving(running.engine, token="a token of some length") as closed:
        page.goto(closed.url)
        page.wait_for_selector("#login-dialog[open]")
        page.fill("#login-token", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.getElementById('login-error').textContent.includes('not the token')")
        assert page.locator(".tile").count() == 0
        page.fill("#login-token", "a token of some length")
        page.keyboard.press("Enter")
        page.wait_for_function(f"() => ({DRAWN})()")
        page.goto("about:blank")
