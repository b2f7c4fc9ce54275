"""The pages in a real browser (headless Chromium), served by uvicorn."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from conftest import PATIENCE, serving

try:
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By
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
    "--window-size=900,700",
)


def not_here(reason: str) -> NoReturn:
    """Skip the test; where everything must run (`CI=true`) fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str) -> str:
    """Return the path of Debian's `name`, or of the one on PATH."""
    debian = f"/usr/bin/{name}"
    found = debian if os.access(debian, os.X_OK) else shutil.which(name)
    if found is None:
        not_here(f"no {name}: apt-get install -y chromium chromium-driver")
    return found


class Page:
    """Windows of one browser, each with a page of the chat."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def text(self, selector: str) -> str:
        """The text of an element."""
        script = "return document.querySelector(arguments[0])?.innerText"
        found: str = self.driver.execute_script(script, selector)
        return found

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element shows a text."""
        wait = WebDriverWait(self.driver, PATIENCE, 0.02, [WebDriverException])
        wait.until(lambda driver: self.text(selector) == text)

    def enter(self, address: str, name: str) -> None:
        """Say a name, and enter the room that is proposed."""
        self.driver.get(address)
        field = self.driver.find_element(By.NAME, "name")
        field.clear()
        field.send_keys(name)
        field.submit()
        self.shows("#state", "Live")

    def say(self, text: str) -> None:
        """Say something in the room."""
        self.driver.find_element(By.ID, "text").send_keys(text + "\n")

    def look(self, colours: str, width: int) -> None:
        """Have a screen of that width, light or dark."""
        feature = {"name": "prefers-color-scheme", "value": colours}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 640, "deviceScaleFactor": 2, "mobile": width < 500},
        )


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A browser with an empty profile."""
    if webdriver is None:
        not_here("no Selenium: pip install selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(program("chromedriver")))
    try:
        yield Page(driver)
    finally:
        driver.quit()


def test_the_pages(page: Page, tmp_path: Path) -> None:
    """Two windows see what is said in either, as text; the page fits screens that are narrow, light
    and dark; when the server is started anew, it goes on by itself."""
    driver = page.driver
    with serving() as server:
        page.enter(server.address, "ada")
        page.shows("#here", "ada")
        page.say("hello")
        page.shows("#said", "ada hello")
        first = driver.current_window_handle
        driver.switch_to.new_window("window")
        page.enter(server.address, "bob")
        page.shows("#said", "ada hello")
        page.shows("#here", "ada, bob")
        page.say("<b>hi</b>")
        second = driver.current_window_handle
        driver.switch_to.window(first)
        page.shows("#said", "ada hello\nbob <b>hi</b>")
        for colours, width in (("light", 900), ("dark", 320)):
            page.look(colours, width)
            size = driver.execute_script("return document.documentElement.scrollWidth")
            assert size == width
            driver.save_screenshot(str(tmp_path / f"{colours}-{width}.png"))
        log = driver.get_log("browser")  # type: ignore[no-untyped-call]
        assert log == []
        driver.switch_to.window(second)
        driver.close()
        driver.switch_to.window(first)
        page.shows("#here", "ada")
    page.shows("#state", "Connecting again …")
    with serving(server.port):
        page.shows("#state", "Live")
        page.say("back")
        page.shows("#said", "bob back")
