"""`sam local start-api` finds the function of every route, by SAM's own reading of the template and without Docker."""

import json
import subprocess

from harness.cloudformation import template
from local_stack import ROOT
from local_stack.processes import installing_environment

READ_ROUTES = """
import json, sys
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
parameters = {"WhopEnvironment": "sandbox", "WhopCompanyId": "biz_1"}
stacks, _ = SamLocalStackProvider.get_stacks(sys.argv[1], parameter_overrides=parameters)
routes = ApiProvider(stacks).api.routes
print(json.dumps({f"{method} {route.path}": route.function_name for route in routes for method in route.methods}))
"""


def test_every_route_of_the_template_leads_to_a_function() -> None:
    read = subprocess.run(
        [ROOT / ".local/sam/bin/python", "-c", READ_ROUTES, ROOT / "template.yaml"],
        env=installing_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(read.stdout)
    resources = template()["Resources"]
    routes = [each["Properties"] for each in resources.values() if each["Type"] == "AWS::ApiGatewayV2::Route"]
    assert set(found) == {route["RouteKey"] for route in routes}
    functions = {name for name, each in resources.items() if each["Type"] == "AWS::Serverless::Function"}
    assert set(found.values()) <= functions
