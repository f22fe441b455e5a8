// npm install @aws-crypto/sha256-js @aws-sdk/credential-providers @smithy/signature-v4
import { Sha256 } from "@aws-crypto/sha256-js";
import { fromNodeProviderChain } from "@aws-sdk/credential-providers";
import { SignatureV4 } from "@smithy/signature-v4";

const api = process.env.USERS_URL.replace(/\/users$/, ""); // the stack's output UsersUrl
const region = process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION;
const signer = new SignatureV4({ service: "execute-api", region, credentials: fromNodeProviderChain(), sha256: Sha256 });

export async function ask(method, path, fields) {
  const { host, hostname, pathname, port, protocol } = new URL(api + path);
  const body = fields && JSON.stringify(fields);
  const headers = { host, "content-type": "application/json" };
  const signed = await signer.sign({ method, protocol, hostname, port: Number(port), path: pathname, headers, body });
  const answer = await fetch(api + path, { method, headers: signed.headers, body });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}

export const whopUser = (userId) => ask("GET", `/users/${encodeURIComponent(userId)}`);

/** For your own endpoint, which knows who is signed in. The browser never talks to this API. */
export const chatToken = async (userId) => (await ask("POST", `/users/${encodeURIComponent(userId)}/chat-token`)).token;
