"""The console in a real browser, over the running stack: every page at both widths, and a redrive by a click."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from harness import aws_client
from local_stack import ROOT
from local_stack.processes import NO_ACCOUNT
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack
from local_stack.waiting import PATIENCE_SECONDS, becomes_true

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDTHS = (1280, 390)
PATIENCE = PATIENCE_SECONDS * 1000
"""Milliseconds, as the browser counts."""

expect.set_options(timeout=PATIENCE)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET), timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(stack: LocalStack) -> Iterator[str]:
    """What the command prints."""
    where = ["--stack", stack.deployment.stack, "--endpoint-url", stack.deployment.engine.url]
    where += ["--tab", f"Whop={stack.fake.control_url}/"]
    command = [sys.executable, "-m", "whop_user_sync", "console", *where, "--write", "--no-open"]
    environment = {**os.environ, **NO_ACCOUNT}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(params=WIDTHS)
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of this width that has been let in. It fails the test for whatever the browser complains about."""
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def parked_user(stack: LocalStack) -> str:
    """A user whose address Whop refuses, beside one who is enrolled and a body that is none."""
    for user_id, email in (("seen", "seen@people.test"), ("turned-away", "ada@example.com")):
        content = body("created", {"id": user_id, "email": email, "name": "Ada Lovelace"})
        assert Delivery(content).send(stack.deployment.webhook_url).status_code == 200
    assert Delivery(b"not json").send(stack.deployment.webhook_url).status_code == 200
    assert becomes_true(lambda: (stack.deployment.row("user#turned-away") or {}).get("status") == "failed")
    assert becomes_true(lambda: (stack.deployment.row("user#seen") or {}).get("status") == "synced")
    return "turned-away"


@pytest.mark.usefixtures("parked_user")
@pytest.mark.parametrize(
    "path",
    [
        *("/", "/deliveries", "/users?id=seen", "/users?status=synced", "/parked", "/parked?reason=not_json"),
        *("/imports", "/tabs/Whop"),
    ],
)
def test_a_page_fits_its_screen_and_is_readable_by_everyone(page: Page, address: str, path: str) -> None:
    page.goto(re.sub(r"/\?token=.*", path, address))
    expect(page.locator("h1")).to_be_visible()
    assert_fits_and_is_readable(page)


@pytest.mark.usefixtures("parked_user")
def test_the_page_of_the_stand_in_for_whop_fits_its_screen_too(page: Page, stack: LocalStack) -> None:
    page.goto(f"{stack.fake.control_url}/")
    expect(page.get_by_role("region", name="Connected accounts")).to_contain_text("Ada Lovelace")
    assert_fits_and_is_readable(page)


def assert_fits_and_is_readable(page: Page) -> None:
    """Neither the page nor, on a phone, a table in it is scrolled sideways, and axe finds nothing serious."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tables = "[...document.querySelectorAll('.scroll, .wide')]"
    if width == min(WIDTHS):
        assert page.evaluate(f"{tables}.filter(each => each.scrollWidth > each.clientWidth).length") == 0
    found = Axe().run(page, options={"iframes": False}).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []


def test_the_stand_in_for_whop_is_a_tab_and_learns_nothing_of_the_session(
    page: Page, address: str, stack: LocalStack
) -> None:
    page.goto(re.sub(r"/\?token=.*", "/", address))
    with page.expect_request(f"{stack.fake.control_url}/") as framed:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Whop").click()
    expect(page.frame_locator("iframe").get_by_role("heading", name="Fake Whop")).to_be_visible()
    # A browser separates the ports of one host for pages, and not for cookies.
    assert "cookie" not in framed.value.all_headers()


@pytest.mark.usefixtures("parked_user")
def test_a_delivery_leads_to_its_way_and_to_its_user(page: Page, address: str) -> None:
    page.goto(re.sub(r"/\?token=.*", "/deliveries?outcome=enrolled", address))
    page.get_by_role("row").filter(has_text="seen").get_by_role("link").first.click()
    expect(page.locator("ol.way")).to_contain_text("POST /companies")
    page.get_by_role("link", name="seen", exact=True).click()
    expect(page.locator("dl")).to_contain_text("synced")
    expect(page.get_by_role("table")).to_contain_text("Ada Lovelace")


def test_new_deliveries_appear_by_themselves(
    page: Page, address: str, stack: LocalStack, new_id: Callable[[], str]
) -> None:
    page.goto(re.sub(r"/\?token=.*", "/deliveries", address))
    user_id = new_id()
    delivery = Delivery(body("created", {"id": user_id, "email": f"{user_id}@people.test"}))
    delivery.send(stack.deployment.webhook_url)
    expect(page.get_by_role("link", name=delivery.id)).to_be_visible()


@pytest.mark.usefixtures("parked_user")
def test_the_age_of_a_queue_is_the_one_that_cloudwatch_has(page: Page, address: str, stack: LocalStack) -> None:
    # The local AWS keeps no metric of queues by itself.
    queue = f"{stack.deployment.stack}-user-created-dead-letters"
    aws_client(stack.deployment.engine.url, "cloudwatch").put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": queue}],
                "Value": 7500,
                "Unit": "Seconds",
            }
        ],
    )
    page.goto(re.sub(r"/\?token=.*", "/", address))
    rows = page.get_by_role("region", name="Queues").get_by_role("row")
    expect(rows.filter(has_text="user-created-dead-letters")).to_contain_text("2 h 5 min")
    expect(rows.filter(has_text="parked-deliveries").get_by_role("cell").last).to_have_text("-")


def test_an_import_shows_its_progress_and_leads_to_its_rejected_rows(
    page: Page, address: str, stack: LocalStack, new_id: Callable[[], str]
) -> None:
    user, file = new_id(), f"{new_id()}.ndjson"
    described = stack.deployment.engine.cloudformation.describe_stacks(StackName=stack.deployment.stack)["Stacks"][0]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
    bucket = outputs["ImportUsers"].partition("s3://")[2].partition("/")[0]
    rows = f'{{"id": "{user}", "email": "{user}@people.test"}}\n{{"id":\n'
    page.goto(re.sub(r"/\?token=.*", "/imports", address))
    stack.deployment.engine.s3.put_object(Bucket=bucket, Key=f"users/{file}", Body=rows.encode())
    # The page follows by itself
    row = page.get_by_role("row").filter(has_text=file)
    expect(row).to_contain_text("1 of 1")
    expect(row).to_contain_text("succeeded")
    page.get_by_role("link", name=f"rejected rows of {file}").click()
    expect(page.get_by_role("row").filter(has_text="not_json")).to_contain_text("2")


def parked_row(page: Page, address: str, text: str) -> Locator:
    """The row of what is parked, or will be once its worker has decided."""
    row = page.get_by_role("row").filter(has_text=text)

    def is_there() -> bool:
        page.goto(re.sub(r"/\?token=.*", "/parked", address))
        return row.count() == 1

    assert becomes_true(is_there)
    return row


def test_what_is_chosen_is_redriven_by_a_click(page: Page, address: str, parked_user: str) -> None:
    parked_row(page, address, parked_user).get_by_role("checkbox").check()
    page.get_by_role("button", name="Redrive the chosen").click()
    expect(page.get_by_role("status")).to_contain_text("Redriven: 1 sent")


def test_one_row_is_redriven_and_one_deleted_where_they_stand(
    page: Page, address: str, stack: LocalStack, parked_user: str
) -> None:
    row = parked_row(page, address, parked_user)
    redrive = row.get_by_role("button", name="Redrive")
    place, screen = redrive.bounding_box(), page.viewport_size
    assert place is not None
    assert screen is not None
    # It is reached without scrolling sideways. How far down the row stands depends on what else is parked.
    assert 0 <= place["x"] <= place["x"] + place["width"] <= screen["width"]
    redrive.click()
    expect(page.get_by_role("status")).to_contain_text("Redriven: 1 sent")
    delivery = Delivery(b"not json either")
    assert delivery.send(stack.deployment.webhook_url).status_code == 200
    row = parked_row(page, address, delivery.id)
    row.get_by_text("Delete …").click()
    row.get_by_label("Reason").fill("a test")
    row.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("status")).to_contain_text("Deleted: 1")
    expect(page.get_by_role("row").filter(has_text=delivery.id)).to_have_count(0)


@pytest.mark.usefixtures("parked_user")
def test_the_page_works_without_javascript_and_in_the_dark(browser: Browser, address: str, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="Users").click()
    page.get_by_label("The id on your platform").fill("seen")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("dl")).to_contain_text("synced")
    page.screenshot(path=tmp_path / "dark.png")
    context.close()
