"""What the template gives and what the code takes are the same, by name."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest

from harness.cloudformation import functions, template
from harness.imports import PACKAGE, imported_in, modules
from local_stack import ROOT
from slim_layer import SERVICES
from whop_sync.batches.retries import RETRIES
from whop_sync.config.syncing import FEWEST_CALLS_PER_MINUTE
from whop_sync.users.schema import EXPIRY_ATTRIBUTE
from whop_user_sync.logs import FUNCTIONS
from whop_user_sync.parked import QUEUES

SOURCES = PACKAGE.rglob("*.py")
ASSEMBLY_SOURCE = (PACKAGE / "assembly.py").read_text()
# As the code writes the names of environment variables; these are read by AWS's and Powertools' libraries.
READ = set(re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"', "\n".join(source.read_text() for source in SOURCES)))
FOR_LIBRARIES = {
    *("AWS_ENDPOINT_URL", "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_LOG_LEVEL"),
}


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"]
    return found


def given() -> dict[str, set[str]]:
    """The environment variables by function."""
    everywhere = set(template()["Globals"]["Function"]["Environment"]["Variables"])
    own = {name: each.get("Environment", {}).get("Variables", {}) for name, each in functions().items()}
    return {name: everywhere | set(variables) for name, variables in own.items()}


def test_every_function_that_is_deployed_has_a_folder_and_the_other_way_round() -> None:
    assert set(functions()) == {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}


def test_the_layer_ships_the_models_of_the_services_that_the_functions_call_and_no_others() -> None:
    opened = set(re.findall(r'boto3\.client\(\s*"(\w+)"', (ROOT / "shared/whop_sync/assembly.py").read_text()))
    assert opened == set(SERVICES)


def test_every_setting_that_is_given_is_read() -> None:
    for function, names in given().items():
        assert names - FOR_LIBRARIES <= READ, function


def test_every_setting_that_is_read_is_given() -> None:
    anywhere = set().union(*given().values())
    code = "".join(path.read_text() for path in (ROOT / "shared/whop_sync/config").glob("*.py"))
    wanted = set(re.findall(r'\bsetting\("(\w+)"\)|environ\.get\("(\w+)"\)', code))
    assert {one or other for one, other in wanted} <= anywhere


# -- roles ----------------------------------------------------------------------------------------------------------

MODULES = dict(modules())
ASSEMBLY = {node.name: node for node in ast.parse(ASSEMBLY_SOURCE).body if isinstance(node, ast.FunctionDef)}
OF_LAMBDA = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
"""Lambda reads a function's queue by these, in the name of its role."""

IN_A_TRANSACTION = {"dynamodb:PutItem": '"Put": ', "dynamodb:DeleteItem": '"Delete": '}


def factories(function: str) -> Iterator[ast.FunctionDef]:
    """What assembly.py puts a function together with: its factory, and what that calls in turn."""
    found = re.findall(r"assembly\.(\w+)\(", (ROOT / "functions" / function / "app.py").read_text())
    known = set(found)
    while found:
        factory = ASSEMBLY[found.pop()]
        yield factory
        called = {node.id for node in ast.walk(factory) if isinstance(node, ast.Name)} & set(ASSEMBLY) - known
        known |= called
        found += called


def code_of(function: str) -> str:
    """The source of every module that a function's factories import, and of those that these import."""
    left = [name for factory in factories(function) for name in imported_in(factory)]
    found: dict[str, str] = {}
    while left:
        name = left.pop()
        if name not in found:
            found[name] = MODULES[name].read_text()
            left += imported_in(ast.parse(found[name]))
    return "\n".join(found.values())


def actions_of(properties: dict[str, Any], resources: dict[str, Any]) -> set[str]:
    """What a function's role may do besides writing its log and its traces."""
    text = str(resources[properties["Role"]["Fn::GetAtt"][0]]["Properties"]["Policies"])
    found = set(re.findall(r"'([a-z0-9]+:[A-Z]\w+)'", text)) - {"dynamodb:LeadingKeys"}  # the key of a condition
    return {action for action in found if not action.startswith(("logs:", "xray:"))}


@pytest.mark.parametrize("function", functions())
def test_a_role_is_for_the_services_that_its_function_opens_a_client_of(
    function: str, resources: dict[str, Any]
) -> None:
    opened = {
        service
        for factory in factories(function)
        for service in re.findall(r'boto3\.client\(\s*"(\w+)"', ast.get_source_segment(ASSEMBLY_SOURCE, factory) or "")
    }
    if function == "check_settings":  # which puts the others together and calls none of AWS's services
        opened = set()
    assert opened == {action.partition(":")[0] for action in actions_of(functions()[function], resources)}


@pytest.mark.parametrize("function", functions())
def test_a_role_allows_no_action_that_its_function_never_takes(function: str, resources: dict[str, Any]) -> None:
    properties = functions()[function]
    actions = actions_of(properties, resources) - (OF_LAMBDA if properties.get("Events") else set())
    code = code_of(function)
    for action in actions:
        call = re.sub(r"(?<!^)(?=[A-Z])", "_", action.partition(":")[2]).lower()
        assert f".{call}(" in code or IN_A_TRANSACTION.get(action, "no call") in code, action


def test_only_a_note_on_a_webhook_of_whop_ever_expires(resources: dict[str, Any]) -> None:
    """A row says for good what was done; with a time to live, an old delivery would enroll its user once more."""
    specification = resources["UserMappings"]["Properties"]["TimeToLiveSpecification"]
    assert specification == {"AttributeName": EXPIRY_ATTRIBUTE, "Enabled": True}
    users = {path.name: path.read_text() for path in (ROOT / "shared/whop_sync/users").glob("*.py")}
    naming = {name for name, text in users.items() if EXPIRY_ATTRIBUTE in text or "EXPIRY_ATTRIBUTE" in text}
    assert naming == {"schema.py", "announced_webhooks.py"}
    assert users["schema.py"].count("EXPIRY_ATTRIBUTE") == users["schema.py"].count(f'"{EXPIRY_ATTRIBUTE}"') == 1


def test_the_operators_commands_know_every_queue_that_holds_parked_events(resources: dict[str, Any]) -> None:
    names = {
        each["Properties"]["QueueName"]["Fn::Sub"] for each in resources.values() if each["Type"] == "AWS::SQS::Queue"
    }
    parked = {name.removeprefix("${AWS::StackName}-") for name in names if re.search("dead-letters|parked", name)}
    assert parked == set(QUEUES)


def test_the_operators_commands_know_every_log_group_of_a_function(resources: dict[str, Any]) -> None:
    groups = {
        each["Properties"]["LogGroupName"]["Fn::Sub"]
        for each in resources.values()
        if each["Type"] == "AWS::Logs::LogGroup"
    }
    prefix = "/aws/lambda/${AWS::StackName}-"
    assert {name.removeprefix(prefix) for name in groups if name.startswith(prefix)} == set(FUNCTIONS)


def test_parked_events_are_kept_for_longer_than_a_weekend(resources: dict[str, Any]) -> None:
    for each in resources.values():
        if each["Type"] == "AWS::SQS::Queue":
            assert each["Properties"]["MessageRetentionPeriod"] > 3 * RETRIES.patience


def test_a_limit_that_the_functions_would_refuse_is_refused_at_the_deployment() -> None:
    assert template()["Parameters"]["WhopCallsPerMinute"]["MinValue"] == FEWEST_CALLS_PER_MINUTE
