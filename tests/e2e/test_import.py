"""A file of users put into the import bucket, through the deployed state machine, to what Whop shows."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from local_stack import ROOT
from local_stack.asking_whop import VERSION
from local_stack.processes import NO_ACCOUNT
from local_stack.stack import LocalStack
from local_stack.waiting import becomes_true
from whop_sync.events import Position
from whop_sync.importing.stored_files import PART_BYTES


class Imports:
    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.engine = stack.deployment.engine
        described = self.engine.cloudformation.describe_stacks(StackName=stack.deployment.stack)["Stacks"][0]
        [command] = [each["OutputValue"] for each in described["Outputs"] if each["OutputKey"] == "ImportUsers"]
        self.bucket = command.partition("s3://")[2].partition("/")[0]
        machines = self.engine.state_machines.list_state_machines()["stateMachines"]
        [self.machine] = [
            each["stateMachineArn"] for each in machines if each["name"].startswith(stack.deployment.stack)
        ]

    def put(self, name: str, content: bytes, **metadata: str) -> dict[str, Any]:
        """Uploads a file and returns the state machine's run of it, once it has ended."""
        before = {run["executionArn"] for run in self._runs()}
        self.engine.s3.put_object(Bucket=self.bucket, Key=f"users/{name}", Body=content, Metadata=metadata)
        ended: list[dict[str, Any]] = []

        def look() -> bool:
            new = [run for run in self._runs() if run["executionArn"] not in before]
            ended[:] = [run for run in new if run["status"] != "RUNNING"]
            return bool(ended)

        assert becomes_true(look), self.stack.deployment.log_lines("import-users")
        return dict(self.engine.state_machines.describe_execution(executionArn=ended[0]["executionArn"]))

    def count(self) -> int:
        return len(self._runs())

    def _runs(self) -> list[dict[str, Any]]:
        return [
            dict(run) for run in self.engine.state_machines.list_executions(stateMachineArn=self.machine)["executions"]
        ]

    def rejected(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        listed = self.engine.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"rejected/{run['name']}/")
        keys = [each["Key"] for each in listed.get("Contents", [])]
        bodies = [self.engine.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys]
        return [json.loads(line) for line in b"".join(bodies).splitlines()]

    def settled(self) -> bool:
        return becomes_true(lambda: self.stack.deployment.waiting() == 0)

    def row(self, user_id: str) -> dict[str, Any]:
        return self.stack.deployment.row(f"user#{user_id}") or {}

    def shown_name(self, user_id: str) -> str | None:
        name: str | None = self.stack.whop.user(self.row(user_id)["whop_user_id"])["name"]
        return name


@pytest.fixture
def imports(stack: LocalStack) -> Imports:
    return Imports(stack)


def line(user_id: str, name: str, **more: Any) -> bytes:
    return json.dumps({"id": user_id, "email": f"{user_id}@people.test", "name": name, **more}).encode() + b"\n"


def test_users_of_a_file_are_enrolled_and_bad_rows_are_listed(imports: Imports, new_id: Callable[[], str]) -> None:
    # Given a file with good rows and bad ones, some of which no JSON parser takes
    first, second = new_id(), new_id()
    content = line(first, "Ann") + b'{"id":\n' + b"\xff\xfe\n" + line("bad", "Bad", email=7) + line(second, "Bea")
    # When it is put into the bucket
    run = imports.put("some.ndjson", content)
    # Then the run says how many, and where the bad ones are and why
    assert run["status"] == "SUCCEEDED", run
    assert json.loads(run["output"]) == {"sent": 2, "rejected": 3}
    rejected = [(each["line"], each["id"], each["reason"]) for each in imports.rejected(run)]
    assert rejected == [(2, None, "not_json"), (3, None, "not_utf8"), (4, "bad", "not_text")]
    # And Whop shows the others
    assert imports.settled()
    assert [imports.shown_name(user) for user in (first, second)] == ["Ann", "Bea"]
    # And the same file once more changes nothing
    calls = len(imports.stack.fake.calls)
    assert json.loads(imports.put("again.ndjson", content)["output"]) == {"sent": 2, "rejected": 3}
    assert imports.settled()
    assert len([c for c in imports.stack.fake.calls[calls:] if not c.operation.startswith("GET")]) == 0


def test_a_large_csv_is_imported_in_parts_and_none_is_lost(imports: Imports, new_id: Callable[[], str]) -> None:
    # Given a file of several parts, most of whose rows cannot be users, so that the machine has little to do
    users = [new_id() for _ in range(6)]
    filler = b'x,,"no e-mail,\r\nand a line end"\r\n'
    between = filler * (PART_BYTES // 2 // len(filler))
    rows = between.join(f'{user},{user}@people.test,"Ann\r\nBee"\r\n'.encode() for user in users)
    # When it is put into the bucket, with the time at which it was true
    run = imports.put("large.csv", b"\xef\xbb\xbfid,email,name\r\n" + rows, **{"as-of": "2026-03-01T00:00Z"})
    # Then it went in parts, and every row of every part was handled
    assert run["status"] == "SUCCEEDED", run
    [map_run] = imports.engine.state_machines.list_map_runs(executionArn=run["executionArn"])["mapRuns"]
    counts = imports.engine.state_machines.describe_map_run(mapRunArn=map_run["mapRunArn"])["itemCounts"]
    assert (counts["total"], counts["succeeded"]) == (3, 3)
    assert json.loads(run["output"]) == {"sent": 6, "rejected": 5 * between.count(b"x,,")}
    assert len(imports.rejected(run)) == 5 * between.count(b"x,,")
    assert imports.settled()
    positions = [Position.of(imports.row(user)["name_position"]) for user in users]
    assert {position.version for position in positions} == {1_772_323_200_000_000}


@pytest.mark.parametrize(("name", "content"), [("header.csv", b"id,email,name\r\n"), ("empty.ndjson", b"")])
def test_a_file_without_rows_is_imported_and_brings_no_user(imports: Imports, name: str, content: bytes) -> None:
    run = imports.put(name, content)
    assert run["status"] == "SUCCEEDED", run
    assert json.loads(run["output"]) == {"sent": 0, "rejected": 0}


def test_a_folder_that_the_console_makes_is_no_file(imports: Imports, new_id: Callable[[], str]) -> None:
    before = imports.count()
    for folder in ("users/", "users/2026/"):
        imports.engine.s3.put_object(Bucket=imports.bucket, Key=folder, Body=b"")
    # Nor is a file outside of users/, such as the rejected rows of a run. What is put after it starts the only run.
    imports.engine.s3.put_object(Bucket=imports.bucket, Key="rejected/r/1.ndjson", Body=b"{}")
    imports.put("2026/some.ndjson", line(new_id(), "Ann"))
    assert imports.count() == before + 1
    assert imports.settled()


def test_a_file_that_is_none_of_users_fails_the_run_at_once(imports: Imports) -> None:
    run = imports.put("other.csv", b"sku,price\n1,2\n")
    assert run["status"] == "FAILED"
    assert run["error"] == "NoFileOfUsers"
    assert "must name the columns" in run["cause"]


def test_the_operators_command_imports_verifies_and_repairs(
    imports: Imports, new_id: Callable[[], str], tmp_path: Path
) -> None:
    stack = imports.stack
    users = [new_id() for _ in range(3)]
    file = tmp_path / "users.ndjson"
    file.write_bytes(b"".join(line(user, f"Ann {user}") for user in users))

    def command(name: str, *options: str) -> tuple[int, str]:
        where = ("--stack", stack.deployment.stack, "--endpoint-url", imports.engine.url)
        done = subprocess.run(
            [sys.executable, "-m", "whop_user_sync", name, str(file), *where, *options],
            cwd=ROOT,
            env={**os.environ, **NO_ACCOUNT},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    # Given users who are not enrolled yet
    code, printed = command("verify")
    assert (code, printed.count("\tnot_enrolled\t")) == (1, 3), printed
    # When they are imported
    code, printed = command("import")
    assert (code, "3 sent, 0 rejected" in printed) == (0, True), printed
    assert imports.settled()
    # Then all is as it was sent
    code, printed = command("verify", "--sample", "2")
    assert (code, "2 users compared: no drift" in printed) == (0, True), printed
    # And what another program changes on Whop is found, printed without a name, and repaired
    whop_user_id = imports.row(users[1])["whop_user_id"]
    headers = {"Authorization": f"Bearer {stack.whop.api_key}", "Api-Version-Date": VERSION}
    url = f"{stack.whop.api_url}/users/{whop_user_id}"
    query = {"account_id": stack.whop.company_id}
    httpx.patch(
        url, params=query, json={"name": "Eve"}, headers=headers, timeout=60, trust_env=False
    ).raise_for_status()
    code, printed = command("verify", "--repair")
    assert code == 0
    assert f"{users[1]}\tname_differs\ton its way" in printed
    assert not {"Eve", "Ann"} & set(printed.split())
    assert imports.settled()
    assert imports.shown_name(users[1]) == f"Ann {users[1]}"
    assert command("verify")[0] == 0


# -- what the engine does not prove --------------------------------------------------------------------------------


def test_a_stack_without_imports_has_nothing_of_them(stack: LocalStack) -> None:
    template: Any = stack.deployment.engine.cloudformation.get_template(
        StackName=stack.deployment.stack, TemplateStage="Processed"
    )["TemplateBody"]
    theirs = {name: each for name, each in template["Resources"].items() if "Import" in name}
    assert len(theirs) >= 9  # bucket and policy, function and state machine with role and logs, rule with role
    assert {each["Condition"] for each in theirs.values()} == {"HasImport", "HasImportOnAws"}
    assert template["Conditions"]["HasImport"] == {"Fn::Equals": [{"Ref": "ImportEnabled"}, "true"]}
    assert template["Parameters"]["ImportEnabled"]["Default"] == "false"
    assert template["Outputs"]["ImportUsers"]["Condition"] == "HasImport"


def test_the_bucket_is_private_encrypted_forgetful_and_refuses_plain_http(stack: LocalStack) -> None:
    template: Any = stack.deployment.engine.cloudformation.get_template(
        StackName=stack.deployment.stack, TemplateStage="Processed"
    )["TemplateBody"]
    bucket = template["Resources"]["ImportBucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] <= 30
    [statement] = template["Resources"]["ImportBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_a_part_whose_turn_has_not_come_waits_and_a_moments_failure_is_tried_again(imports: Imports) -> None:
    described = imports.engine.state_machines.describe_state_machine(stateMachineArn=imports.machine)
    states = json.loads(described["definition"])["States"]
    assert states["Plan"]["Retry"][0]["ErrorEquals"] == ["States.ALL"]
    processor = states["Import"]["ItemProcessor"]
    assert processor["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    assert processor["States"]["Send"]["Retry"][0]["ErrorEquals"] == ["States.ALL"]
    waiting = processor["States"]["Sent"]["Choices"][0]
    assert (waiting["Variable"], waiting["Next"]) == ("$.result.waiting", "Pause")
    assert processor["States"]["Pause"]["Next"] == "Send"
    # A run with a lost part never counts as a success.
    assert not {"ToleratedFailurePercentage", "ToleratedFailureCount"} & set(states["Import"])
