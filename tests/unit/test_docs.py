"""The docs say what is there, all of it, and nothing else. A failure names the page and table that lack a line."""

import ast
import dataclasses
import json
import re
import subprocess
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import pytest
import yaml
from typer.main import get_command

from harness.cloudformation import template
from harness.metrics import emitted_metrics
from harness.pages import Block, Page, assert_same, pages
from harness.senders import SENDERS
from local_stack import ROOT
from whop_sync.errors import Reason
from whop_sync.receiving.payloads import Preset
from whop_sync.receiving.platforms import PLATFORMS
from whop_sync.receiving.signature_settings import SCHEMES, configured_scheme
from whop_sync.receiving.signatures import Hmac, Jwt, Token
from whop_sync.receiving.whop_webhooks import EVENTS
from whop_user_sync.cli import app
from whop_user_sync.commands.checking import CHECK_NEEDS
from whop_user_sync.commands.common import Exit
from whop_user_sync.platform_files import read_platform_file
from whop_user_sync.reconciliation import DriftKind

if TYPE_CHECKING:
    from typer.core import TyperGroup

README = Page("README.md")
PLATFORM_PAGE = Page("docs/platforms.md")
OTHER_PLATFORMS = Page("docs/any-platform.md")
CONFIGURATION = Page("docs/configuration.md")
OPERATIONS = Page("docs/operations.md")
TROUBLESHOOTING = Page("docs/troubleshooting.md")
WHOP_WEBHOOKS = Page("docs/whop-webhooks.md")
IMPORT = Page("docs/import-and-verify.md")
CONTRIBUTING = Page("CONTRIBUTING.md")
TOOL = Page("docs/tool.md")
ARCHITECTURE = Page("docs/architecture.md")

PAGES = pages()
CODE = [block for page in PAGES for block in page.code()]
TEMPLATE = template()
CHECK_PERMISSIONS = re.findall(r"[a-z]+:[A-Z][A-Za-z]+", CHECK_NEEDS)


def of_page(page: Page) -> str:
    return page.name


def of_block(block: Block) -> str:
    return f"{block.page}:{block.line}"


# -- what a reader meets -----------------------------------------------------------------------------------------------


def test_the_front_page_is_read_in_a_few_minutes() -> None:
    size = len(README.text.encode())
    assert size <= 10 * 1024, f"README.md has {size} bytes: move something to a page of docs/"


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_every_link_leads_somewhere(page: Page) -> None:
    for link in page.links():
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), f"{page.name} links to {link}, and there is no such file"
        if anchor:
            there = Page(str(target.relative_to(ROOT))).anchors()
            assert anchor in there, f"{page.name} links to {link}, and there is no such heading"


def test_the_front_page_leads_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in README.links()}
    assert_same(linked & {page.name for page in PAGES}, {page.name for page in PAGES} - {"README.md"}, "README.md")


def test_every_picture_and_every_example_is_shown_somewhere() -> None:
    linked = {
        str((page.path.parent / link.partition("#")[0]).resolve().relative_to(ROOT))
        for page in PAGES
        for link in page.links()
        if not link.startswith("http")
    }
    files = [*(ROOT / "docs/images").iterdir(), *(ROOT / "docs/examples").iterdir()]
    assert {str(path.relative_to(ROOT)) for path in files if path.is_file()} <= linked


def test_a_picture_says_in_words_what_it_shows() -> None:
    assert not [page.name for page in PAGES if re.search(r"!\[\]", page.text)]


# -- what is there, compared with what is documented -------------------------------------------------------------------


def test_every_parameter_is_explained() -> None:
    assert_same(CONFIGURATION.listed("Parameters"), set(TEMPLATE["Parameters"]), f"{CONFIGURATION.name}, Parameters")


def test_every_default_is_documented() -> None:
    """A row about several parameters names their common default, or one for each."""
    for name, default, _ in CONFIGURATION.rows("Parameters"):
        parameters = re.findall(r"`(\w+)`", name)
        defaults = {str(TEMPLATE["Parameters"][each].get("Default", "none")) for each in parameters}
        documented = set(re.findall(r"[\w.-]+", default.replace("`", ""))) | {default.strip("`")}
        for each in defaults - {""}:
            assert each in documented or len(each) > 40, f"{CONFIGURATION.name}: {name} has the default {each}"
        if "" in defaults:
            assert default.startswith("empty"), f"{CONFIGURATION.name}: {name} is empty by default"


def test_of_every_webhook_of_whop_it_is_said_what_is_announced() -> None:
    documented = {
        event.strip("`"): set(re.findall(r"`(\w+)`", fields))
        for event, fields in WHOP_WEBHOOKS.rows("What is announced")
    }
    announced = {event: {"whop_company_id", *fields} for event, fields in EVENTS.items()}
    where = f"{WHOP_WEBHOOKS.name}, What is announced"
    assert_same(set(documented), set(announced), where)
    for event, fields in announced.items():
        assert_same(documented[event], fields, f"{where}, {event}")


def test_the_webhook_that_the_docs_create_at_whop_asks_for_events_that_are_announced() -> None:
    [request] = [block.text for block in WHOP_WEBHOOKS.code() if block.language == "http"]
    body = json.loads(request.partition("\n\n")[2])
    asked = set(body["events"])
    assert asked <= set(EVENTS)
    # The other events of identity profiles are no longer in Whop's list, and a webhook for them would be refused.
    assert set(EVENTS) - asked == {f"identity_profile.{each}" for each in ("approved", "rejected", "needs_action")}
    assert body["child_resource_events"] is True


def test_older_accounts_are_made_known_before_webhooks_of_whop_are_taken() -> None:
    steps = [token.content for token in WHOP_WEBHOOKS.section("Turn it on") if token.type == "inline"]
    assert "users fill-accounts" in steps[0]
    assert "`WhopWebhooks=true`" in steps[1]


def test_every_output_is_explained() -> None:
    assert_same(CONFIGURATION.listed("Outputs"), set(TEMPLATE["Outputs"]), f"{CONFIGURATION.name}, Outputs")


def alarms() -> set[str]:
    """The alarms' names after the stack's."""
    found = [each["Properties"] for each in TEMPLATE["Resources"].values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    return {each["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-") for each in found}


def test_of_every_alarm_it_is_said_what_it_means_and_what_to_do() -> None:
    items = [token.content for token in OPERATIONS.section("Alarms") if token.type == "inline"]
    documented = {name for item in items for name in re.findall(r"\*\*`([a-z0-9-]+)`\*\*", item.split(": ")[0])}
    assert_same(documented, alarms(), f"{OPERATIONS.name}, Alarms")


def test_every_metric_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    emitted = {name for name, _ in emitted_metrics(capsys)}
    assert_same(OPERATIONS.listed("Metrics"), emitted, f"{OPERATIONS.name}, Metrics")


def test_every_reason_has_a_paragraph() -> None:
    documented = {heading.strip("`") for heading in TROUBLESHOOTING.headings() if heading.startswith("`")}
    where = f"{TROUBLESHOOTING.name}, a heading ### `reason` with a paragraph"
    assert_same(documented, set(get_args(Reason.__value__)), where)
    for reason in documented:
        tokens = TROUBLESHOOTING.section(f"`{reason}`")
        assert any(token.type == "inline" for token in tokens), f"{TROUBLESHOOTING.name}: {reason} lacks its paragraph"


def test_every_reason_is_given_by_the_code() -> None:
    errors = ROOT / "shared/whop_sync/errors.py"
    given = {
        node.value
        for source in (ROOT / "shared/whop_sync").rglob("*.py")
        if source != errors
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant)
    }
    assert_same(set(get_args(Reason.__value__)) - given, set(), "errors.py, Reason")


def test_every_platform_is_listed() -> None:
    tables = (
        (README, "Platforms", (1, 3)),
        (PLATFORM_PAGE, PLATFORM_PAGE.headings()[0], (1,)),
        (PLATFORM_PAGE, "What each says of a user's life", (0,)),
    )
    for page, heading, columns in tables:
        documented = {name for name in page.listed(heading, *columns) if re.fullmatch(r"[a-z0-9-]+", name)}
        assert_same(documented, set(PLATFORMS), f"{page.name}, the table below {heading!r}")


def test_the_platforms_that_sign_no_time_or_nothing_are_named() -> None:
    rows = PLATFORM_PAGE.rows(PLATFORM_PAGE.headings()[0])
    shown = {cells[1].strip("`"): cells[0] for cells in rows} | {"own": "`own`", "supabase-db": "Supabase (table)"}
    section = PLATFORM_PAGE.text.partition("### What a signature proves")[2].partition("###")[0]
    without_time, senders_only = re.findall(r"- \*\*(.*?)\*\*", section, re.DOTALL)[:2]
    for name, platform in PLATFORMS.items():
        assert (shown[name] in without_time) == platform.scheme.is_replayable, name
        assert (shown[name] in senders_only) == isinstance(platform.scheme, Token | Jwt), name


def test_every_field_of_the_overrides_is_explained() -> None:
    fields = {field.name for field in dataclasses.fields(Preset)}
    assert_same(OTHER_PLATFORMS.listed("What a body means"), fields, f"{OTHER_PLATFORMS.name}, What a body means")


def test_every_signature_setting_is_explained() -> None:
    where = f"{OTHER_PLATFORMS.name}, How a delivery proves itself"
    names = {name for name in TEMPLATE["Parameters"] if name.startswith("Signature")} - {"SignatureScheme"}
    listed = OTHER_PLATFORMS.listed("How a delivery proves itself")
    assert_same({name for name in listed if name.startswith("Signature")}, names | {"SignatureScheme"} & listed, where)
    assert set(SCHEMES) <= listed, f"{where}: add a row for each of {set(SCHEMES) - listed}"


def test_the_settings_that_are_shown_for_senders_are_ones_that_the_receiver_takes() -> None:
    for sender, header, prefix, content, besides in OTHER_PLATFORMS.rows("How some senders sign"):
        named = dict(re.findall(r"`(\w+)=([^`]+)`", besides))
        for each in re.findall(r"`([^`]+)`", header):
            settings = {
                "SignatureHeader": each,
                "SignaturePrefix": prefix.strip("`"),
                "SignatureContent": content.strip("`"),
            }
            variables = {
                re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper(): text for name, text in (settings | named).items()
            }
            assert isinstance(configured_scheme(Hmac(header="x-signature"), variables), Hmac), sender


def test_of_each_sender_that_is_shown_a_delivery_is_checked() -> None:
    shown = {name for row in OTHER_PLATFORMS.rows("How some senders sign") for name in re.findall(r"`([^`]+)`", row[1])}
    checked = {sender.settings["SIGNATURE_HEADER"].lower() for sender in SENDERS.values()} - {"x-s"}
    assert_same(shown, checked, f"{OTHER_PLATFORMS.name}, How some senders sign")


def test_every_kind_of_drift_is_explained() -> None:
    drift = set(get_args(DriftKind.__value__))
    assert_same(IMPORT.listed("Does Whop still show what it was given?"), drift, f"{IMPORT.name}, the table of drifts")


def test_every_reason_to_reject_a_row_is_one_that_there_is() -> None:
    assert IMPORT.listed("Why a row is rejected") <= set(get_args(Reason.__value__))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_make_target_is_explained() -> None:
    documented = {name.removeprefix("make ") for name in CONTRIBUTING.listed("What make does")}
    assert_same(documented, make_targets(), f"{CONTRIBUTING.name}, What make does")


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_no_page_names_a_make_target_that_is_not_there(page: Page) -> None:
    code = " ".join([*re.findall(r"`[^`]*`", page.text), *(block.text for block in page.code())])
    assert set(re.findall(r"\bmake ([a-z]+)\b", code)) <= make_targets(), page.name


COMMANDS = {command.name or "": command for command in cast("TyperGroup", get_command(app)).commands.values()}


def test_every_command_of_the_tool_is_explained() -> None:
    heading = TOOL.headings()[0]
    documented = {name for name in TOOL.listed(heading) if re.fullmatch(r"[a-z]+", name)}
    assert_same(documented, set(COMMANDS), f"{TOOL.name}, the table of commands")
    statuses = {row[0] for row in TOOL.rows(heading) if row[0].isdigit()}
    assert statuses == {str(status.value) for status in Exit}, f"{TOOL.name}, the table of exit statuses"


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_every_call_of_the_tool_that_is_shown_names_a_command_and_options_of_it(page: Page) -> None:
    code = [
        *re.findall(r"`([^`\n]*)`", page.text),
        *(line for block in page.code() for line in block.text.splitlines()),
    ]
    for call in code:
        found = re.match(r"whop-user-sync ([a-z]+)(.*)", call)
        if found:
            assert found[1] in COMMANDS, f"{page.name}: {call}"
            command = COMMANDS[found[1]]
            if hasattr(command, "commands"):  # a group, such as users
                command = command.commands.get(found[2].split()[0], command) if found[2].split() else command
            options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
            used = set(re.findall(r"--[a-z-]+", found[2].partition("  #")[0]))
            assert used <= options, f"{page.name}: {call} has {used - options}, which is no option"


def test_the_environments_of_samconfig_say_what_they_are() -> None:
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
    deployments = {name: each["deploy"]["parameters"] for name, each in environments.items() if name != "version"}
    assert len({deployment["stack_name"] for deployment in deployments.values()}) == len(deployments) == 3
    for name in ("sandbox", "production"):
        given = dict(each.split("=", 1) for each in deployments[name]["parameter_overrides"])
        assert given["WhopEnvironment"] == name
        assert set(given) <= set(TEMPLATE["Parameters"])
        # What has to be filled in is refused as long as it is not.
        assert not re.fullmatch(TEMPLATE["Parameters"]["WhopCompanyId"]["AllowedPattern"], given["WhopCompanyId"])
    assert not any("WhopEnvironment" in each for each in deployments["default"].get("parameter_overrides", []))


def test_the_front_page_names_the_costs_that_their_page_works_out() -> None:
    costs = " ".join(Page("docs/costs.md").text.split())
    month = re.search(r"\*\*about (\$\d+ to \$\d+)\*\*", costs)
    events = re.search(r"name changes cost about (\$\d+), a million sign-ups with a picture about (\$\d+)", costs)
    assert month
    assert events
    for figure in (month[1], *events.groups()):
        assert figure in README.text, f"README.md, Limits and cost: {figure}"


def test_the_monthly_costs_count_the_alarms_that_are_there_by_default_and_add_up() -> None:
    costs = " ".join(Page("docs/costs.md").text.split())
    alarms = [each for each in TEMPLATE["Resources"].values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    default = [each["Properties"] for each in alarms if each.get("Condition") in (None, "OnAws")]
    # Each metric that an alarm reads costs ten cents.
    metrics = sum(str(each).count("'MetricName'") for each in default)
    month = re.search(r"whatever comes in: (.*?\$3\.00) .*?\*\*about \$(\d+) to \$(\d+)\*\*", costs)
    assert month
    assert f"{len(default)} alarms ${metrics / 10:.2f}" in month[1]
    *always, dashboard = map(float, re.findall(r"\$(\d+\.\d\d)(?! each)", re.sub(r"\(.*?\)", "", month[1])))
    assert (round(sum(always)), round(sum(always) + dashboard)) == (int(month[2]), int(month[3]))


def test_the_role_that_checks_may_do_what_the_check_needs() -> None:
    assert len(CHECK_PERMISSIONS) >= 8
    assert {each for each in CHECK_PERMISSIONS if f"`{each}`" not in Page("docs/deploying-from-ci.md").text} == set()


def test_every_package_of_the_layer_has_its_line() -> None:
    layer = ROOT / "shared/whop_sync"
    there = {path.stem for path in layer.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    heading = "The layer: one package for each way that data goes"
    assert_same(ARCHITECTURE.listed(heading), there - {"__init__"}, f"{ARCHITECTURE.name}, {heading}")


NEWCOMER = " ".join(cell for row in ARCHITECTURE.rows("Where does a change go?") for cell in row[1:])


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.(?:py|yaml))`", NEWCOMER))))
def test_a_file_that_a_newcomer_is_sent_to_is_there(path: str) -> None:
    places = (ROOT / path, ROOT / "shared/whop_sync" / path, ROOT / "tests/integration" / path)
    assert any(place.exists() for place in places), path


def test_the_version_stands_in_one_place_and_the_changes_know_it() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert version
    assert yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["info"]["version"] == version[1]
    assert Page("CHANGELOG.md").headings()[1] == "Unreleased"


# -- the code that is shown --------------------------------------------------------------------------------------------


def of_language(*languages: str) -> pytest.MarkDecorator:
    found = [block for block in CODE if block.language in languages]
    assert found
    return pytest.mark.parametrize("block", found, ids=of_block)


def test_every_block_of_code_names_its_language() -> None:
    known = {"sh", "python", "js", "json", "yaml", "toml", "http", "mermaid", "csv", "jsonnet"}
    assert not [of_block(block) for block in CODE if block.language not in known]


@of_language("json")
def test_json_that_is_shown_can_be_read(block: Block) -> None:
    json.loads(block.text)


@of_language("yaml")
def test_yaml_that_is_shown_can_be_read(block: Block) -> None:
    yaml.safe_load(block.text)


@of_language("sh")
def test_commands_that_are_shown_are_whole(block: Block) -> None:
    result = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr


@of_language("python", "js")
def test_programs_that_are_shown_are_the_examples_that_are_tested(block: Block) -> None:
    examples = [path for path in (ROOT / "docs/examples").iterdir() if path.is_file()]
    copies = [path.name for path in examples if path.read_text() == block.text]
    assert copies, f"{of_block(block)} is none of docs/examples: make it the text of the one it shows"


def test_the_platform_file_that_is_shown_reads_its_samples_as_expected() -> None:
    shown = [block.text for block in OTHER_PLATFORMS.code() if block.language == "yaml"]
    path = ROOT / "docs/examples/acme/platform.yaml"
    assert shown == [path.read_text()]
    results = read_platform_file(path).check(now=time.time())
    assert len(results) == 2
    assert all(result.is_as_expected for result in results), results


@pytest.mark.parametrize("example", sorted((ROOT / "docs/examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_in_python_can_be_read(example: Path) -> None:
    ast.parse(example.read_text())


def test_the_diagrams_are_mermaid_and_drawn_in_text_nowhere() -> None:
    assert any(block.language == "mermaid" for block in README.code())
    assert not [page.name for page in PAGES if re.search(r"[─│┌└├▶▼]", page.text)]
