"""The page of live contexts in a real browser (headless Chromium)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inspected import PATIENCE, Inspected, serving
from local_servers import not_here, program

try:
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    if not TYPE_CHECKING:
        webdriver = None

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1000,800",
)


@pytest.fixture(scope="module")
def chromium() -> tuple[str, str]:
    """The browser and its driver."""
    if webdriver is None:
        not_here("no Selenium: pip install selenium")
    return program("chromium", "chromium", "/usr/bin"), program(
        "chromedriver", "chromium-driver", "/usr/bin"
    )


@pytest.fixture(scope="module")
def server(
    chromium: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Inspected]:
    with serving(tmp_path_factory.mktemp("shown"), "--no-reload") as server:
        yield server


class Page:
    """The page in a window of its own."""

    def __init__(self, driver: webdriver.Chrome, server: Inspected, folder: Path) -> None:
        self.driver = driver
        self.server = server
        self.folder = folder

    def open(self) -> None:
        """Go to the address that the server printed."""
        server = self.server
        self.driver.get(f"http://127.0.0.1:{server.port}/_contexts?token={server.token}")

    def until(self, script: str) -> None:
        """Wait until the expression is true in the page."""
        WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda driver: self.value(script))

    def value(self, script: str) -> object:
        """What the expression is in the page."""
        return self.driver.execute_script(f"return {script}")

    def picture(self, name: str) -> None:
        """Keep a picture of the window, for whoever wants to look at it."""
        assert self.driver.save_screenshot(str(self.folder / f"{name}.png"))

    def complaints(self) -> list[str]:
        """What the console holds: errors and warnings."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture(scope="module")
def driver(
    chromium: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = chromium[0]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(chromium[1]))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver: webdriver.Chrome, server: Inspected, tmp_path: Path) -> Iterator[Page]:
    """A new tab; nothing that it was told holds for the next one."""
    before = driver.current_window_handle
    driver.switch_to.new_window("tab")
    yield Page(driver, server, tmp_path)
    driver.close()
    driver.switch_to.window(before)


TITLES = "[...document.querySelectorAll('h2 .path')].map(one => one.textContent).join()"


def test_the_page_is_live(page: Page, server: Inspected) -> None:
    """Contexts come, age and go in the open page, parents before children, a selection stays, and
    it says when the server is gone."""
    page.open()
    page.until("document.querySelector('#live').textContent === 'Live'")
    page.until("document.querySelector('#count').textContent.startsWith('No live contexts')")
    server.begin("/nested/%3Cb%3Eone")
    page.until(f"{TITLES} === '/nested/<b>one'")
    page.until("document.querySelectorAll('#tree li li').length === 1")
    page.value("getSelection().selectAllChildren(document.querySelector('h2 .path'))")
    server.begin("/holds/two")
    page.until(f"{TITLES} === '/nested/<b>one,/holds/two'")
    page.until("document.querySelectorAll('.held .name').length === 2")
    page.picture("light")
    assert page.value("getSelection().toString()") == "/nested/<b>one"
    server.open("%3Cb%3Eone", "two")
    page.until("document.querySelectorAll('#tree li').length === 0")
    assert page.complaints() == []


def test_without_scripts(page: Page, server: Inspected) -> None:
    """Where no script runs the page shows the same, as of now, and says so."""
    server.begin("/nested/three")
    server.context("app context", None)
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    page.open()
    source = page.driver.page_source
    assert "/nested/three" in source
    assert "Reload for the present." in source
    server.open("three")
    server.until(lambda found: not found.contexts)
    page.driver.refresh()
    assert "/nested/three" not in page.driver.page_source


def test_narrow_and_dark(page: Page, server: Inspected) -> None:
    """On a telephone's screen nothing sticks out, and a dark scheme gives a dark page."""
    sizes = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", sizes)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    server.begin(f"/nested/{'long' * 30}")
    page.open()
    page.until("document.querySelectorAll('#tree li li').length === 1")
    page.picture("dark")
    assert page.value("document.documentElement.scrollWidth") == 360
    color = page.value("getComputedStyle(document.body).backgroundColor")
    assert color == "rgb(21, 24, 20)"
    server.open("long" * 30)


def test_a_hidden_page_asks_nothing(page: Page, server: Inspected) -> None:
    """A page in the background pauses; shown again, it is live at once."""
    page.open()
    page.until("document.querySelector('#live').textContent === 'Live'")
    page.value(
        "(() => { window.asked = 0; const fetched = fetch;"
        " window.fetch = (...all) => { window.asked += 1; return fetched(...all); }; })()"
    )
    page.until("window.asked > 0")
    hide = (
        "(() => {{ Object.defineProperty(document, 'hidden', {{value: {0}, configurable: true}});"
        " document.dispatchEvent(new Event('visibilitychange')); }})()"
    )
    page.value(hide.format("true"))
    assert page.value("document.querySelector('#live').textContent") == "Paused"
    # Longer than it waits from one question to the next.
    page.value("(() => { window.asked = 0; setTimeout(() => { window.later = true; }, 1500); })()")
    page.until("window.later")
    assert page.value("window.asked") == 0
    page.value(hide.format("false"))
    page.until("window.asked > 0 && document.querySelector('#live').textContent === 'Live'")


def test_a_server_that_is_gone(page: Page, tmp_path: Path) -> None:
    """The page says that the server does not answer any more, and keeps what it last knew."""
    with serving(tmp_path, "--no-reload") as server:
        page.server = server
        server.begin("/nested/four")
        page.open()
        page.until("document.querySelector('#live').textContent === 'Live'")
        page.until(f"{TITLES} === '/nested/four'")
    page.until("document.querySelector('#live').textContent.includes('does not answer')")
    assert page.value(TITLES) == "/nested/four"
