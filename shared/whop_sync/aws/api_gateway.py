"""What API Gateway's HTTP API and a Lambda function hand each other, payload format 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from collections.abc import Mapping
from typing import TypedDict


class HttpEvent(TypedDict, total=False):
    """A request, as far as it is read here.

    - `headers`: names as the caller wrote them or in lower case; of a header that came twice the values, with a comma
      between.
    - `body`: text, or base64 if `isBase64Encoded`.
    - `pathParameters`: decoded, `rawQueryString`: as it was sent.
    """

    headers: Mapping[str, str] | None
    body: str | None
    isBase64Encoded: bool
    pathParameters: Mapping[str, str] | None
    rawPath: str
    rawQueryString: str | None


class HttpAnswer(TypedDict):
    statusCode: int
    headers: dict[str, str]
    body: str
