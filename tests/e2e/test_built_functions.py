"""What `sam build` makes, under AWS's own runtime, with the sample events in events/ as input."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from bench import cold_start
from local_stack import ROOT, samples
from local_stack.processes import bare_environment
from local_stack.runtime import emulator, running_function
from local_stack.stack import LocalStack
from local_stack.waiting import becomes_true
from slim_layer import SERVICES

FUNCTIONS = {
    "ReceiveWebhookFunction": "receive-webhook",
    "UserCreatedFunction": "user-created",
    "ProfileUpdatedFunction": "profile-updated",
}

needs_emulator = pytest.mark.skipif(emulator() is None, reason="the Runtime Interface Emulator runs on Linux only")


def sample(name: str) -> dict[str, Any]:
    """A file of events/, signed for now."""
    document: dict[str, Any] = json.loads(samples.samples(datetime.now(UTC))[samples.FOLDER / name])
    return document


def adapted(name: str, stack: LocalStack, user_id: str) -> dict[str, Any]:
    """A batch of events/, about a user of the test and a picture that this machine serves."""
    pictures = f"http://{samples.HOST}:{samples.AGREED.pictures}"
    text = json.dumps(sample(name)).replace(pictures, stack.pictures.origin)
    document: dict[str, Any] = json.loads(text.replace("12345", user_id).replace("ada@", f"{user_id}@"))
    return document


def invoke(stack: LocalStack, function: str, *events: dict[str, Any]) -> list[dict[str, Any]]:
    with running_function(stack.built, function, stack.deployment.environment(FUNCTIONS[function])) as runtime:
        return [runtime.invoke(event) for event in events]


@needs_emulator
def test_the_receiver_takes_every_sample(stack: LocalStack) -> None:
    # Given the samples, signed for now
    names = [path.name for path in (samples.FOLDER / "receive_webhook").glob("*.json")]
    assert names
    # When the built function gets them
    answers = invoke(stack, "ReceiveWebhookFunction", *(sample(f"receive_webhook/{name}") for name in names))
    # Then each is accepted, and what the queues were given leads to an account
    assert [answer["statusCode"] for answer in answers] == [200] * len(names)
    assert becomes_true(lambda: (stack.deployment.row("user#12345") or {}).get("status") == "synced")


@needs_emulator
def test_the_receiver_refuses_a_sample_that_was_signed_long_ago(stack: LocalStack) -> None:
    old = json.loads(
        samples.samples(datetime(2026, 3, 1, tzinfo=UTC))[samples.FOLDER / "receive_webhook/user_created.json"]
    )
    [answer] = invoke(stack, "ReceiveWebhookFunction", old)
    assert answer["statusCode"] == 401


@needs_emulator
def test_the_workers_handle_their_samples(stack: LocalStack, new_id: Callable[[], str]) -> None:
    user_id = new_id()
    # When a user is created, and later changes name and takes the picture away
    created = invoke(
        stack, "UserCreatedFunction", adapted("user_created/user_created_with_picture.json", stack, user_id)
    )
    row = stack.deployment.row(f"user#{user_id}") or {}
    had_picture = stack.fake.picture(row["whop_user_id"]) is not None
    updated = invoke(
        stack,
        "ProfileUpdatedFunction",
        adapted("profile_updated/profile_updated.json", stack, user_id),
        adapted("profile_updated/picture_removed.json", stack, user_id),
    )
    # Then no message goes back to its queue, and Whop shows the changes
    assert [*created, *updated] == [{"batchItemFailures": []}] * 3
    assert had_picture
    assert stack.fake.picture(row["whop_user_id"]) is None
    assert stack.whop.user(row["whop_user_id"])["name"] == "Ada King, Countess of Lovelace"


@needs_emulator
@pytest.mark.parametrize("function", ["UserCreatedFunction", "ProfileUpdatedFunction"])
def test_a_message_that_is_none_of_the_receivers_is_parked(stack: LocalStack, function: str) -> None:
    # Given a batch with something that no receiver ever wrote
    batch = sample("user_created/user_created.json")
    batch["Records"][0] |= {"body": "{}", "messageId": f"poison-{function}"}
    # When the built function gets it
    [answer] = invoke(stack, function, batch)
    # Then it is not tried again, and kept with its reason
    assert answer == {"batchItemFailures": []}
    parked = stack.deployment.messages(f"{FUNCTIONS[function]}-dead-letters")
    reasons = {message["MessageAttributes"]["event_id"]["StringValue"]: message for message in parked}
    assert reasons[f"poison-{function}"]["MessageAttributes"]["reason"]["StringValue"] == "unreadable_message"


@needs_emulator
def test_the_layers_bytecode_is_what_a_function_loads(stack: LocalStack) -> None:
    # Given a layer whose sources look newer than their bytecode, as in a layer's zip, where dates are lost
    # When a function starts and prints where each module comes from
    with running_function(
        stack.built, "UserCreatedFunction", stack.deployment.environment("user-created"), python_options=("-v",)
    ) as runtime:
        runtime.invoke({"Records": []})
        output = runtime.process.output()
    # Then whop_sync and its packages come from bytecode, and nothing of the layer is compiled
    layer = str(stack.built / "SharedLayer" / "python")
    loaded = [line for line in output.splitlines() if line.startswith("# code object from") and layer in line]
    assert any("whop_sync" in line for line in loaded)
    assert all(".pyc" in line for line in loaded), [line for line in loaded if ".pyc" not in line]


def test_every_module_of_the_layer_has_bytecode_that_names_its_source_by_hash(stack: LocalStack) -> None:
    layer = stack.built / "SharedLayer" / "python"
    missing, dated = [], []
    for source in layer.rglob("*.py"):
        bytecode = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        if not bytecode.exists():
            missing.append(source)
        elif bytecode.read_bytes()[4:8] != b"\x01\0\0\0":  # PEP 552: hash-based, not checked against the source
            dated.append(source)
    assert (missing, dated) == ([], [])


def in_layer(stack: LocalStack, code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What a program prints that finds the layer's packages and no others."""
    layer = stack.built / "SharedLayer" / "python"
    return subprocess.run(
        [sys.executable, "-S", "-c", code, *arguments],
        env={**bare_environment(), **(environment or {}), "PYTHONPATH": str(layer)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1"])
def test_the_layers_shortened_list_of_endpoints_leads_to_the_same_ones(stack: LocalStack, region: str) -> None:
    # Given the SDK as it ships in the layer, and the same one with the data of all services
    code = "import sys, boto3; print([boto3.client(name, sys.argv[1]).meta.endpoint_url for name in sys.argv[2:]])"
    # When both make a client of each service
    shipped = in_layer(stack, code, region, *SERVICES)
    # Then they talk to the same places
    whole: Any = boto3
    assert shipped == str([whole.client(name, region).meta.endpoint_url for name in SERVICES])


@pytest.mark.parametrize("service", SERVICES)
def test_the_layers_models_say_the_same_with_fewer_words(stack: LocalStack, service: str) -> None:
    # Given a model of a service as it ships, and the SDK's own
    shipped, own = (
        Loader(extra_search_paths=[str(path)], include_default_search_paths=False).load_service_model(
            service, "service-2"
        )
        for path in (stack.built / "SharedLayer/python/botocore/data", Path(botocore.__file__).parent / "data")
    )
    # Then they differ in the documentation alone: the one has none, and the same types in the same places
    assert not {shape.get("documentation") for shape in shipped["shapes"].values()} - {"", None}
    assert ServiceModel(shipped).operation_names == ServiceModel(own).operation_names
    assert shipped == undocumented(own)


def undocumented(model: Any) -> Any:
    """A model whose texts under the key `documentation` are empty."""
    if isinstance(model, list):
        return [undocumented(each) for each in model]
    if not isinstance(model, dict):
        return model
    texts = {key for key, value in model.items() if key == "documentation" and isinstance(value, str)}
    return {key: "" if key in texts else undocumented(value) for key, value in model.items()}


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="without openssl the layer keeps its certificates in one file"
)
def test_the_layer_finds_every_authority_by_its_hash(stack: LocalStack, tmp_path: Path) -> None:
    # Given the authorities in the layer's bundle, each in a file of its own
    layer = stack.built / "SharedLayer" / "python"
    bundle = (layer / "certifi" / "cacert.pem").read_text()
    certificates = [each + "-----END CERTIFICATE-----" for each in bundle.split("-----END CERTIFICATE-----")[:-1]]
    for number, certificate in enumerate(certificates):
        (tmp_path / f"{number}.pem").write_text(certificate)
    # When OpenSSL looks each one up
    by_hash = ["-no-CAfile", "-no-CAstore", "-CApath", str(layer / "certifi" / "by-hash")]
    output = subprocess.run(
        ["openssl", "verify", *by_hash, *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    # Then it finds them all, and a function reads none at its start
    assert output.stdout.count(": OK") == len(certificates) > 50, output.stderr
    assert in_layer(stack, "from whop_sync.tls import default_context; print(default_context().get_ca_certs())") == "[]"


@pytest.mark.parametrize("function", cold_start.FUNCTIONS)
def test_no_garbage_is_collected_while_a_function_starts(stack: LocalStack, function: str) -> None:
    code = """
import contextlib, gc, sys, typing  # what is imported before collection is off
sys.path.insert(0, sys.argv[1])
gc.collect()  # so that what was allocated until now sets none off
collections = []
gc.callbacks.append(lambda phase, _: collections.append(phase))
before = len(collections)
import app
print(len(collections) - before, gc.isenabled(), gc.get_freeze_count() > 10_000)
"""
    environment = {**cold_start.settings(stack.built, function), "AWS_REGION": "us-east-1"}
    assert in_layer(stack, code, str(stack.built / function), environment=environment) == "0 True True"


def test_the_layer_holds_what_is_pinned_and_nothing_else(stack: LocalStack) -> None:
    layer = stack.built / "SharedLayer" / "python"
    installed = {path.name.partition("-")[0].replace("_", "-") for path in layer.glob("*.dist-info")}
    pins = Path(ROOT / "shared" / "requirements.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in pins if "==" in line}
    assert installed == pinned
    assert (layer / "whop_sync" / "__init__.py").exists()
