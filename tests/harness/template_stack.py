"""What template.yaml puts around the functions, on the local engine and without a deployment.

Names, queues, secrets, table and each function's environment variables are read from the template, so a function that
works in here has been given what the template gives it.
"""

import importlib.util
import json
import re
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.cloudformation import functions, template
from local_stack.engine import Engine
from local_stack.processes import NO_ACCOUNT


class Surroundings:
    def __init__(self, engine: Engine, parameters: Mapping[str, str] | None = None) -> None:
        """`parameters` are the template's, on top of its defaults."""
        self.engine = engine
        self.stack = f"s-{uuid.uuid4().hex[:12]}"
        self._template = template()
        defaults = {name: str(each.get("Default", "")) for name, each in self._template["Parameters"].items()}
        local = {"WhopEnvironment": "sandbox", "WhopCompanyId": "biz_1", "AwsEndpointUrl": engine.url}
        made = {
            "AWS::StackName": self.stack,
            "AWS::Region": "us-east-1",
            "AWS::URLSuffix": "aws.test",
            "WebhookApi": "a1",
        }
        self._known = {**defaults, **local, **(parameters or {}), **made}
        makers = {
            "AWS::SQS::Queue": self._make_queue,
            "AWS::SecretsManager::Secret": self._make_secret,
            "AWS::DynamoDB::Table": self._make_table,
        }
        for name, resource in self._template["Resources"].items():
            if resource["Type"] in makers and self._holds(resource.get("Condition")):
                self._known[name] = makers[resource["Type"]](resource["Properties"])

    def environment(self, function: str) -> dict[str, str]:
        """All environment variables that a function has on AWS, by its folder in functions/."""
        variables = {
            **self._template["Globals"]["Function"]["Environment"]["Variables"],
            **functions()[function].get("Environment", {}).get("Variables", {}),
        }
        return {**NO_ACCOUNT, **{name: self._resolved(value) for name, value in variables.items()}}

    def queue_url(self, queue: str) -> str:
        """`queue` is the last part of a queue's name."""
        return self.engine.sqs.get_queue_url(QueueName=f"{self.stack}-{queue}")["QueueUrl"]

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """Takes all messages out of a queue."""
        taken: list[dict[str, Any]] = []
        url = self.queue_url(queue)
        while batch := self.engine.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
        ).get("Messages"):
            for message in batch:
                self.engine.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            taken += [dict(message) for message in batch]
        return taken

    def set_signing_secrets(self, *secrets: str) -> None:
        self.set_secret("webhook-signing-secrets", json.dumps(secrets))

    def set_secret(self, name: str, value: str) -> None:
        """`name` is the last part of a secret's name."""
        self.engine.secrets.put_secret_value(SecretId=f"{self.stack}/{name}", SecretString=value)

    def _make_queue(self, properties: Mapping[str, Any]) -> str:
        return self.engine.sqs.create_queue(QueueName=self._resolved(properties["QueueName"]))["QueueUrl"]

    def _make_secret(self, properties: Mapping[str, Any]) -> str:
        return self.engine.secrets.create_secret(Name=self._resolved(properties["Name"]))["Name"]

    def _make_table(self, properties: Mapping[str, Any]) -> str:
        return self.engine.dynamodb.create_table(
            TableName=self._resolved(properties["TableName"]),
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=properties["AttributeDefinitions"],
            KeySchema=properties["KeySchema"],
        ).name

    def _resolved(self, value: Any) -> str:
        match value:
            case {"Ref": name}:
                return self._known[name]
            case {"Fn::GetAtt": [name, _]}:
                return self._known[name]
            case {"Fn::If": [condition, there, absent]}:
                return self._resolved(there if self._holds(condition) else absent)
            case {"Fn::Sub": text}:
                return re.sub(r"\$\{([\w:]+)\}", lambda found: self._known[found[1]], text)
        return str(value)

    def _holds(self, condition: Any) -> bool:
        """Whether a condition of the template holds, by its name or written out. What has none is always there."""
        match condition:
            case None:
                return True
            case str():
                return self._holds(self._template["Conditions"][condition])
            case {"Condition": name}:
                return self._holds(name)
            case {"Fn::Not": [negated]}:
                return not self._holds(negated)
            case {"Fn::And": [*all_of]}:
                return all(map(self._holds, all_of))
            case {"Fn::Equals": [parameter, text]}:
                return self._resolved(parameter) == str(text)
        raise AssertionError(condition)


def load(path: Path) -> ModuleType:
    """Loads a function's app.py under a name of its own, as a new environment of that function would."""
    name = f"app_{uuid.uuid4().hex}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module
