"""The board in a real browser (headless Chromium), served by the development server's command."""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

try:
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support import expected_conditions as until
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    if not TYPE_CHECKING:
        webdriver = None

HERE = Path(__file__).resolve().parent.parent
PATIENCE = 30.0  # seconds, for a server to start and for a page to come
SERVING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")
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


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run the board's server on a free port with its data in `folder`; yield its address."""
    command = [sys.executable, "-m", "demijohn", "--app", "board", "run", "--port", "0"]
    environment = {
        **os.environ,
        "BOARD_DATABASE": str(folder / "board.sqlite3"),
        "BOARD_SECRET_KEY": "only for tests",
        "PYTHONUNBUFFERED": "1",
    }
    output: list[str] = []
    address: queue.Queue[str | None] = queue.Queue()
    with subprocess.Popen(
        command,
        cwd=HERE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:

        def listen() -> None:
            assert server.stdout is not None
            for text in server.stdout:
                output.append(text)
                if found := SERVING.search(text):
                    address.put(found[1])
            address.put(None)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            where = address.get(timeout=PATIENCE)
            assert where is not None, "the server ended:\n" + "".join(output)
            yield where
        except queue.Empty:
            pytest.fail("no address from the server:\n" + "".join(output))
        finally:
            server.terminate()
            listener.join()
    log = "".join(output)
    assert "Traceback" not in log, log


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a running board with the sample posts."""
    with serving(tmp_path_factory.mktemp("served")) as where:
        yield where


class Browser:
    """A browser window, with the few gestures that the tests need."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver = driver
        self.address = address
        # While one page replaces another, the driver answers with several kinds of error.
        self.wait = WebDriverWait(driver, PATIENCE, ignored_exceptions=[WebDriverException])

    def open(self, path: str) -> None:
        """Go to a page of the board."""
        self.driver.get(self.address + path)

    def follow(self, text: str) -> None:
        """Click the link with this text."""
        self.wait.until(until.element_to_be_clickable((By.LINK_TEXT, text))).click()

    def fill(self, **fields: str) -> None:
        """Type into the fields with these names, replacing what is there."""
        for name, text in fields.items():
            field = self.wait.until(until.element_to_be_clickable((By.NAME, name)))
            field.clear()
            field.send_keys(text)

    def press(self, label: str) -> None:
        """Press the button with this label; then wait for something that only the next page has."""
        path = f"//button[normalize-space()='{label}']"
        self.wait.until(until.element_to_be_clickable((By.XPATH, path))).click()

    def sees(self, selector: str, text: str) -> None:
        """Wait until an element that fits the CSS selector shows the text."""
        place = (By.CSS_SELECTOR, selector)
        self.wait.until(until.text_to_be_present_in_element(place, text))

    def complaints(self) -> list[str]:
        """Return what the console holds since the last call: errors and warnings."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture
def browser(address: str, tmp_path: Path) -> Iterator[Browser]:
    """Yield a browser with an empty profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(program("chromedriver")))
    try:
        yield Browser(driver, address)
    finally:
        driver.quit()


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """Look for Selenium, Chromium and its driver before a server is started."""
    if webdriver is None:
        not_here("no Selenium: pip install selenium")
    program("chromium")
    program("chromedriver")


def test_sign_up_log_in_and_post(browser: Browser) -> None:
    """A newcomer signs up, logs out and in, writes a post and finds it, with a clean console."""
    browser.open("/")
    browser.sees("article h2", "The reading room moves to Thursdays")
    browser.follow("Sign up")
    browser.fill(name="nadia", password="seven green bottles")
    browser.press("Sign up")
    browser.sees(".flash", "Welcome, nadia. You are logged in.")

    browser.press("Log out")
    browser.sees(".flash", "You are logged out.")

    browser.follow("Write a post")
    browser.sees(".flash", "Please log in first.")
    browser.fill(name="nadia", password="seven green bottles")
    browser.press("Log in")
    browser.sees("h1", "Write a post")
    browser.fill(title="Lost: one glove", body="Left hand, grey.\nReward: tea.")
    browser.press("Pin it up")
    browser.sees("h1", "Lost: one glove")
    browser.sees("article .text", "Left hand, grey.\nReward: tea.")

    browser.fill(body="Still looking.")
    browser.press("Send comment")
    browser.sees(".comments .text", "Still looking.")
    browser.open("/")
    browser.sees("article:first-of-type h2", "Lost: one glove")
    browser.sees("article:first-of-type .aside", "1 comment")
    assert browser.complaints() == []


def test_error_is_shown_at_its_field(browser: Browser) -> None:
    """A refused form keeps the typed name; the wrong field is explained and has the focus."""
    browser.open("/account/sign-up")
    browser.fill(name="someone", password="short")
    browser.press("Sign up")
    browser.sees(".problem", "Use at least 8 characters.")
    field = browser.driver.find_element(By.NAME, "password")
    assert "password-problem" in (field.get_attribute("aria-describedby") or "")
    assert browser.driver.switch_to.active_element == field
    assert browser.driver.find_element(By.NAME, "name").get_property("value") == "someone"


@pytest.mark.parametrize("path", ["/", "/posts/2", "/account/sign-up", "/nowhere"])
def test_narrow_screen(browser: Browser, path: str) -> None:
    """On a telephone's screen nothing sticks out to the side."""
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    browser.open(path)
    browser.sees("h1", "")
    width = browser.driver.execute_script("return document.documentElement.scrollWidth")
    assert width == 360
